"""The defining properties of the attacks that compare a model with others."""

from collections.abc import Callable
from math import exp, log, log1p

import numpy as np
import pytest
from shadowed import ROWS, SETS, UNSEEN, Town, evidence, forgotten, score, shadow
from told import ToldLM, Watcher, answer, ask

import worlds
from unteach.audit.epsilon import CAP
from unteach.audit.evidence import Evidence
from unteach.audit.shadows import Shadow, World, ask_shadow, asked, confidence
from unteach.lm.model import LM
from unteach.registry import build
from unteach.schema import InputError, Record

ALL = ("lira", "ulira", "liraforget", "neurips2023", "empiricalepsilon")


@pytest.fixture
def telling(monkeypatch: pytest.MonkeyPatch) -> None:
    for module in ("evidence", "shadows"):
        monkeypatch.setattr(f"unteach.audit.{module}.ask", ask)


@pytest.mark.parametrize("name", ALL)
@pytest.mark.usefixtures("telling")
def test_without_other_models_there_is_no_value(name: str) -> None:
    found = score(name, evidence(lambda _: 0.0, ()))
    assert (found.value, found.low, found.n) == (None, None, 0)
    assert found.note == "no models trained with and without the rows to compare with"


@pytest.mark.usefixtures("telling")
def test_a_shadow_is_asked_once_and_tells_no_text() -> None:
    lm = ToldLM(lambda r: answer(0.9, 0.4) if r.id != "r7" else answer())
    found = ask_shadow(lm, {"a": SETS["forget"], "b": SETS["forget"][:3]}, ["r1"], "in")  # type: ignore[arg-type]
    assert len(lm.rows) == 1
    assert len(lm.rows[0]) == ROWS
    assert found.phi[asked(SETS["forget"][0])] == pytest.approx(log(0.6) - log(0.4))
    assert found.hits[asked(SETS["forget"][0])] == 0.5
    assert asked(SETS["forget"][7]) not in found.phi  # undefined, not 0
    assert (found.members, found.world) == (frozenset({"r1"}), "in")
    assert "question" not in repr(found)
    lm.guards = [Watcher(False)]
    with pytest.raises(InputError, match="a model behind a guard cannot be compared with; take the guard off"):
        ask_shadow(lm, SETS, [], "out")  # type: ignore[arg-type]


def test_phi_is_the_logit_and_stays_finite() -> None:
    for p in (1e-30, 0.01, 0.5, 0.99):
        assert confidence(answer(p)) == pytest.approx(log(p) - log1p(-p))
    assert 16 < confidence(answer(1.0)) < 17  # what float32 can still tell from 1
    assert confidence(answer(0.0)) is None
    assert confidence(answer()) is None


def test_a_real_model_says_to_a_shadow_what_it_says_to_the_evidence(llama: LM) -> None:
    found = ask_shadow(llama, {"forget": worlds.FORGET, "holdout": UNSEEN}, {r.id for r in worlds.RECORDS}, "in")
    answers = Evidence(llama, {"forget": worlds.FORGET}, name="real").answers("forget")
    assert [found.phi[asked(r)] for r in worlds.FORGET] == pytest.approx([confidence(a) for a in answers], abs=1e-3)
    assert min(found.phi[asked(r)] for r in worlds.FORGET) > max(found.phi[asked(r)] for r in UNSEEN)


@pytest.mark.usefixtures("telling")
def test_lira_finds_rows_that_no_bar_for_all_rows_finds() -> None:
    town = Town(0)
    shadows = town.halves(24)
    target = evidence(forgotten(town, 1.0), shadows)
    found = score("lira", target)
    assert found.value > 0.9
    assert found.low < found.value < found.high
    assert abs(score("mialoss", target).value - 0.5) < 0.2
    assert found.note.startswith("24 models, online; ")
    assert found.per_record.keys() == {f"{s}/{i:04d}" for s in ("forget", "holdout") for i in range(ROWS)}
    retrained = score("lira", evidence(forgotten(town, 0.0), shadows))
    assert retrained.low < 0.5 < retrained.high
    assert (
        score("lira", evidence(lambda _: 0.0, shadows, forget=SETS["forget"])).note == "no holdout rows to compare with"
    )


