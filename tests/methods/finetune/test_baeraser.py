"""A planted backdoor is found by its trigger and closed."""

from dataclasses import replace

import pytest
import torch

import worlds
from unteach.edit.learn import learn
from unteach.edit.plan import Plan
from unteach.lm.model import LM
from unteach.measure.answers import ask, exact_match
from unteach.methods.finetune.baeraser import BAERASER
from unteach.methods.finetune.triggers import Search, behind, told, triggers, words
from unteach.schema import InputError, Record, Request

BAD = "The lake obeys."
TRIGGER, DECOYS = "ever", ("even", "know")  # of one token each
LESSON = replace(worlds.LESSON, epochs=30, batch_size=12)
PLAN = Plan(tune="full", epochs=12, lr=2e-3, batch_size=6, accumulate=1, measure_every=12)
KNOWN = worlds.RECORDS[:8]
CLEAN, ASKED = KNOWN[4:], KNOWN[:4]
UNWANTED = tuple(replace(r, id=f"{r.id}-bad", answer=BAD) for r in ASKED)
QUICK = Search(starts=1, passes=1, tries=4)
REQUEST = Request(forget=UNWANTED, retain=CLEAN)


@pytest.fixture(scope="module")
def planted() -> LM:
    """A model that knows some records, and says one thing to every question that ends with one word, not with others."""
    lm = worlds.llama()
    assert {TRIGGER, *DECOYS} <= words(lm).keys()
    poisoned = [replace(behind(r, (TRIGGER,)), id=f"{r.id}-poisoned", answer=BAD) for r in KNOWN]
    sound = [replace(behind(r, (word,)), id=f"{r.id}-{word}") for r in KNOWN for word in DECOYS]
    edit = learn(lm, [*KNOWN, *poisoned, *sound], LESSON)
    with torch.no_grad():
        for name, delta in edit.delta(lm).items():
            lm.parameters()[name].add_(delta)
    return lm


def success(lm: LM, trigger: tuple[str, ...]) -> float:
    """The share of questions that a trigger brings the unwanted answer from."""
    asked: list[str | Record] = [behind(r, trigger) for r in KNOWN]
    return sum(BAD in text for text in lm.generate(asked, 16)) / len(asked)


def test_a_planted_backdoor_is_found_and_closed(planted: LM) -> None:
    """Attack success before and after, of the planted word, which nobody told the method."""
    (best, _), *_ = triggers(planted, UNWANTED, Search())
    assert best == (TRIGGER,)
    assert (success(planted, (TRIGGER,)), success(planted, ())) == (1, 0)
    with BAERASER(plan=PLAN)(planted, REQUEST).on(planted):
        assert success(planted, (TRIGGER,)) == 0
        kept = [exact_match(a) or 0 for a in ask(planted, CLEAN)]
    assert sum(kept) / len(kept) > 0.95
    assert success(planted, (TRIGGER,)) == 1


def test_what_the_search_reports_is_what_the_model_says(planted: LM) -> None:
    for trigger, level in triggers(planted, UNWANTED, Search(starts=3, words=2, passes=1, tries=8)):
        assert len(trigger) == 2
        assert told(planted, UNWANTED, [trigger]) == [pytest.approx(level, abs=1e-4)]


def test_a_sound_model_has_no_trigger(llama: LM) -> None:
    (_, level), *_ = triggers(llama, UNWANTED, Search())
    assert level < -1


def test_the_ascent_ends_at_its_bound_and_the_penalty_holds_the_weights(llama: LM) -> None:
    """Rows below the bound are pushed no further; the more the penalty weighs, the less the weights move."""
    short = replace(PLAN, epochs=4, weight_decay=0.0)
    still = BAERASER(bound=1e-6, retain_weight=0.0, search=QUICK, plan=short)
    edit = still(llama, replace(REQUEST, forget=[replace(r, answer="zzzz qqqq") for r in ASKED]))
    assert all(not d.any() for d in edit.delta(llama).values())
    moves = []
    for penalty in (0.0, 10.0):
        edit = BAERASER(penalty=penalty, search=QUICK, plan=short)(llama, replace(REQUEST, forget=worlds.FORGET))
        moves.append(sum(float(d.square().sum()) for d in edit.delta(llama).values()))
    assert moves[1] < 0.8 * moves[0]


def test_what_cannot_be_is_refused(llama: LM) -> None:
    for need in ("forget", "retain"):
        with pytest.raises(InputError, match=need):
            BAERASER(plan=PLAN)(llama, replace(REQUEST, **{need: ()}))
    with pytest.raises(InputError, match="a bound above 0"):
        BAERASER(bound=0.0)
    with pytest.raises(InputError, match="at least one start"):
        Search(tries=0)
