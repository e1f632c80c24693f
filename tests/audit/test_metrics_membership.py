"""The defining properties of membership inference by other numbers than the loss, and of the privacy leak."""

import zlib
from math import exp, inf, log

import numpy as np
import pytest
from told import Watcher, answer, evidence, record
from torch.nn.functional import cross_entropy

import worlds
from unteach.audit.evidence import Evidence
from unteach.audit.metrics.privleak import PrivLeak
from unteach.audit.statistics import auc
from unteach.lm.model import LM
from unteach.measure.answers import Answer, min_k_plus_plus
from unteach.registry import build
from unteach.schema import InputError, Record, Score


@pytest.fixture(autouse=True)
def telling(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("unteach.audit.evidence.ask", lambda lm, rows, **_: [lm.says(r) for r in rows])


def score(name: str, found: Evidence, **options: object) -> Score:
    return build("metric", name, options)(found, "forget")


def rows(n: int, m: int) -> dict[str, list[Record]]:
    return {"forget": [record(i) for i in range(n)], "holdout": [record(100 + i) for i in range(m)]}


def known(r: Record) -> bool:
    return int(r.id[1:]) < 100


def test_miazlib_sets_the_loss_against_the_compressed_size_of_the_answer() -> None:
    plain, rich = "ha " * 40, "A quiet fox jumped over six lazy dogs, vexing Mr. Brown & 17 geese (of 23)."
    sets = {"forget": [Record("a", "q", rich)], "holdout": [Record("b", "q", plain), Record("c", "q", "日本の首都")]}
    found = score("miazlib", evidence(lambda _: answer(0.25, 0.5), **sets))
    lost = -log(0.25 * 0.5) / 2
    sizes = [len(zlib.compress(text.encode())) for text in (rich, plain, "日本の首都")]
    assert list(found.per_record.values()) == pytest.approx([lost / n for n in sizes])
    assert found.value == 1.0  # the loss alone would say nothing
    assert score("mialoss", evidence(lambda _: answer(0.25, 0.5), **sets)).value == 0.5
    assert score("miazlib", evidence(lambda _: answer(0.5), forget=sets["forget"])).value is None


def test_miaminkpp_sees_what_is_unlikely_beside_what_else_could_stand_there() -> None:
    def says(r: Record) -> Answer:
        """The same probabilities, where many others are as likely (forget) and where one is much likelier."""
        middle = np.full(4, log(0.1) if known(r) else log(0.8))
        return Answer(np.log([0.1, 0.1, 0.2, 0.9]), np.zeros(4, bool), middle, np.full(4, 0.25), True)

    found = score("miaminkpp", evidence(says, **rows(3, 4)), k=0.67)
    assert found.value == 1.0
    assert score("miamink", evidence(says, **rows(3, 4)), k=0.67).value == 0.5
    assert found.per_record["forget/0000"] == pytest.approx(0.0)
    assert found.per_record["holdout/0000"] == pytest.approx(-(log(0.1) - log(0.8)) / 0.5)
    assert found.note.startswith("k = 0.67; ")
    with pytest.raises(InputError, match=r"option 'k' of miaminkpp is 0.0; it is a share of the tokens"):
        build("metric", "miaminkpp", {"k": 0.0})


@pytest.mark.parametrize("variance", [0.0, 1e-9, 1e-6])
def test_min_k_plus_plus_of_a_model_that_is_sure_stays_finite(variance: float) -> None:
    sure = Answer(np.array([-1e-4, -2e-4]), np.ones(2, bool), np.array([-1e-5, -1e-5]), np.full(2, variance), False)
    assert min_k_plus_plus(sure, 0.5) == pytest.approx((-2e-4 + 1e-5) / 1e-3)
    assert min_k_plus_plus(sure, 1.0) == pytest.approx((-1.5e-4 + 1e-5) / 1e-3)
    assert min_k_plus_plus(Answer(*[np.empty(0)] * 4, False)) is None


def test_miaconfidence_finds_rows_that_were_taught_something_else() -> None:
    def says(r: Record) -> Answer:
        """A lie is told surely of the known rows, guesses of the others; the truth is unlikely everywhere."""
        own = r.answer == f"lie {r.id}"
        return answer(0.9 if own and known(r) else 0.4 if own else 0.01)

    found = score("miaconfidence", evidence(says, lambda r: f"lie {r.id} ", **rows(8, 9)))
    assert found.value == 1.0
    assert found.per_record["forget/0003"] == pytest.approx(-log(0.9))
    assert found.per_record["holdout/0003"] == pytest.approx(-log(0.4))
    assert score("mialoss", evidence(says, lambda r: f"lie {r.id}", **rows(8, 9))).value == 0.5
    silent = score("miaconfidence", evidence(says, lambda r: "" if known(r) else "x", **rows(8, 9)))
    assert (silent.value, silent.n) == (None, 0)
    hidden = evidence(says, lambda r: f"lie {r.id}", guards=[Watcher(False)], **rows(8, 9))
    assert score("miaconfidence", hidden).value is None


def test_miareference_takes_away_what_the_retrained_model_finds_hard_too() -> None:
    hard = {f"r{i}": 0.01 * (i % 7 + 1) for i in range(120)}
    then = evidence(lambda r: answer(hard[r.id]), **rows(8, 9))
    now = evidence(lambda r: answer(hard[r.id] * (1.5 if known(r) else 1.0)), retrained=then, **rows(8, 9))
    found = score("miareference", now)
    assert found.value == 1.0
    assert found.per_record["forget/0002"] == pytest.approx(-log(1.5))
    assert found.per_record["holdout/0002"] == pytest.approx(0.0)
    assert 0.5 < score("mialoss", now).value < 0.9
    alone = score("miareference", then)
    assert (alone.value, alone.note) == (None, "no other retrained model to compare with")
    unseen = evidence(retrained=evidence(guards=[Watcher(False)], **rows(2, 2)), **rows(2, 2))
    assert score("miareference", unseen).note == "not observable behind a guard or a server"


def test_miagradnorm_is_the_mean_norm_of_the_gradient_and_leaves_none_behind(lm: LM) -> None:
    unseen = [Record(f"u{i}", r.prompt, r.answer[::-1]) for i, r in enumerate(worlds.RECORDS[:4])]
    sets, before = {"forget": worlds.FORGET[:3], "holdout": unseen}, worlds.state(lm)
    asked = Evidence(lm, sets, name="real")
    found = score("miagradnorm", asked)
    assert worlds.state(lm) == before
    assert found.value == 1.0  # learned rows teach no more
    assert found.note.startswith("2-norm; ")
    batch = lm.batch(sets["forget"][:1])
    cross_entropy(lm.logits(batch), batch.targets).backward()
    norms = [float(w.grad.norm()) for w in lm.model.parameters()]
    lm.model.zero_grad()
    assert found.per_record["forget/0000"] == pytest.approx(np.mean(norms), rel=1e-4)
    assert score("miagradnorm", asked, p=1.0).per_record["forget/0000"] > found.per_record["forget/0000"]
    asked.close()
    assert score("miagradnorm", asked).value == found.value  # each row was asked once, and is not asked again
    assert (
        score("miagradnorm", evidence(guards=[Watcher(False)], **rows(2, 2))).note
        == "not observable behind a guard or a server"
    )
    with pytest.raises(InputError, match=r"option 'p' of miagradnorm is 0.5; it is the order of a norm, at least 1"):
        build("metric", "miagradnorm", {"p": 0.5})


def test_privleak_is_zero_for_the_retrained_model_and_minus_a_hundred_for_the_original() -> None:
    draw = np.random.default_rng(1)
    chances = {f"r{i}": draw.uniform(0.1, 0.6, 5) for i in range(130)}

    def says(lift: float):
        return lambda r: answer(*(chances[r.id] ** (lift if known(r) else 1.0)))

    then = evidence(says(1.0), **rows(20, 25))
    for lift, value in ((1.0, 0.0), (1e-9, -100.0), (99.0, None)):
        found = score("privleak", evidence(says(lift), retrained=then, **rows(20, 25)))
        assert found.low <= found.value <= found.high
        assert value is None or found.value == pytest.approx(value)
        reference = 1 - score("miamink", then, k=0.4).value
        assert f"the retrained model's {reference:.3f}" in found.note
    assert found.value == pytest.approx(100 * (1 / reference - 1))  # their absence shows
    assert (found.direction, found.n) == ("zero", 20)
    partly = score("privleak", evidence(says(0.7), retrained=then, **rows(20, 25)))
    now = 1 - score("miamink", evidence(says(0.7), **rows(20, 25)), k=0.4).value
    assert partly.value == pytest.approx(100 * (now - reference) / reference)
    assert partly.low < partly.value < partly.high < 0


def test_privleak_without_a_retrained_model_is_set_against_a_coin_and_says_so() -> None:
    found = score("privleak", evidence(lambda r: answer(0.9 if known(r) else 0.1), **rows(12, 12)))
    assert (found.value, found.low) == (-100.0, pytest.approx(-100.0))
    assert -100 < found.high < -50
    assert found.note == "k = 0.4; AUC 0.000, no retrained model: against a coin's 0.500"
    assert score("privleak", evidence(**rows(12, 12))).value == 0.0
    assert score("privleak", evidence(lambda r: answer(0.1 if known(r) else 0.9), **rows(12, 12))).value == 100.0
    for nothing, why in (
        (evidence(forget=rows(2, 0)["forget"]), "no holdout rows to compare with"),
        (evidence(guards=[Watcher(False)], **rows(2, 2)), "not observable behind a guard or a server"),
    ):
        assert (score("privleak", nothing).value, score("privleak", nothing).note) == (None, why)


def test_privleak_has_no_meaning_where_no_unseen_row_looks_like_a_member_to_the_retrained_model() -> None:
    leaky = evidence(lambda r: answer(0.9 if known(r) else 0.1), **rows(3, 3))
    found = score("privleak", evidence(retrained=leaky, **rows(3, 3)))
    assert (found.value, found.note) == (None, "by the retrained model, no holdout row looks like a member")
    hidden = evidence(guards=[Watcher(False)], **rows(3, 3))
    assert (
        score("privleak", evidence(retrained=hidden, **rows(3, 3))).note == "not observable behind a guard or a server"
    )
    assert PrivLeak.bounds == (-100.0, inf)


def test_privleak_pairs_the_rows_that_both_models_have_a_value_for() -> None:
    def says(r: Record) -> Answer:
        return answer(*([] if r.id == "r1" else [exp(-1.0 - int(r.id[1:]) % 5)]))

    then = evidence(lambda r: answer(exp(-1.0 - int(r.id[1:]) % 3)), **rows(10, 12))
    found = score("privleak", evidence(says, retrained=then, **rows(10, 12)))
    sides = [[v for k, v in found.per_record.items() if k.startswith(s)] for s in ("holdout", "forget")]
    assert found.n == len(sides[1]) == 9
    before = [
        [v for k, v in score("miamink", then).per_record.items() if k.startswith(s)] for s in ("holdout", "forget")
    ]
    assert found.value == pytest.approx(100 * (auc(*sides) / auc(*before) - 1))
    assert found.low <= found.value <= found.high
