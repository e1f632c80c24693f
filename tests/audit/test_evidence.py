"""Each model is asked once, only what is needed, only while it is there, and nothing of what was said leaks."""

from dataclasses import replace

import numpy as np
import pytest
from told import ToldLM, Watcher, answer, ask, evidence, record, telling

import worlds
from unteach.audit.evidence import Evidence
from unteach.audit.suite import DEFAULT, of
from unteach.lm.model import LM
from unteach.measure.answers import ask as measured
from unteach.schema import InputError, Message, Record

SETS = {
    "forget": [record(i, perturbed=("wrong 1", "wrong 2"), restated="said so", paraphrases=("again?",)) for i in range(4)],
    "retain": [record(i, perturbed=("wrong 1",)) for i in range(3, 8)],
    "general": [record(i) for i in range(7, 10)],
    "holdout": [record(i) for i in range(20, 24)],
}  # fmt: skip


def wanted(found: Evidence) -> list:
    return [(m, s) for m in DEFAULT.build() for s in SETS if found.roles[s] in m.directions]


def test_all_metrics_are_answered_by_one_pass_and_one_generation_over_distinct_rows() -> None:
    lm = ToldLM(lambda r: answer(0.1 + 0.01 * len(r.answer)))
    with telling():
        first = Evidence(lm, SETS, name="first")
        first.gather((m.needs, s) for m, s in wanted(first))
        assert (len(lm.rows), len(lm.prompts)) == (1, 1)
        scores = [m(first, s) for m, s in wanted(first)]
    assert (len(lm.rows), len(lm.prompts)) == (1, 1)  # the metrics asked for nothing more
    rows = [(r.prompt, r.answer) for r in lm.rows[0]]
    prompts = [r.prompt for r in lm.prompts[0]]
    assert len(set(rows)) == len(rows)
    assert len(set(prompts)) == len(prompts)
    expected = {(r.prompt, r.answer) for s in SETS.values() for r in s}
    expected |= {(r.prompt, wrong) for s in SETS.values() for r in s for wrong in r.perturbed}
    expected |= {(r.prompt, r.restated) for r in SETS["forget"]}
    assert set(rows) == expected
    assert set(prompts) == {r.prompt for s in ("forget", "retain", "general", "holdout") for r in SETS[s]} | {"again?"}
    assert all(r.answer == "" for r in lm.prompts[0])  # a generation is never shown the answer
    assert sum(s.value is not None for s in scores) > 20


def test_mean_and_variance_are_measured_where_they_are_read_and_nowhere_else(llama: LM) -> None:
    sets = {"forget": [replace(r, perturbed=("wrong",)) for r in worlds.FORGET], "holdout": list(worlds.RETAIN)}
    found = Evidence(llama, sets, name="some")
    for name in ("truthratio", "miaminkpp"):  # the second finds rows that were asked without
        (metric,) = of(name).build()
        found.gather([(metric.needs, "forget")])
    again = measured(llama, sets["forget"], spread=True)
    for kept, own in zip(found.answers("forget", spread=True), again, strict=True):
        assert np.isfinite(kept.mean).all()
        assert np.allclose(kept.mean, own.mean, atol=1e-5)
        assert np.allclose(kept.variance, own.variance, atol=1e-4)
    assert all(np.isnan(a.mean).all() for wrong in found.perturbed("forget") for a in wrong)


@pytest.mark.parametrize(("name", "rows", "prompts"), [("rougel", 0, 1), ("probability", 1, 0), ("paraphrase", 0, 1)])
def test_only_what_a_metric_needs_is_asked(name: str, rows: int, prompts: int) -> None:
    lm = ToldLM(lambda _: answer(0.5))
    (metric,) = of(name).build()
    with telling():
        found = Evidence(lm, {"forget": SETS["forget"]}, name="some")
        found.gather([(metric.needs, "forget")])
        metric(found, "forget")
    assert (len(lm.rows), len(lm.prompts)) == (rows, prompts)


