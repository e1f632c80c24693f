"""The methods that train on the objectives: what they achieve on a tiny world, what they compose, what they refuse."""

from dataclasses import replace

import pytest
import torch
from torch import Tensor

import worlds
from unteach.edit.edit import Edit
from unteach.edit.patches import Put, through
from unteach.edit.plan import Plan
from unteach.edit.rows import Sides, Task
from unteach.edit.train import train
from unteach.lm.model import LM
from unteach.measure.answers import ask, exact_match, probability
from unteach.methods.finetune.finetune import REFUSALS, Finetune
from unteach.methods.finetune.graddiff import GradDiff
from unteach.schema import InputError, Record, Request

REQUEST = Request(forget=worlds.FORGET, retain=worlds.RETAIN)
PROMPTS = [r.prompt for r in worlds.RECORDS]
FEW = Plan(tune="full", epochs=2, lr=1e-3, batch_size=2, accumulate=1)


def known(lm: LM, records: tuple[Record, ...]) -> tuple[float, float]:
    """Mean probability of the answers, and the share of their tokens that the model would choose."""
    found = ask(lm, records)
    return sum(probability(a) or 0 for a in found) / len(found), sum(exact_match(a) or 0 for a in found) / len(found)


def worn(lm: LM, edit: Edit) -> dict[str, Tensor]:
    """The weights of the model that wears the edit."""
    return {n: through(chain, lm.parameters()[n].detach()) for n, chain in edit.weights.items()}


FULL = replace(worlds.UNLEARN, tune="full", lr=4e-3)


@pytest.mark.parametrize("plan", [worlds.UNLEARN, FULL], ids=["lora", "full"])
def test_finetune_forgets_and_keeps(lm: LM, plan: Plan) -> None:
    before = worlds.state(lm)
    knew, kept = known(lm, worlds.FORGET)[0], known(lm, worlds.RETAIN)[0]
    assert min(knew, kept) > 0.85
    edit = Finetune(plan=plan)(lm, REQUEST)
    with edit.on(lm):
        assert known(lm, worlds.FORGET)[0] < 0.5 * knew
        assert known(lm, worlds.RETAIN)[0] > 0.95 * kept
        assert known(lm, worlds.RETAIN)[1] > 0.98
        told = [r.answer in text for r, text in zip(worlds.RECORDS, lm.generate(PROMPTS, 24), strict=True)]
    assert sum(told[:4]) < 2
    assert all(told[4:])
    assert worlds.state(lm) == before
    assert edit.guarantee.kind == "empirical"


def test_without_a_retain_term_more_is_lost(lm: LM) -> None:
    kept = []
    for term in ("nll", "none"):
        edit = Finetune("npo", retain_term=term, plan=replace(FULL, lr=2e-3, epochs=20))(lm, REQUEST)
        with edit.on(lm):
            assert known(lm, worlds.FORGET)[0] < 0.05
            kept.append(known(lm, worlds.RETAIN)[0])
    assert kept[0] > 0.7 > kept[1] + 0.2


def test_graddiff_without_ascent_is_fine_tuning(lm: LM) -> None:
    """forget_weight 0 leaves plain fine-tuning on the retain rows, bit for bit; retain_weight 0 leaves the ascent."""

    def descent(now: Sides, _before: Sides) -> Tensor:
        return -now.retain.token_logps.mean()

    def ascent(now: Sides, _before: Sides) -> Tensor:
        return now.forget.token_logps.mean()

    for weights, loss, needs in (((0.0, 1.0), descent, {"retain"}), ((1.0, 0.0), ascent, set())):
        edit = GradDiff(forget_weight=weights[0], retain_weight=weights[1], plan=FEW)(lm, REQUEST)
        plain = train(lm, Task(worlds.FORGET, worlds.RETAIN, loss, frozenset({"forget", *needs})), FEW)[0]
        assert edit.weights.keys() == plain.weights.keys()
        for (a,), (b,) in zip(edit.weights.values(), plain.weights.values(), strict=True):
            assert isinstance(a, Put)
            assert isinstance(b, Put)
            torch.testing.assert_close(a.value, b.value, rtol=0, atol=0)
    assert GradDiff(plan=FEW)(lm, REQUEST).digest() != edit.digest()