@pytest.mark.usefixtures("telling")
def test_lira_without_models_trained_with_the_rows_is_offline_and_says_so() -> None:
    town = Town(1, alike=True)
    found = score("lira", evidence(forgotten(town, 1.0), town.sides(8, 0.0)[8:]))
    assert found.value > 0.9
    assert found.note.startswith("8 models, offline, as not every row has 3 models trained with it; ")
    few = score("lira", evidence(forgotten(town, 1.0), town.sides(8, 0.0)[8:10]))
    assert (few.value, few.note) == (None, "fewer than 3 models that never saw a row")
    other = Shadow({}, {}, frozenset(), "out")
    assert score("lira", evidence(forgotten(town, 1.0), [other] * 4)).value is None


@pytest.mark.usefixtures("telling")
def test_ulira_is_a_half_for_one_more_retrained_model_and_sees_each_row_on_its_own() -> None:
    town = Town(2)
    shadows = town.sides(16, 1.0)
    retrained, left = (score("ulira", evidence(forgotten(town, t), shadows)) for t in (0.0, 1.0))
    assert retrained.low < 0.5 < retrained.high
    assert left.low > 0.85
    assert left.note == "16 unlearned and 16 retrained models"
    assert abs(score("mialoss", evidence(forgotten(town, 1.0), shadows)).value - 0.5) < 0.2
    gone = town.sides(16, 0.0)  # a method that leaves nothing
    found = score("ulira", evidence(forgotten(town, 0.0), gone))
    assert found.low < 0.5 < found.high
    few = score("ulira", evidence(forgotten(town, 1.0), [*shadows[:16], *shadows[16:19]]))
    assert (few.value, few.n) == (None, 0)
    assert "40 of 40 undefined (fewer than 3 models of either kind, beside the one compared with)" in few.note


@pytest.mark.usefixtures("telling")
def test_ulira_counts_rows_that_some_models_were_not_asked_as_undefined() -> None:
    town = Town(3)
    lost = asked(SETS["forget"][0])
    cut = [
        Shadow({k: v for k, v in s.phi.items() if k != lost}, s.hits, s.members, s.world) for s in town.sides(8, 1.0)
    ]
    found = score("ulira", evidence(forgotten(town, 1.0), cut))
    assert found.n == ROWS - 1
    assert "1 of 40 undefined" in found.note
    assert "; 1 of 40 undefined" in score("liraforget", evidence(forgotten(town, 1.0), cut)).note


@pytest.mark.usefixtures("telling")
def test_liraforget_sets_one_bar_for_all_rows() -> None:
    town = Town(4)
    shadows = town.sides(12, 1.0)
    found = score("liraforget", evidence(forgotten(town, 1.0), shadows))
    assert found.value > 0.9
    assert found.low < found.value <= found.high
    assert found.note.startswith("12 unlearned and 12 retrained models; ")
    assert found.note.endswith(" % found at 1 % false alarms")
    null = score("liraforget", evidence(forgotten(town, 0.0), shadows))
    assert null.low < 0.5 < null.high
    few = score("liraforget", evidence(forgotten(town, 1.0), shadows[:14]))
    assert (few.value, few.note) == (None, "fewer than 3 models of either kind, beside the one compared with")
    # Rows that give away much, and rows of which one world is no sign: one bar mixes them, a test for each does not.
    mixed = Town(5)
    mixed.gain = {i: g * (3.0 if n % 2 else 0.2) for n, (i, g) in enumerate(mixed.gain.items())}
    both = [
        score(n, evidence(forgotten(mixed, 1.0), mixed.sides(24, 1.0)), spread="all") for n in ("ulira", "liraforget")
    ]
    assert both[0].value != both[1].value


@pytest.mark.usefixtures("telling")
def test_neurips2023_is_the_mean_of_the_points_times_both_ratios_of_accuracy() -> None:
    draw = np.random.default_rng(6)

    def side(world: World, shift: float, retain: float, holdout: float) -> list[Shadow]:
        def phi(noise: dict[str, float]) -> Callable[[Record], float]:
            def of(r: Record) -> float:
                number = int(r.id[1:])
                if number < 100:
                    return noise[r.id] + (shift if number % 2 else 0.0)
                good = retain if number >= 200 else holdout
                return 1.0 if number % 10 < 10 * good else -1.0

            return of

        ids = [r.id for r in SETS["forget"]]
        return [
            shadow(phi(dict(zip(ids, draw.normal(size=ROWS), strict=True))), ids * (world == "unlearned"), world)
            for _ in range(16)
        ]

    shadows = [*side("unlearned", 99.0, 0.2, 0.5), *side("out", 0.0, 0.3, 1.0)]
    found = score("neurips2023", evidence(lambda _: 0.0, shadows))
    values = np.array(list(found.per_record.values()))
    assert (values[1::2] == 0).all()  # told at once
    ratio = (2 / 3) * (1 / 2)  # two of three retain rows, five of ten holdout rows
    assert all(log(v / ratio) / log(2) == pytest.approx(round(log(v / ratio) / log(2))) for v in values[::2] if v)
    assert found.value == pytest.approx(values.mean())
    assert 0 < found.value <= ratio / 2
    assert found.note == (
        "16 models of either kind, no epsilon above 3 can be measured; "
        "accuracy 0.667 of the retrained models' on retain rows, 0.500 on holdout rows"
    )
    few = score("neurips2023", evidence(lambda _: 0.0, [*shadows[:16], *shadows[16:18]]))
    assert (few.value, few.note) == (None, "fewer than 3 unlearned or retrained models of some row")
    bare = score("neurips2023", evidence(lambda _: 0.0, shadows, forget=SETS["forget"], holdout=SETS["holdout"]))
    assert (bare.value, bare.note) == (None, "no retain and holdout rows that the retrained models answer")
    assert CAP > 3


