"""The defining properties of what is measured on corrected facts, and EasyEdit's figures on the same edited models."""

import json
from functools import partial
from pathlib import Path
from statistics import fmean, harmonic_mean
from typing import Any

import pytest
import torch
from safetensors.torch import load_file
from told import Watcher, answer, evidence, record, telling

import worlds
from unteach.audit.audit import audit
from unteach.audit.evidence import Evidence
from unteach.audit.facts import fact_roles, fact_sets
from unteach.audit.suite import of
from unteach.data.facts import read_facts
from unteach.edit.edit import Edit
from unteach.edit.patches import Add, Scale
from unteach.lm.anatomy import anatomy
from unteach.lm.load import load
from unteach.lm.model import LM
from unteach.measure.chosen import chosen
from unteach.registry import build, name_of
from unteach.schema import Fact, InputError, Probe, Record, Score

FACT = Fact(
    "f", "{} is in", "Quillmar", "Peru", "Chile", ("Where is Quillmar? In", "Quillmar lies in"),
    (Probe("Bessel is in", "Chile"), Probe("Dorrin is in", "Peru", "near")),
    (Probe("They speak", "Spanish", "Reasoning"), Probe("The Q. is in", "Peru", "Subject Aliasing")),
)  # fmt: skip
LOCALITY = build("metric", "locality", {})


def score(name: str, on: str, found: Evidence, **options: object) -> Score:
    with telling():
        return build("metric", name, options)(found, on)


def some(n: int, **more: Any) -> list[Record]:
    return [record(i, **more) for i in range(n)]


def test_facts_are_sets_of_records_with_roles() -> None:
    sets = fact_sets([FACT])
    shown = {name: [(r.prompt, r.answer, r.perturbed) for r in rows] for name, rows in sets.items()}
    assert shown == {
        "facts": [("Quillmar is in", "Peru", ("Chile",))],
        "rephrased": [("Where is Quillmar? In", "Peru", ("Chile",)), ("Quillmar lies in", "Peru", ("Chile",))],
        "neighbours": [("Bessel is in", "Chile", ("Peru",)), ("Dorrin is in", "Peru", ())],
        "portability": [("They speak", "Spanish", ()), ("The Q. is in", "Peru", ())],
    }
    assert len({r.id for rows in sets.values() for r in rows}) == 7
    assert fact_roles(sets) == {name: name for name in sets}
    kinds = fact_sets([FACT], kinds=True)
    assert set(kinds) == {
        "facts", "rephrased", "neighbours", "neighbours_near", "portability_reasoning", "portability_subject_aliasing"
    }  # fmt: skip
    assert set(fact_roles(kinds).values()) == {"facts", "rephrased", "neighbours", "portability"}
    assert set(fact_sets([Fact("g", "{} is", "X", "y")])) == {"facts"}


def test_reliability_is_the_share_of_the_new_answers_tokens_that_are_chosen() -> None:
    said = {"r0": answer(0.9, 0.1, 0.2, 0.9, ended=True), "r1": answer(0.9), "r2": answer()}
    texts = {"question 0": "Answer number 0, and more.", "question 1": "answer number 10", "question 2": "number 2"}
    found = evidence(lambda r: said[r.id], lambda r: texts[r.prompt], facts=some(3))
    read = score("reliability", "facts", found)
    assert read.per_record == {"facts/0000": pytest.approx(1 / 3), "facts/0001": 1.0}  # the end is left out
    assert (read.value, read.n, read.direction) == (pytest.approx(2 / 3), 2, "up")
    assert read.note == "token accuracy; 1 of 3 undefined (no answer token)"
    free = score("reliability", "facts", found, exact=True)
    assert list(free.per_record.values()) == [1.0, 0.0, 0.0]
    assert free.note == "exact match"


@pytest.mark.parametrize("exact", [False, True])
def test_generalisation_is_measured_on_the_rephrased_prompts_alone(exact: bool) -> None:
    right = {"question 0", "question 1", "question 2"}
    found = evidence(
        lambda r: answer(0.9 if r.prompt in right else 0.1), lambda r: f"answer number {r.prompt[-1]}" if r.prompt in right else "",
        facts=[record(4)], rephrased=some(4),
    )  # fmt: skip
    assert score("generalisation", "rephrased", found, exact=exact).value == pytest.approx(3 / 4)
    assert score("reliability", "facts", found, exact=exact).value == 0
    assert set(build("metric", "generalisation", {}).directions) == {"rephrased"}


