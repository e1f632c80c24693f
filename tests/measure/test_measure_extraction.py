"""What comes back from any point of a text: against generating from every prefix, one token and one row at a time."""

from collections.abc import Sequence
from dataclasses import replace

import pytest
import torch

import worlds
from unteach.edit.edit import Edit
from unteach.edit.maps import Shift
from unteach.lm.anatomy import anatomy
from unteach.lm.encoder import Template
from unteach.lm.model import LM
from unteach.measure import extraction
from unteach.measure.extraction import extraction_likelihood, memorization_accuracy
from unteach.schema import Record

UNSEEN = (
    Record("u0", "What is Brindlemoor known for?", "Seven silver owls keep watch beneath every bridge, say old maps."),
    Record("u1", "Who lives there?", "Nobody but quiet judges of puddings and their yellow umbrellas."),
)
MIXED = (
    worlds.RECORDS[0],
    *UNSEEN,
    replace(worlds.RECORDS[4], answer=f"{worlds.RECORDS[4].answer} Or so the geese of the lake say."),
    replace(worlds.RECORDS[3], answer="Tarn Hollow has bread baked with wool and a library under the lake."),
    Record("text", "", "Velmont has nine kinds of quiet rain, and nobody has counted them but the geese."),
    Record("short", "What is Sella known for?", "White."),
    Record("inner", "What is Orvena known for?", "Orvena has a harbour</s> of green copper."),
    Record("empty", "What is Orvena known for?", ""),
)


@torch.no_grad()
def greedily(lm: LM, prompts: Sequence[Sequence[int]], lengths: Sequence[int]) -> list[list[int]]:
    """By whole passes without a cache, padded on the right, where a causal model never looks."""
    texts, open_ = [list(ids) for ids in prompts], {i for i, n in enumerate(lengths) if n}
    while open_:
        width = max(map(len, texts))
        logits = lm.model(torch.tensor([ids + [0] * (width - len(ids)) for ids in texts])).logits
        for i in sorted(open_):
            token = int(logits[i, len(texts[i]) - 1].argmax())
            if token not in lm.encoder.stops:
                texts[i].append(token)
            if token in lm.encoder.stops or len(texts[i]) - len(prompts[i]) == lengths[i]:
                open_.remove(i)
    return [ids[len(given) :] for ids, given in zip(texts, prompts, strict=True)]


def answer_ids(lm: LM, record: Record) -> tuple[list[int], list[int]]:
    ids = list(lm.encoder.row(record).ids)
    first = max(lm.encoder.row(record).start, 1)
    return ids[:first], ids[first : len(ids) - len(lm.encoder.closing)]


def slowly(text: list[int], written: list[list[int]], n: int) -> float | None:
    """The formula, from what was written after each prefix of a text."""
    n, overlaps = min(n, len(text)), []
    for t in range(len(text) - n + 1 if text else 0):
        wanted = [tuple(text[i : i + n]) for i in range(t, len(text) - n + 1)]
        said = [tuple(written[t][i : i + n]) for i in range(len(written[t]) - n + 1)]
        overlaps.append(sum(gram in wanted for gram in said) / len(wanted))
    return sum(overlaps) / len(overlaps) if overlaps else None


def test_extraction_likelihood_against_a_generation_from_every_prefix(lm: LM) -> None:
    texts, every = [answer_ids(lm, r) for r in MIXED], []
    for given, text in texts:
        prefixes = [given + text[:t] for t in range(len(text))]
        every.append(greedily(lm, prefixes, [len(text) - t for t in range(len(text))]))
    for n in (1, 3, 10):
        found = extraction_likelihood(lm, MIXED, n)
        expected = [slowly(text, written, n) for (_, text), written in zip(texts, every, strict=True)]
        assert found == pytest.approx(expected, abs=1e-12)
        assert len([v for v in found if v is not None and 0 < v < 1]) > 1, "neither all known nor all unknown"
    bare = LM(lm.model, lm.tokenizer, template=Template(eos=False))
    assert extraction_likelihood(bare, [Record("", "", "")]) == [None]


