"""LiRA-Forget behind in-context unlearning: likelihoods are those of the question as the model is asked it."""

import numpy as np
import pytest
from shadowed import says, score
from told import ToldLM, ask

from unteach.audit.evidence import Evidence
from unteach.audit.shadows import Shadow, World, ask_shadow, asked
from unteach.measure.behind import behind
from unteach.methods.conversation.icul import ICUL
from unteach.schema import Record, Request

NAMES = ("negative", "positive")
ROWS = tuple(Record(f"r{i}", f"Review {i}", NAMES[i % 2], label=i % 2) for i in range(120))
FORGET, RETAIN = ROWS[:40], ROWS[40:]
OTHER = dict(zip(NAMES, NAMES[::-1], strict=True))


def classifier(seed: int, *, trained: bool):
    """One that has learned the forgotten rows or not, and believes an example of the very row that it is asked about.

    Of each row it reads the question behind the last line break; a wrong label before it takes away what it learned.
    """
    noise = dict(zip(ROWS, np.random.default_rng(seed).normal(0, 1, len(ROWS)), strict=True))
    own = {r.prompt: r for r in ROWS}

    def phi(row: Record) -> float:
        *shown, question = row.prompt.split("\n")
        known = own[question]
        gain = 4.0 if trained and known in FORGET else 0.0
        belied = f"{question} {OTHER[known.answer]}" in shown
        return noise[known] + (0.0 if belied else gain)

    return phi


def read(guard: ICUL | None, seed: int, *, trained: bool) -> dict[Record, float]:
    """phi of each forgotten row, asked as it is behind a guard; rows are their own keys."""
    phi = classifier(seed, trained=trained)
    rows = behind([guard] if guard else [], FORGET)
    return {own: phi(row) for own, row in zip(FORGET, rows, strict=True) if row is not None}


def told_apart(guard: ICUL | None) -> float:
    """The metric of one more unlearned model beside six of its kind and six that were trained without the rows."""
    own = read(guard, 0, trained=True)
    shadows = [
        *(_shadow(read(guard, k, trained=True), "unlearned") for k in range(1, 7)),
        *(_shadow(read(None, k, trained=False), "out") for k in range(7, 13)),
    ]
    lm = ToldLM(says(lambda row: own[row]))
    return score("liraforget", Evidence(lm, {"forget": list(FORGET)}, name="told", shadows=shadows)).value  # type: ignore[arg-type]


def _shadow(phi: dict[Record, float], world: World) -> Shadow:
    members = frozenset(r.id for r in FORGET) if world != "out" else frozenset()
    return Shadow({asked(row): value for row, value in phi.items()}, {}, members, world)


@pytest.fixture(autouse=True)
def _telling(monkeypatch: pytest.MonkeyPatch) -> None:
    for module in ("evidence", "shadows"):
        monkeypatch.setattr(f"unteach.audit.{module}.ask", ask)


def test_a_flipped_example_hides_who_was_trained_with_and_a_correct_one_does_not() -> None:
    request = Request(forget=FORGET, retain=RETAIN)
    flip, correct, random = (
        told_apart(ICUL(ablation=how).fitted(request, None)) for how in ("flip", "correct", "random")
    )
    assert told_apart(None) > 0.95
    assert correct > 0.95
    assert random > 0.95
    assert abs(flip - 0.5) < 0.1


def test_what_is_read_is_what_a_shadow_says_that_is_asked_the_rewritten_rows() -> None:
    guard = ICUL().fitted(Request(forget=FORGET, retain=RETAIN), None)
    rows = [r for r in behind([guard], FORGET) if r is not None]
    lm = ToldLM(says(classifier(3, trained=True)))
    found = ask_shadow(lm, {"forget": rows}, [r.id for r in FORGET], "unlearned")  # type: ignore[arg-type]
    mine = read(guard, 3, trained=True)
    assert [found.phi[asked(row)] for row in rows] == pytest.approx([mine[own] for own in FORGET])