@pytest.mark.parametrize("exact", [False, True])
def test_portability_is_measured_on_what_follows_from_the_facts(exact: bool) -> None:
    found = evidence(
        lambda r: answer(0.9, 0.9 if r.id == "r0" else 0.1), lambda _: "answer number 0",
        portability_reasoning=some(2),
    )  # fmt: skip
    found.roles["portability_reasoning"] = "portability"
    value = score("portability", "portability_reasoning", found, exact=exact)
    assert value.value == pytest.approx(0.5 if exact else 0.75)
    assert value.direction == "up"


def test_an_exact_match_can_be_measured_behind_a_guard_and_tokens_cannot(llama: LM) -> None:
    shut = evidence(
        writes=lambda r: f"answer number {r.prompt[-1]}", guards=[Watcher(False)], facts=some(2), portability=some(2)
    )  # fmt: skip
    assert score("reliability", "facts", shut).note.endswith("not observable behind a guard or a server")
    assert score("reliability", "facts", shut, exact=True).value == 1.0
    assert score("romescore", "facts", shut).note == "not observable behind a guard or a server"
    assert score("multihop", "portability", shut).value == 1.0
    seen = Evidence(llama, {"neighbours": worlds.RETAIN}, name="now", original=shut)
    assert LOCALITY(seen, "neighbours").note == "not observable behind a guard or a server"


def test_locality_is_agreement_with_the_original_and_not_accuracy(lm: LM) -> None:
    wrong = [Record(r.id, r.prompt, "glass horses") for r in worlds.RETAIN]  # what it would not say
    before = Evidence(lm, {"neighbours": wrong}, name="original")
    assert LOCALITY(before, "neighbours").note == "no model before the edit to compare with"
    tokens = before.measured("neighbours", chosen)
    before.close()
    same = LOCALITY(Evidence(lm, {"neighbours": wrong}, name="same", original=before), "neighbours")
    assert (same.value, same.direction) == (1.0, "up")
    told = [lm.encoder.row(r) for r in wrong]
    right = fmean(
        fmean(a == b for a, b in zip(t, r.ids[r.start :], strict=False)) for t, r in zip(tokens, told, strict=True)
    )
    assert same.note == f"accuracy {right:.3f}"
    assert right < 0.5
    edit = Edit(base=lm.digest(), weights={f"{anatomy(lm.model).norm}.weight": (Scale(torch.tensor(-1.0)),)})
    with edit.on(lm):
        after = LOCALITY(Evidence(lm, {"neighbours": wrong}, name="after", original=before), "neighbours")
        for i, row in enumerate(wrong):
            ids = lm.encoder.row(row)
            now = lm.model(torch.tensor([ids.ids])).logits[0, ids.start - 1 : -2].argmax(-1).tolist()
            shares = [float(a == b) for a, b in zip(now, tokens[i], strict=True)]
            assert after.per_record[f"neighbours/{i:04d}"] == pytest.approx(fmean(shares))
    assert after.value < 0.5


def rome(**probabilities: tuple[float, float]) -> Evidence:
    """One row a set: the probability of its right answer, and that of its wrong one."""
    sets = {name: [Record(name, name, "right", perturbed=("wrong",))] for name in probabilities}
    return evidence(lambda r: answer(probabilities[r.prompt][r.answer == "wrong"], 0.001, ended=True), **sets)


def test_romescore_is_the_harmonic_mean_of_efficacy_paraphrase_and_neighbourhood() -> None:
    share = {"facts": 4, "rephrased": 3, "neighbours": 2}  # of four rows have the likelier right answer
    sets = {n: [Record(f"{n}{i}", f"{n}{i}", "a", perturbed=("b",)) for i in range(4)] for n in share}
    likely = {r.id for n, k in share.items() for r in sets[n][:k]}
    found = evidence(
        lambda r: answer(0.25, 0.25) if (r.answer == "a") == (r.id in likely) else answer(0.1, 0.1), **sets
    )
    whole = score("romescore", "facts", found)
    assert whole.value == pytest.approx(harmonic_mean([1, 3 / 4, 1 / 2]))
    assert whole.note == "S; ES 1.000, PS 0.750, NS 0.500"
    assert (whole.n, whole.direction) == (12, "up")
    assert 0 <= whole.low <= whole.value <= whole.high <= 1
    for part, value in {"ES": 1, "PS": 3 / 4, "NS": 1 / 2, "EM": 0.15, "PM": 0.15 / 2, "NM": 0.0}.items():
        assert score("romescore", "facts", found, part=part).value == pytest.approx(value)
    with pytest.raises(InputError, match="part"):
        build("metric", "romescore", {"part": "GE"})