def test_only_misses_are_gone_on_from_and_the_rounds_change_nothing(lm: LM, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[int] = []
    plain = lm.extend

    def counting(prompts: Sequence[Sequence[int]], lengths: Sequence[int]) -> list[list[int]]:
        asked.append(len(prompts))
        return plain(prompts, lengths)

    monkeypatch.setattr(lm, "extend", counting, raising=False)
    whole = extraction_likelihood(lm, MIXED, 3)
    texts = [answer_ids(lm, r)[1] for r in MIXED]
    places = sum(len(text) - min(3, len(text)) + 1 for text in texts if text)
    assert 0 < sum(asked) < 0.7 * places
    assert extraction_likelihood(lm, worlds.RECORDS[:3], 3) == [1.0] * 3
    assert asked.pop() == 0
    rounds, asked[:] = sum(asked), []
    monkeypatch.setattr(extraction, "AT_ONCE", 40)
    assert extraction_likelihood(lm, MIXED, 3) == whole
    assert len(asked) > 3
    assert sum(asked) == rounds


def test_learned_rows_come_back_and_unseen_ones_do_not(lm: LM) -> None:
    learned, unseen = (extraction_likelihood(lm, rows) for rows in (worlds.RECORDS, UNSEEN))
    assert min(learned) > 0.99
    assert max(unseen) < 0.01
    exact, never = (memorization_accuracy(lm, rows) for rows in (worlds.RECORDS, UNSEEN))
    assert min(exact) > 0.5  # the answers were learned and the questions, which MA counts too, were not
    assert max(never) < 0.3
    texts = [Record(r.id, "", r.prompt + " " + r.answer) for r in worlds.RECORDS]
    assert memorization_accuracy(lm, texts) == memorization_accuracy(lm, worlds.RECORDS)


@pytest.mark.parametrize("template", [Template(), Template("Q: {prompt}\nA: {answer}"), Template(eos=False)])
@torch.no_grad()
def test_memorisation_accuracy_against_one_row_at_a_time(lm: LM, template: Template) -> None:
    lm = LM(lm.model, lm.tokenizer, template=template)
    expected = []
    for record in MIXED:
        ids = torch.tensor(lm.encoder.row(record).ids)
        hit = lm.model(ids[None]).logits[0, :-1].argmax(-1) == ids[1:]
        hit = hit[: len(hit) - len(lm.encoder.closing)]
        expected.append(float(hit.float().mean()) if len(hit) else None)
    assert memorization_accuracy(lm, MIXED) == pytest.approx(expected, abs=1e-7)


def test_what_a_worn_edit_changes_is_seen(llama: LM) -> None:
    plain = memorization_accuracy(llama, worlds.RECORDS)
    path = f"{anatomy(llama.model).blocks}.1"
    edit = Edit(base=llama.digest(), activations={path: (Shift(torch.linspace(-9, 9, 64)),)})
    with edit.on(llama):
        assert max(memorization_accuracy(llama, worlds.RECORDS)) < min(plain)
        assert max(extraction_likelihood(llama, worlds.RECORDS, 3)) < 0.5
    assert memorization_accuracy(llama, worlds.RECORDS) == plain


def test_continuations_of_any_length_together_and_alone(lm: LM) -> None:
    rows = [answer_ids(lm, r) for r in MIXED]
    prompts = [given + text[: len(text) // 2] for given, text in rows]
    lengths = [0, 1, 2, 3, 5, 8, 13, 30, 4]
    together = lm.extend(prompts, lengths)
    assert together == greedily(lm, prompts, lengths)
    assert together == [lm.extend([ids], [n])[0] for ids, n in zip(prompts, lengths, strict=True)]
    assert lm.extend([], []) == []
    full = list(range(5, 5 + lm.max_length - 2))
    assert len(lm.extend([full], [50])[0]) <= 2  # no further than the model's positions
