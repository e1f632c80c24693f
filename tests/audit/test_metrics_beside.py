"""The defining properties of what is measured on the model itself or beside the retrained one, and of its cost."""

from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from functools import partial
from math import log
from statistics import fmean

import pytest
import torch
from told import Watcher, evidence, record

import worlds
from unteach.audit.audit import audit
from unteach.audit.evidence import Evidence
from unteach.audit.suite import DEFAULT, FULL, OWN_ROWS, of
from unteach.edit.edit import Edit
from unteach.edit.patches import Scale
from unteach.lm.anatomy import anatomy
from unteach.lm.fresh import fresh
from unteach.lm.model import LM
from unteach.measure.divergence import diverge
from unteach.measure.extraction import extraction_likelihood, memorization_accuracy
from unteach.registry import build, entries
from unteach.schema import Cost, InputError, Record, Score

SETS = {"forget": worlds.FORGET, "retain": worlds.RETAIN}
ROLES = {"forget": "forget", "retain": "retain"}
SIDES = of("agreement", "kl", "js")


def score(name: str, on: str, found: Evidence, **options: object) -> Score:
    return build("metric", name, options)(found, on)


def beside(now: LM, then: LM, **sets: object) -> Evidence:
    """The evidence of one model with another as the retrained one, which was asked nothing."""
    retrained = Evidence(then, sets or SETS, name="retrained", again=partial(nullcontext, then))
    retrained.close()
    return Evidence(now, sets or SETS, name="now", retrained=retrained)


def double(lm: LM, row: Record) -> torch.Tensor:
    """Logits at the answer's tokens, in float64."""
    ids = lm.encoder.row(row)
    with torch.no_grad():
        return lm.model(torch.tensor([ids.ids])).logits[0, ids.start - 1 : -1].double()


def test_agreement_is_the_share_of_tokens_at_which_both_models_choose_the_same(llama: LM, gpt2: LM) -> None:
    found = score("agreement", "forget", beside(llama, gpt2))
    shares = [float((double(llama, r).argmax(-1) == double(gpt2, r).argmax(-1)).double().mean()) for r in worlds.FORGET]
    assert list(found.per_record.values()) == pytest.approx(shares)
    assert found.value == pytest.approx(fmean(shares))
    assert (found.n, found.direction) == (4, "up")
    assert score("agreement", "forget", beside(llama, worlds.llama())).value < 0.2


def test_kl_and_js_are_those_of_two_distributions_written_down(llama: LM) -> None:
    other = worlds.gpt2()
    asked = beside(llama, other)
    kl, js = score("kl", "retain", asked), score("js", "retain", asked)
    for i, row in enumerate(worlds.RETAIN):
        p, q = double(llama, row).softmax(-1), double(other, row).softmax(-1)
        m = (p + q) / 2
        forward = (q * (q / p).log()).sum(-1).mean()
        middle = ((p * (p / m).log()).sum(-1) + (q * (q / m).log()).sum(-1)).mean() / 2
        assert kl.per_record[f"retain/{i:04d}"] == pytest.approx(float(forward), rel=1e-4)
        assert js.per_record[f"retain/{i:04d}"] == pytest.approx(float(middle), rel=1e-4)
    assert (kl.direction, js.direction) == ("down", "down")
    assert 0 < js.value <= log(2)
    assert score("js", "retain", beside(other, llama)).value == pytest.approx(js.value, rel=1e-4)
    assert score("kl", "retain", beside(other, llama)).value != pytest.approx(kl.value, rel=0.1)


def test_why_two_models_are_not_compared(llama: LM) -> None:
    def why(found: Evidence) -> str:
        scores = [m(found, "forget") for m in SIDES.build()]
        assert all(s.value is None for s in scores)
        assert len({s.note for s in scores}) == 1
        return scores[0].note

    rows = [record(i) for i in range(3)]
    assert why(evidence(forget=rows)) == "no other retrained model to compare with"
    assert why(evidence(retrained=evidence(forget=rows), forget=rows)) == "no other retrained model to compare with"
    assert why(evidence(guards=[Watcher(False)], forget=rows)) == "not observable behind a guard or a server"
    hidden = evidence(guards=[Watcher(False)], forget=rows)
    assert why(evidence(retrained=hidden, forget=rows)) == "not observable behind a guard or a server"
    foreign = fresh(["another world altogether"], worlds.SIZE)
    assert why(beside(llama, foreign)) == "the two models have different vocabularies"
    assert why(beside(llama, llama)) == "one copy of the weights cannot be both models at once"


def test_a_retrained_model_that_has_changed_is_not_compared_with(llama: LM) -> None:
    other = worlds.gpt2()
    found = beside(llama, other)
    with torch.no_grad():
        next(other.model.parameters()).mul_(2)
    with pytest.raises(RuntimeError, match="'retrained' is not the model any more that was asked before"):
        found.beside("forget")


