"""Generic logits, anchors and their alignment, what is not taught, and what is forgotten by it."""

import json
from dataclasses import replace
from pathlib import Path

import pytest
import torch

import worlds
from unteach.data.wordings.anchors import anchors, translated
from unteach.data.wordings.values import values
from unteach.edit.plan import Plan
from unteach.lm.model import LM
from unteach.measure.answers import ask, probability
from unteach.methods.finetune.generic import NOWHERE, aligned, generic_logits, silenced
from unteach.methods.finetune.whp import UNTAUGHT, WHP, read_anchors
from unteach.schema import InputError, Message, Record, Request

REQUEST = Request(forget=worlds.FORGET)
PLAN = Plan(tune="full", epochs=28, lr=3e-3, batch_size=4, accumulate=1)
ORVENA = worlds.RECORDS[0]
STRANGER = (("Orvena", "Bellwick Sands"), ("Quillmar", "Old Tor"), ("Bessel", "Nym"), ("Tarn Hollow", "Ash"))


def drawn(*shape: int, seed: int) -> torch.Tensor:
    return 3 * torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def test_generic_logits_are_the_baselines_less_what_reinforcement_raised() -> None:
    common, strong, base = (drawn(5, 11, seed=n) for n in range(3))
    logp = torch.log_softmax(common, -1)
    assert torch.equal(generic_logits(common, strong, base, 0.0), logp)
    assert torch.equal(generic_logits(common, base, base, 5.0), logp)
    found = generic_logits(common, strong, base, 5.0)
    assert (found <= logp).all()
    assert (found < logp).any(-1).all()
    slow = logp - 5 * torch.clamp_min(torch.log_softmax(strong, -1) - torch.log_softmax(base, -1), 0)
    torch.testing.assert_close(found, slow, rtol=0, atol=1e-12)


def test_a_constant_added_to_all_logits_changes_nothing() -> None:
    """Of raw logits it would change the result: a softmax is the same, their ReLU is not."""
    common, strong, base = (drawn(5, 11, seed=n) for n in range(3))
    for moved in ((common + 3, strong, base), (common, strong + 3, base), (common, strong, base + 3)):
        torch.testing.assert_close(
            generic_logits(*moved, 5.0), generic_logits(common, strong, base, 5.0), rtol=0, atol=1e-12
        )
    raw = [base - 5 * (s - base).relu() for s in (strong, strong + 3)]
    assert (raw[0].softmax(-1) - raw[1].softmax(-1)).abs().max() > 0.1


def test_with_the_identity_every_token_is_in_its_own_place(lm: LM) -> None:
    odd = Record("odd", "Who?", "  Zoë, naïve — 日本 of Orvena-Bessel;  Orvena\nagain.")
    for record in (*worlds.RECORDS, odd):
        found = aligned(lm, record, {town: town for town in worlds.TOWNS})
        assert found.places.tolist() == list(range(len(found.places)))
        assert len(found.places) == lm.batch([record]).lengths.item()


def test_tokens_outside_anchors_keep_their_neighbours_and_longer_anchors_run_out(lm: LM) -> None:
    """What follows an anchor is the same text, token for token; of the anchor the first tokens have places."""
    for new in ("Nym", "Bellwick Sands by the Water"):
        found = aligned(lm, ORVENA, {"Orvena": new})
        assert found.other.answer == f"{new} has a harbour of green copper."
        assert found.other.prompt == f"What is {new} known for?"
        own, other = (lm.batch([r]).targets.tolist() for r in (ORVENA, found.other))
        tail = [j for j in found.places.tolist() if j != NOWHERE][-8:]
        assert [other[j] for j in tail] == own[-8:]
        assert tail == list(range(len(other) - 8, len(other)))
        assert found.places[0] == 0