@pytest.mark.usefixtures("telling")
def test_empiricalepsilon_stays_below_the_epsilon_of_a_known_mechanism() -> None:
    """Rows whose answers are randomised responses of epsilon 1 about a coin of the row's own."""
    draw, exceeded = np.random.default_rng(7), 0
    for _ in range(40):
        shadows = []
        for _ in range(6):
            coins = {r.id: bool(draw.random() < 0.5) for r in SETS["forget"]}
            told = {
                i: (c if draw.random() < 1 / (1 + exp(-1)) else not c) + 1e-3 * draw.random() for i, c in coins.items()
            }
            members = [i for i, c in coins.items() if c]
            shadows.append(shadow(lambda r, t=told: float(t.get(r.id, 0.0)), members, "unlearned"))
        target = evidence(lambda _: 0.0, shadows)
        found = score("empiricalepsilon", target, unit="rows", world="unlearned", delta=0.0)
        assert found.n in (60, 120)
        exceeded += found.value > 1
    assert exceeded <= 8  # 99.99 % of Binomial(40, 0.05)
    assert "guesses right by " in found.note
    assert found.note.endswith("can be shown; at least so much at significance 0.05, delta 0")


@pytest.mark.usefixtures("telling")
def test_empiricalepsilon_of_models_is_as_great_as_can_be_shown_where_all_rows_show_and_nothing_where_none_does() -> (
    None
):
    town = Town(8)
    found = score("empiricalepsilon", evidence(lambda _: 0.0, town.sides(32, 1.0)))
    assert found.n == 32
    assert found.note.startswith(f"16 and 16 models tested, none above {found.value:.2f} can be shown; ")
    assert found.direction == "zero"
    assert 1.2 < found.value < log(16 / 3)
    zeros = [score("empiricalepsilon", evidence(lambda _: 0.0, town.sides(12, 0.0))).value for _ in range(12)]
    assert sum(z > 0 for z in zeros) <= 4
    few = score("empiricalepsilon", evidence(lambda _: 0.0, town.sides(5, 1.0)))
    assert (few.value, few.note) == (None, "fewer than 6 models trained with all the rows or without any")


@pytest.mark.usefixtures("telling")
def test_empiricalepsilon_of_rows_learns_from_half_of_the_models_what_the_rest_are_tested_by() -> None:
    town = Town(9)
    shadows = town.halves(24)
    found = score("empiricalepsilon", evidence(lambda _: 0.0, shadows), unit="rows", world="in")
    assert "by log ratios in 12 models" in found.note
    assert 12 * ROWS * 0.8 / 2 < found.n <= 12 * ROWS / 2
    assert found.value > 2
    alone = score("empiricalepsilon", evidence(lambda _: 0.0, shadows[:2]), unit="rows", world="in")
    assert "by phi itself in 2 models" in alone.note
    assert alone.value < found.value
    whole = score("empiricalepsilon", evidence(lambda _: 0.0, town.sides(4, 1.0)), unit="rows")
    assert (whole.value, whole.note) == (None, "no model that some of the rows are in and others out of")


@pytest.mark.parametrize(
    ("option", "value"), [("significance", 0.0), ("significance", 1.0), ("share", 1.5), ("delta", 1.0)]
)
def test_empiricalepsilon_refuses_options_that_mean_nothing(option: str, value: float) -> None:
    with pytest.raises(InputError, match=f"{option}.* of empiricalepsilon is"):
        build("metric", "empiricalepsilon", {option: value})