def test_answers_come_in_the_order_of_the_rows() -> None:
    with telling():
        found = evidence(lambda r: answer(len(r.answer) / 100), forget=SETS["forget"], retain=SETS["retain"])
        for name in ("forget", "retain"):
            assert [a.logps for a in found.answers(name)] == [answer(len(r.answer) / 100).logps for r in SETS[name]]
        assert [len(c) for c in found.choices("forget")] == [3, 3, 3, 3]
        assert found.choices("forget")[0][1:] == found.perturbed("forget")[0]


def test_what_is_not_restated_is_taken_as_it_is() -> None:
    with telling():
        found = evidence(lambda r: answer(0.9 if r.answer == "said so" else 0.2), **SETS)
        assert found.restated("forget")[0].logps == answer(0.9).logps
        assert found.restated("retain") == found.answers("retain")


def test_a_conversation_is_asked_again_with_its_last_turn_reworded() -> None:
    turns = (Message("user", "one"), Message("assistant", "two"), Message("user", "three"))
    row = Record("c", "three", "four", messages=turns, paraphrases=("drei", "trois"))
    lm = ToldLM(lambda _: answer(0.5), writes=lambda r: r.messages[-1].content)
    found = Evidence(lm, {"forget": [row]}, name="some")
    assert found.paraphrased("forget") == (("drei", "trois"),)
    assert all(p.messages[:2] == turns[:2] for p in lm.prompts[0])
    plain = Evidence(lm, {"forget": [replace(row, messages=(), prompt="")]}, name="some")
    lm.writes = lambda r: r.prompt
    assert plain.paraphrased("forget") == (("drei", "trois"),)


def test_a_model_that_has_changed_or_gone_is_not_asked() -> None:
    lm = ToldLM(lambda _: answer(0.5))
    with telling():
        found = Evidence(lm, SETS, name="some")
        found.answers("forget")
        lm.weights = "changed"
        assert len(found.answers("forget")) == 4  # what is known stays known
        with pytest.raises(RuntimeError, match="'some'"):
            found.answers("holdout")
        lm.weights = "as they were"
        found.close()
        with pytest.raises(RuntimeError):
            found.generated("holdout")


def test_behind_a_guard_only_what_the_model_writes_can_be_measured() -> None:
    with telling():
        open_, shut = evidence(guards=[Watcher(True)], **SETS), evidence(guards=[Watcher(False)], **SETS)
        for metric, name in wanted(shut):
            seen, hidden = metric(open_, name), metric(shut, name)
            generated = "generation" in metric.needs and "perturbed" not in metric.needs
            assert (hidden.value is None) == (not generated or seen.value is None)
            if seen.value is not None and not generated:
                assert "not observable behind a guard or a server" in hidden.note
    lm = ToldLM(lambda _: pytest.fail("a guarded model was asked for log-probabilities"))
    lm.guards = [Watcher(True), Watcher(False)]
    assert ask is not None
    assert all(len(a.logps) == 0 for a in Evidence(lm, SETS, name="some").answers("forget"))


def test_roles_come_from_names_or_are_given() -> None:
    found = Evidence(
        ToldLM(lambda _: answer(0.5)), {"forget": [], "authors": [], "odd": []}, name="x", roles={"odd": "holdout"}
    )
    assert found.roles == {"forget": "forget", "authors": "general", "odd": "holdout"}
    assert found.of_role("holdout") == ("odd",)


def test_labels_are_numbers_and_the_repr_is_silent() -> None:
    found = Evidence(ToldLM(lambda _: answer(0.5)), SETS, name="x")
    assert found.labels("forget") == ("forget/0000", "forget/0001", "forget/0002", "forget/0003")
    assert "question" not in repr(found)


def test_an_unknown_set_is_refused_with_the_known_ones() -> None:
    with pytest.raises(InputError, match="no set 'forgot'; there are forget, retain, general, holdout"):
        Evidence(ToldLM(lambda _: answer(0.5)), SETS, name="x").answers("forgot")