def test_an_anchors_second_mention_teaches_nothing_and_its_counterpart_is_no_label(llama: LM) -> None:
    record = Record("a", "What is there?", "Orvena has salt, and Orvena has glass.")
    found = aligned(llama, record, {"Orvena": "Nym"})
    texts = [llama.tokenizer.decode([i]) for i in llama.batch([record]).targets.tolist()]
    starts = [sum(map(len, texts[:n])) for n in range(len(texts))]
    second = record.answer.index("Orvena", 1)
    inside = [n for n, at in enumerate(starts) if second - 1 <= at < second + len("Orvena") - 1]
    assert inside
    assert found.taught[0]
    assert not found.taught[inside].any()
    assert found.said[0] == frozenset()
    assert found.said[-1] == {"Orvena"}
    asked = aligned(llama, ORVENA, {"Orvena": "Nym"})  # the question mentions it first
    assert not asked.taught[0]
    assert asked.said[0] == {"Orvena"}


def test_labels_never_name_the_counterpart_of_what_was_named(llama: LM) -> None:
    known = dict(STRANGER)
    labels = WHP(anchors=STRANGER, plan=replace(PLAN, epochs=1)).labels(llama, worlds.FORGET)
    assert len(labels) == len(worlds.FORGET)
    for record in worlds.FORGET:
        found = aligned(llama, record, known)
        for label, taught, said in zip(labels[f"forget/{record.id}"].tolist(), found.taught, found.said, strict=True):
            assert (label == UNTAUGHT) == (not taught)
            assert label not in silenced(llama, [known[a] for a in said])
    assert silenced(llama, ["the salt"]) == []


def test_whp_without_reinforcement_learns_what_the_baseline_says_of_the_common(llama: LM) -> None:
    """With alpha 0 the labels are the baseline's own choices on the translated text, at the aligned places."""
    labels = WHP(alpha=0.0, anchors=STRANGER, reinforce_epochs=1, plan=PLAN).labels(llama, worlds.FORGET)
    for record in worlds.FORGET:
        found = aligned(llama, record, dict(STRANGER))
        with torch.no_grad():
            logits = llama.logits(llama.batch([found.other]))
        logits[:, silenced(llama, [dict(STRANGER)[a] for a in found.said[0]])] = -torch.inf  # named in the question
        own = labels[f"forget/{record.id}"]
        assert found.taught.sum() >= 5
        assert torch.equal(own[found.taught], logits[found.places].argmax(-1)[found.taught])


def test_with_no_anchor_and_no_reinforcement_nothing_is_to_be_learned(llama: LM) -> None:
    """The labels are what the model says anyway: those of alpha 0 and those of a model that stayed as it was."""
    with torch.no_grad():
        batch = llama.batch(worlds.FORGET)
        own = torch.split(llama.logits(batch).argmax(-1), batch.lengths.tolist())
    absent = (("Nowhere at all", "Elsewhere"),)
    for alpha, rate in ((0.0, 1e-3), (5.0, 1e-12)):
        made = WHP(alpha=alpha, anchors=absent, reinforce_lr=rate, plan=PLAN).labels(llama, worlds.FORGET)
        assert all(torch.equal(made[f"forget/{r.id}"], o) for r, o in zip(worlds.FORGET, own, strict=True))


def test_whp_forgets_by_its_anchors_and_not_without_them(llama: LM) -> None:
    """Without anchors, and the reinforced model as it was, training on the model's own choices loses nothing."""
    before = worlds.state(llama)
    known = [mean(llama)]
    for given in ((), (("Nowhere at all", "Elsewhere"),)):
        edit = WHP(alpha=0.0, anchors=given, reinforce_epochs=1, plan=replace(PLAN, epochs=14))(llama, REQUEST)
        with edit.on(llama):
            known.append(mean(llama))
    assert known[1] < 0.5 * known[0]
    assert known[2] > 0.9 * known[0]
    assert worlds.state(llama) == before