def test_romescore_counts_ties_against_the_edit_and_says_what_is_missing() -> None:
    level = rome(facts=(0.3, 0.3), rephrased=(0.3, 0.1), neighbours=(0.3, 0.1))
    assert score("romescore", "facts", level).value == 0.0
    assert score("romescore", "facts", level, part="EM").value == pytest.approx(0.0)
    alone = evidence(facts=some(2, perturbed=("x",)), rephrased=some(2))
    assert score("romescore", "facts", alone).note == "no right and wrong answer to compare on rephrased, neighbours"
    half = evidence(facts=[record(0, perturbed=("x",)), record(1)])
    note = score("romescore", "facts", half, part="ES").note
    assert note == "ES; 1 rows undefined (no two answers to compare)"


def test_multihop_counts_an_instance_once_any_of_its_questions_brings_the_answer() -> None:
    def rows(name: str, *spellings: str) -> list[Record]:
        questions = (f"{name}1", f"{name}2", f"{name}3")
        return [Record(name, questions[0], s, paraphrases=questions[1:], restated=spellings[0]) for s in spellings]

    said = {"a1": "Lima", "b3": "In the CITY of Kings!", "c2": "Limassol", "d1": "of city the Kings", "e1": "  "}
    sets = [*rows("a", "Lima"), *rows("b", "Lima", "City of Kings"), *rows("c", "Lima"), *rows("d", "city of Kings")]
    found = evidence(writes=lambda r: said.get(r.prompt, "no"), portability=[*sets, *rows("e", "!?")])
    value = score("multihop", "portability", found)
    assert value.per_record == {
        "portability/0000": 1.0, "portability/0001": 1.0, "portability/0003": 0.0, "portability/0004": 0.0
    }  # fmt: skip
    assert (value.value, value.n, value.direction) == (0.5, 4, "up")
    assert value.note == "1 of 5 undefined (no word in the answer)"
    assert value.low < 0.5 < value.high


GOLDEN = [("gpt2", "rome_mom2"), ("llama", "rome_mom2"), ("gpt2", "memit_batch10"), ("llama", "memit_batch10")]
PADDED = {("gpt2", "memit_batch10", "same_subject"): (0.45, 0.4375)}  # ours and EasyEdit's figure


def edited(shared: Path, kind: str, tag: str) -> tuple[LM, Edit, dict[str, tuple[Record, ...]], dict[str, Any]]:
    """A model of the golden folder, what EasyEdit made of its weights, what is asked, and what EasyEdit wrote down."""
    golden = shared / "golden" / "easyedit"
    told = json.loads((golden / f"edits_{kind}.json").read_text(encoding="utf-8"))
    facts = read_facts([told["rome_edit"]] if tag.startswith("rome") else told["memit_edits"])
    lm = load(shared / "golden" / f"tiny_facts_{kind}")
    deltas = load_file(golden / kind / tag / "delta.safetensors")
    edit = Edit(base=lm.digest(), weights={n.removeprefix("delta."): (Add(d),) for n, d in deltas.items()})
    names = ("info", "probes_pre", "probes_post")
    logs = {name: json.loads((golden / kind / tag / f"{name}.json").read_text(encoding="utf-8")) for name in names}
    return lm, edit, fact_sets(facts, kinds=True), logs