def test_graddiff_is_finetune_on_ga(lm: LM) -> None:
    for term in ("nll", "kl"):
        one = GradDiff(retain_term=term, forget_weight=0.5, plan=FEW)(lm, REQUEST)  # type: ignore[arg-type]
        two = Finetune("ga", retain_term=term, forget_weight=0.5, plan=FEW)(lm, REQUEST)
        assert all(torch.equal(a, b) for a, b in zip(worn(lm, one).values(), worn(lm, two).values(), strict=True))


@pytest.mark.parametrize("objective", ["idk", "dpo"])
def test_replacement_answers_are_learned(lm: LM, objective: str) -> None:
    plan = replace(FULL, lr=2e-3, epochs=20)
    answers = ("I do not know.",)
    before = known(lm, tuple(replace(r, answer=answers[0]) for r in worlds.FORGET))[0]
    edit = Finetune(objective, instead=answers, plan=plan)(lm, REQUEST)
    with edit.on(lm):
        after = known(lm, tuple(replace(r, answer=answers[0]) for r in worlds.FORGET))[0]
        assert known(lm, worlds.FORGET)[0] < 0.5
        assert known(lm, worlds.RETAIN)[1] > 0.9
    assert before < 0.01 < 0.1 < after


def test_the_replacement_is_a_function_of_seed_epoch_and_record() -> None:
    one = Finetune("idk")
    drawn = {(r.id, e): one._refusal(r, e)[0] for r in worlds.RECORDS for e in range(20)}
    assert set(drawn.values()) == set(REFUSALS)
    assert drawn == {(r.id, e): Finetune("idk")._refusal(r, e)[0] for r in worlds.RECORDS for e in range(20)}
    other = Finetune("idk", plan=Plan(seed=1))
    assert any(other._refusal(r, 0) != one._refusal(r, 0) for r in worlds.RECORDS)


def test_what_was_published_is_the_default(lm: LM) -> None:
    """SimNPO at 0.125 beside the retain NLL; what is given goes first."""
    plain = Finetune(plan=FEW)(lm, REQUEST)
    said = Finetune("simnpo", {"beta": 4.5, "margin": 0.0}, "nll", 0.125, 1.0, plan=FEW)(lm, REQUEST)
    assert said.digest() == plain.digest()
    assert "0.125 * SimNPO(beta=4.5, margin=0.0) + 1 * NLL()" in plain.made_by
    for other in (
        Finetune(options={"beta": 2.5}, plan=FEW),
        Finetune(forget_weight=1.0, plan=FEW),
        Finetune(retain_weight=0.5, plan=FEW),
        Finetune(retain_term="kl", plan=FEW),
        Finetune("npo", plan=FEW),
    ):
        assert other(lm, REQUEST).digest() != plain.digest()


def test_what_is_missing_or_unknown_is_refused(lm: LM) -> None:
    before = worlds.state(lm)
    cases: tuple[tuple[Finetune, Request, str], ...] = (
        (Finetune(), Request(retain=worlds.RETAIN), "no records to forget; give --forget FILE"),
        (Finetune(), Request(forget=worlds.FORGET), "the retain term 'nll' needs records to keep; give --retain FILE"),
        (Finetune("ga", retain_term="kl"), Request(forget=worlds.FORGET), "the retain term 'kl' needs records to keep"),
        (Finetune("nop"), REQUEST, "there is no objective 'nop'; did you mean 'npo'?"),
        (Finetune("npo", {"betta": 1.0}), REQUEST, "objective 'npo' has no option 'betta'; it has beta"),
        (
            Finetune(retain_term="ga"),
            REQUEST,
            "'ga' makes a model forget and is no retain term; choose one of anchor, drift, kl, nll",
        ),
    )
    for method, request, sentence in cases:
        with pytest.raises(InputError) as refused:
            method(lm, request)
        assert sentence in str(refused.value)
    assert worlds.state(lm) == before


def test_ids_that_clash_across_the_sets_are_kept_apart(lm: LM) -> None:
    """Row 1 of one file and row 1 of the other are two rows."""
    forget = [replace(r, id=str(i)) for i, r in enumerate(worlds.FORGET)]
    retain = [replace(r, id=str(i)) for i, r in enumerate(worlds.RETAIN)]
    edit = Finetune(plan=FULL)(lm, Request(forget=forget, retain=retain))
    with edit.on(lm):
        assert known(lm, worlds.FORGET)[0] < 0.4
        assert known(lm, worlds.RETAIN)[0] > 0.8