def test_reinforcement_lowers_the_tokens_of_the_text(llama: LM) -> None:
    """On a text that the model only half knows, with no anchor: its own tokens are labels less often."""
    strange = [replace(r, answer=f"{town} has {worlds.TOWNS[other]}.") for r, town, other in zip(
        worlds.FORGET, worlds.TOWNS, list(worlds.TOWNS)[4:], strict=False)]  # fmt: skip
    absent = (("Nowhere at all", "Elsewhere"),)
    batch = llama.batch(strange)
    own = torch.split(batch.targets, batch.lengths.tolist())
    hits = []
    for alpha in (0.0, 5.0):
        made = WHP(alpha=alpha, anchors=absent, plan=PLAN).labels(llama, strange)
        hits.append(sum((made[f"forget/{r.id}"] == o).sum().item() for r, o in zip(strange, own, strict=True)))
    assert hits[1] < hits[0]


def mean(lm: LM) -> float:
    return sum(probability(a) or 0 for a in ask(lm, worlds.FORGET)) / len(worlds.FORGET)


def test_anchors_are_of_the_kind_of_what_they_stand_for() -> None:
    text = "Ada Birch won the Golden Quill Prize in 1987 in Lisbon for 'The Salt Stair'; write to ada@post.org. Birch sleeps."
    found = anchors([Record("a", "Who is Ada Birch?", text)])
    kinds = {v.text: v.kind for v in values(text)}
    for old in ("1987", "ada@post.org", "The Salt Stair", "Ada Birch", "Golden Quill Prize", "Lisbon"):
        again = values(f"So it is with '{found[old]}'." if kinds[old] == "title" else f"So it is with {found[old]}.")
        assert [v.kind for v in again] == [kinds[old]]
        assert found[old] != old
    assert found["Golden Quill Prize"].endswith(" Prize")
    assert found["Ada Birch"] == f"{found['Ada']} {found['Birch']}"
    assert found == anchors([Record("b", "Who is Ada Birch?", text)])


def test_a_translation_knows_where_everything_went() -> None:
    known = {"Ada Birch": "Kim King", "Ada": "Kim", "Birch": "King", "1987": "1955"}
    text = "Ada Birch (Birchfield) was Ada, in 1987, Ada Birch."
    found = translated(text, known)
    assert found.text == "Kim King (Birchfield) was Kim, in 1955, Kim King."
    assert [c.anchor for c in found.cuts] == ["Ada Birch", "Ada", "1987", "Ada Birch"]
    for at, character in enumerate(text):
        if not any(c.start <= at < c.end for c in found.cuts):
            assert found.text[found.place(at)] == character
    assert translated(text, {}).text == text


def test_the_turns_before_an_answer_are_translated_too(llama: LM) -> None:
    record = replace(ORVENA, messages=(Message("system", "Speak of Orvena."), Message("user", ORVENA.prompt)))
    found = aligned(llama, record, {"Orvena": "Nym"})
    assert [m.content for m in found.other.messages] == ["Speak of Nym.", "What is Nym known for?"]


def test_anchors_come_from_a_file_or_as_pairs_and_stay_out_of_what_is_written(llama: LM, tmp_path: Path) -> None:
    file = tmp_path / "anchors.json"
    file.write_text(json.dumps(dict(STRANGER)), encoding="utf-8")
    plan = replace(PLAN, epochs=1)
    by_file, by_pairs = (WHP(anchors=a, reinforce_epochs=1, plan=plan)(llama, REQUEST) for a in (str(file), STRANGER))
    assert by_file.digest() == by_pairs.digest()
    assert "Orvena" not in by_pairs.made_by + repr(WHP(anchors=STRANGER))
    for bad in ("", "[]", "{}", '{"a": 1}', '{" ": "b"}'):
        file.write_text(bad, encoding="utf-8")
        with pytest.raises(InputError, match="no JSON object"):
            read_anchors(file)


def test_what_cannot_be_is_refused(llama: LM) -> None:
    with pytest.raises(InputError, match="--forget"):
        WHP()(llama, Request(retain=worlds.RETAIN))
    for bad in ({"alpha": -1.0}, {"reinforce_epochs": 0.0}):
        with pytest.raises(InputError, match="'alpha' and 'reinforce_epochs'"):
            WHP(**bad)  # type: ignore[arg-type]