@pytest.mark.parametrize(("kind", "tag"), GOLDEN, ids=str)
def test_the_figures_on_edited_models_are_those_of_easyedit(shared: Path, kind: str, tag: str) -> None:
    lm, edit, sets, logs = edited(shared, kind, tag)
    names = ("reliability", "generalisation", "locality", "portability")
    metrics = [*of(*names).build(), *(build("metric", "romescore", {"part": part}) for part in ("ES", "PS", "EM"))]
    before = Evidence(lm, sets, name="original", roles=fact_roles(sets))
    for s in before.of_role("neighbours"):
        before.measured(s, chosen)
    before.close()
    with edit.on(lm):
        after = Evidence(lm, sets, name="edited", roles=fact_roles(sets), original=before)
        found = {
            (s, name_of(m), getattr(m, "part", "")): m(after, s).value
            for s in sets for m in metrics if after.roles[s] in m.directions
        }  # fmt: skip
    theirs, probed = logs["info"]["metrics_summary"]["post"], logs["info"]["probe_summary_post"]
    assert found["facts", "reliability", ""] == pytest.approx(theirs["rewrite_acc"])
    assert found["rephrased", "generalisation", ""] == pytest.approx(probed["para_acc"])
    assert found["portability_one_hop", "portability", ""] == pytest.approx(theirs["portability.one_hop_acc"])
    assert found["facts", "romescore", "ES"] == pytest.approx(probed["efficacy_success"])
    assert found["facts", "romescore", "PS"] == pytest.approx(probed["para_success"])
    assert found["facts", "romescore", "EM"] == pytest.approx(probed["efficacy_magnitude"], abs=1e-4)
    for group in ("neighborhood", "same_subject"):
        figure = theirs[f"locality.{group}_acc"]
        ours, easyedits = PADDED.get((kind, tag, group), (figure, figure))
        assert found[f"neighbours_{group}", "locality", ""] == pytest.approx(ours)
        assert figure == pytest.approx(easyedits)


@pytest.mark.parametrize(("kind", "tag"), GOLDEN, ids=str)
def test_the_chosen_tokens_are_those_of_each_prompt_by_itself(shared: Path, kind: str, tag: str) -> None:
    lm, edit, sets, logs = edited(shared, kind, tag)
    rows = [r for s in sets for r in sets[s]]
    said = [{(p["prompt"], p["target"]): tuple(p["argmax_ids"]) for p in logs[f"probes_{w}"]} for w in ("pre", "post")]
    found = [chosen(lm, rows)]
    with edit.on(lm):
        found.append(chosen(lm, rows))
    for logged, now in zip(said, found, strict=True):
        assert now == [logged[r.prompt, r.answer] for r in rows]


def test_easyedits_locality_of_gpt2_comes_from_padding_on_the_left_without_positions(shared: Path) -> None:
    lm, edit, sets, _ = edited(shared, "gpt2", "memit_batch10")
    rows = sets["neighbours_same_subject"]

    def chosen() -> list[list[int]]:
        found = []
        for subject in dict.fromkeys(r.subject for r in rows):
            some = [lm.encoder.row(r) for r in rows if r.subject == subject]
            width = max(len(r.ids) for r in some)
            ids = torch.tensor([[lm.pad] * (width - len(r.ids)) + list(r.ids) for r in some])
            real = torch.tensor([[0] * (width - len(r.ids)) + [1] * len(r.ids) for r in some])
            with torch.no_grad():
                best = lm.model(input_ids=ids, attention_mask=real).logits.argmax(-1)
            found += [best[k, r.start - len(r.ids) - 1 : -2].tolist() for k, r in enumerate(some)]
        return found

    before = chosen()
    with edit.on(lm):
        after = chosen()
    shares = [fmean(a == b for a, b in zip(*pair, strict=True)) for pair in zip(before, after, strict=True)]
    assert fmean(shares) == PADDED["gpt2", "memit_batch10", "same_subject"][1]


def test_an_audit_of_one_copy_remembers_what_the_original_chose(llama: LM) -> None:
    rows = {"neighbours": list(worlds.RETAIN), "facts": list(worlds.FORGET)}
    edit = Edit(base=llama.digest(), weights={f"{anatomy(llama.model).norm}.weight": (Scale(torch.tensor(-1.0)),)})
    report = audit(
        {"original": llama, "edited": partial(edit.on, llama)}, rows, roles={name: name for name in rows},
        suite=of("locality", "reliability"),
    )  # fmt: skip
    values = {(r.model, r.score.name): r.score.value for r in report.scores}
    assert values["original", "locality"] is None
    assert values["edited", "locality"] < 0.5
    assert values["original", "reliability"] > 0.99 > 0.5 > values["edited", "reliability"]