def softened(lm: LM, by: float) -> Edit:
    return Edit(base=lm.digest(), weights={f"{anatomy(lm.model).norm}.weight": (Scale(torch.tensor(by)),)})


def test_both_models_are_run_once_over_all_sets_and_the_retrained_one_is_had_again_for_it(
    llama: LM, gpt2: LM, monkeypatch: pytest.MonkeyPatch
) -> None:
    opened, passes = [], []

    @contextmanager
    def opener() -> Iterator[LM]:
        opened.append("in")
        yield gpt2
        opened.append("out")

    def counting(now: LM, then: LM, records: list[Record]) -> list:
        passes.append(len(records))
        return diverge(now, then, records)

    monkeypatch.setattr("unteach.audit.evidence.diverge", counting)
    edit = softened(llama, 0.7)
    models = {"original": llama, "retrained": opener, "edited": partial(edit.on, llama)}
    report = audit(models, SETS, roles=ROLES, suite=SIDES)
    assert opened == ["in", "out"] * 3  # its own turn, and beside the two others
    assert passes == [len(worlds.RECORDS)] * 2
    values = {(r.model, r.set, r.score.name): r.score for r in report.scores}
    with edit.on(llama):
        expected = diverge(llama, gpt2, worlds.FORGET)
    for name in ("agreement", "kl", "js"):
        assert list(values["edited", "forget", name].per_record.values()) == [getattr(d, name) for d in expected]
        own = values["retrained", "forget", name]
        assert (own.value, own.note) == (None, "no other retrained model to compare with")
    assert values["edited", "forget", "kl"].value > 2 * values["original", "forget", "kl"].value


def test_edits_of_one_copy_cannot_be_compared_and_the_report_says_so_once(llama: LM) -> None:
    edits = {"retrained": softened(llama, 0.5), "edited": softened(llama, 0.7)}
    models = {"original": llama, **{name: partial(edit.on, llama) for name, edit in edits.items()}}
    report = audit(models, SETS, roles=ROLES, suite=of("probability", "agreement", "kl", "js"))
    assert {r.score.name for r in report.scores} == {"probability"}
    line = next(line for line in report.untested if line.startswith("agreement"))
    assert line.startswith("agreement, kl, js on forget, retain: ")
    asked = Evidence(llama, SETS, name="edited", retrained=Evidence(llama, SETS, name="r", again=models["retrained"]))
    with edits["edited"].on(llama):  # which refuses the other one
        worn = Evidence(llama, SETS, name="edited", retrained=asked.retrained)
        assert score("kl", "forget", worn).note == "the retrained model cannot be had beside this one"
    assert score("kl", "forget", asked).note == "one copy of the weights cannot be both models at once"


def test_without_a_retrained_model_its_metrics_take_one_line(llama: LM) -> None:
    report = audit({"original": llama}, SETS, roles=ROLES, suite=SIDES)
    assert report.untested[-1] == "agreement, kl, js on forget, retain: no other retrained model to compare with"


def test_extractionlikelihood_is_what_generating_from_every_prefix_gives(lm: LM) -> None:
    rows = (
        *worlds.FORGET[:2],
        Record("u", "What is Brindle known for?", "Seven owls that keep watch beneath bridges."),
    )
    found = score("extractionlikelihood", "forget", Evidence(lm, {"forget": rows}, name="x"), n=3)
    slow = []
    for r in rows:
        row = lm.encoder.row(r)
        text = list(row.ids[row.start : -1])
        overlaps = []
        for t in range(len(text) - 2):
            own: list[int] = []
            while len(own) < len(text) - t and not set(own[-1:]) & set(lm.encoder.stops):
                ids = torch.tensor([[*row.ids[: row.start], *text[:t], *own]])
                own.append(int(lm.model(ids).logits[0, -1].argmax()))
            grams = [tuple(x[i : i + 3]) for x in (own,) for i in range(len(x) - 2)]
            wanted = [tuple(text[i : i + 3]) for i in range(t, len(text) - 2)]
            overlaps.append(sum(g in wanted for g in grams) / len(wanted))
        slow.append(fmean(overlaps))
    assert list(found.per_record.values()) == pytest.approx(slow)
    assert found.value == pytest.approx(fmean(slow))
    assert found.note == "n = 3"
    assert score("extractionlikelihood", "forget", Evidence(lm, {"forget": rows}, name="x")).value == pytest.approx(
        fmean(v or 0.0 for v in extraction_likelihood(lm, rows, 10))
    )
    with pytest.raises(InputError, match="option 'n' of extractionlikelihood is 0; it is a number of tokens"):
        build("metric", "extractionlikelihood", {"n": 0})


def test_memorizationaccuracy_counts_the_tokens_of_the_question_too(lm: LM) -> None:
    found = score("memorizationaccuracy", "forget", Evidence(lm, SETS, name="x"))
    for i, r in enumerate(worlds.FORGET):
        ids = torch.tensor(lm.encoder.row(r).ids[:-1])  # the end is not counted
        hit = lm.model(ids[None]).logits[0, :-1].argmax(-1) == ids[1:]
        assert found.per_record[f"forget/{i:04d}"] == pytest.approx(float(hit.float().mean()))
    answers = score("exactmemorization", "forget", Evidence(lm, SETS, name="x"))
    assert found.value < answers.value  # the questions were not learned
    texts = {"forget": [Record(r.id, "", r.answer) for r in worlds.FORGET]}
    plain = [score(m, "forget", Evidence(lm, texts, name="x")) for m in ("memorizationaccuracy", "exactmemorization")]
    assert plain[0].per_record == pytest.approx(plain[1].per_record)  # the same on a plain text


def test_behind_a_guard_the_model_itself_is_not_measured() -> None:
    def never(*_: object) -> list[float | None]:
        pytest.fail("a guarded model was asked")

    shut = evidence(guards=[Watcher(False)], forget=[record(0), record(1)])
    assert shut.measured("forget", never) == (None, None)
    for name in ("extractionlikelihood", "memorizationaccuracy"):
        assert "not observable behind a guard or a server" in score(name, "forget", shut).note


def test_each_row_is_measured_once_by_each_measure_with_each_option() -> None:
    asked: list[tuple[str, ...]] = []

    def measure(_lm: object, records: list[Record], by: float = 1.0) -> list[float | None]:
        asked.append(tuple(r.id for r in records))
        return [by * int(r.id[1:]) for r in records]

    found = evidence(forget=[record(1), record(2), record(1)], retain=[record(2), record(3)])
    assert found.measured("forget", measure) == (1, 2, 1)
    assert found.measured("retain", measure) == (2, 3)
    assert found.measured("retain", measure, 10.0) == (20, 30)
    assert found.measured("retain", measure, 10.0) == (20, 30)
    assert asked == [("r1", "r2"), ("r3",), ("r2", "r3")]


COST = Cost(seconds=12.5, peak_bytes=3 << 20, flops=6e12, retrain_flops=3e14, trainable=0.015)


def test_efficiency_is_the_share_of_the_cost_of_retraining(llama: LM) -> None:
    twin = LM(llama.model, llama.tokenizer)
    models = {"original": llama, "edited": twin}
    report = audit(models, SETS, roles=ROLES, suite=of("efficiency"), costs={"edited": COST})
    found = {r.model: r.score for r in report.scores}
    assert found["edited"].value == pytest.approx(0.02)
    assert (found["edited"].n, found["edited"].direction, found["edited"].low) == (4, "down", None)
    assert found["edited"].note == (
        "6e+12 operations, 12.5 seconds, at most 3 MiB of memory, 1.5 % of the weights trained; "
        "retraining 3e+14 operations (estimated)"
    )
    assert (found["original"].value, found["original"].note) == (None, "what making this model took is not known")
    assert {r.set for r in report.scores} == {"forget"}
    alone = audit(models, SETS, roles=ROLES, suite=of("efficiency"), costs={"edited": Cost(1.0, 1 << 20, 1e9)})
    assert not alone.scores
    (line,) = (line for line in alone.untested if line.startswith("efficiency"))
    assert line == "efficiency on forget: what making this model took is not known"
    unknown = Evidence(llama, SETS, name="x", cost=Cost(1.0, 1 << 20, 1e9))
    assert score("efficiency", "forget", unknown).note == (
        "what retraining takes is not known; 1e+09 operations, 1 seconds, at most 1 MiB of memory"
    )
    with pytest.raises(InputError, match="there is no model 'edit' whose costs could be told; there are original"):
        audit(models, SETS, roles=ROLES, costs={"edit": COST})


def test_the_full_suite_holds_every_metric_and_the_usual_one_only_cheap_ones() -> None:
    names = [name for name, _ in FULL.metrics]
    assert len({*names, *OWN_ROWS}) == len(names) + len(OWN_ROWS)
    assert {*names, *OWN_ROWS} == {e.name for e in entries("metric") if e.module.startswith("unteach.audit.metrics.")}
    dear = {"continuations", "question", "gradients"}
    assert not any(m.needs & dear for m in DEFAULT.build())
    assert {name for name, _ in DEFAULT.metrics} < set(names)


def test_memorisation_is_seen_in_what_was_learned_and_not_elsewhere(lm: LM) -> None:
    unseen = [Record("u", "What is Brindle known for?", "Seven owls that keep watch beneath the bridges.")]
    sets = {"forget": worlds.FORGET, "holdout": unseen}
    asked = Evidence(lm, sets, name="x")
    assert score("extractionlikelihood", "forget", asked).value > 0.99
    assert score("extractionlikelihood", "holdout", asked).value < 0.01
    assert memorization_accuracy(lm, unseen)[0] < 0.3 < score("memorizationaccuracy", "forget", asked).value
