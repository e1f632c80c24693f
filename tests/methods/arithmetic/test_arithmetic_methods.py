"""Steps against what fine-tuning adds: exact, split into parts, and before new answers are learnt."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
import torch
from torch import Tensor

import families
import worlds
from unteach.edit.cost import tokens_of
from unteach.edit.edit import Edit
from unteach.edit.learn import learn
from unteach.edit.merging import DropRescale, TrimElect
from unteach.edit.patches import AddOuter, Put, through
from unteach.edit.plan import Plan
from unteach.edit.rows import Sides, Task
from unteach.edit.train import train
from unteach.lm.model import LM
from unteach.measure.answers import ask, exact_match, probability
from unteach.methods.arithmetic.dare import DARE
from unteach.methods.arithmetic.flearning import FLearning
from unteach.methods.arithmetic.merge import Merge
from unteach.methods.arithmetic.taskvector import TaskVector
from unteach.methods.arithmetic.ties import TIES
from unteach.methods.arithmetic.vectors import split
from unteach.schema import Fact, InputError, Record, Request

REQUEST = Request(forget=worlds.FORGET, retain=worlds.RETAIN)
WHOLE = Plan(tune="full", epochs=10, lr=1e-3, batch_size=4, accumulate=1)
LORA = replace(WHOLE, tune="lora", rank=8, lora_alpha=16.0, lr=1e-2, epochs=15)
SHORT = replace(WHOLE, epochs=2)
PLANS = pytest.mark.parametrize("plan", [SHORT, replace(LORA, epochs=2)], ids=["full", "lora"])


def known(lm: LM, records: tuple[Record, ...]) -> tuple[float, float]:
    """Mean probability of the answers, and the share of their tokens that the model would choose."""
    found = ask(lm, records)
    return sum(probability(a) or 0 for a in found) / len(found), sum(exact_match(a) or 0 for a in found) / len(found)


def worn(lm: LM, edit: Edit) -> dict[str, Tensor]:
    return {n: through(edit.weights.get(n, ()), p.detach()) for n, p in lm.parameters().items()}


def said(lm: LM) -> Tensor:
    with torch.no_grad():
        return lm.logits(lm.batch(worlds.RECORDS))


def equal(a: dict[str, Tensor], b: dict[str, Tensor]) -> bool:
    return all(torch.equal(a[n], b[n]) for n in a.keys() | b.keys())


@pytest.mark.parametrize("plan", [WHOLE, LORA], ids=["full", "lora"])
def test_taskvector_steps_against_the_fine_tuning(lm: LM, plan: Plan) -> None:
    """W - 5 * (W_ft - W): the rows that it was trained on fall furthest."""
    before, digest = known(lm, worlds.FORGET)[0], lm.digest()
    tuned, edit = learn(lm, worlds.FORGET, plan), TaskVector(plan=plan)(lm, REQUEST)
    assert edit.weights.keys() == tuned.weights.keys()
    for name, change in tuned.delta(lm).items():
        torch.testing.assert_close(edit.delta(lm)[name], -5 * change, rtol=1e-3, atol=1e-6)
    with edit.on(lm):
        gone, kept = known(lm, worlds.FORGET)[0], known(lm, worlds.RETAIN)[0]
    assert gone < 0.3 * before
    assert kept > gone
    assert lm.digest() == digest
    assert edit.guarantee.kind == "empirical"


def test_the_adapter_is_turned_in_one_factor(lm: LM) -> None:
    plan = replace(LORA, epochs=2)
    tuned, edit = learn(lm, worlds.FORGET, plan), TaskVector(2.0, plan)(lm, REQUEST)
    for name, (term,) in edit.weights.items():
        (was,) = tuned.weights[name]
        assert isinstance(term, AddOuter)
        assert isinstance(was, AddOuter)
        assert torch.equal(term.left, was.left)
        assert torch.equal(term.right, was.right)
        assert term.scale == -2.0 * was.scale


@PLANS
def test_no_step_is_no_change_bit_for_bit(lm: LM, plan: Plan) -> None:
    before = said(lm)
    for method in (TaskVector(0.0, plan), Merge(0.0, plan=plan), TIES(0.0, plan=plan), DARE(0.0, plan=plan)):
        edit = method(lm, REQUEST)
        assert equal(worn(lm, edit), worn(lm, Edit(lm.digest())))
        with edit.on(lm):
            assert torch.equal(said(lm), before)


def test_numbers_that_are_not_trained_stay() -> None:
    """Whole numbers and bytes that a model carries along are in no edit; tied embeddings are in it once."""
    lm = worlds.llama()
    lm.model.register_buffer("steps", torch.arange(3))
    lm.model.register_buffer("mask", torch.ones(4, dtype=torch.uint8))
    edit = TaskVector(1.0, SHORT)(lm, REQUEST)
    assert edit.weights.keys() == lm.parameters().keys()
    assert not edit.weights.keys() & {"steps", "mask", "lm_head.weight"}
    with edit.on(lm):
        assert lm.model.steps.tolist() == [0, 1, 2]
        assert lm.model.mask.tolist() == [1, 1, 1, 1]
        assert lm.model.lm_head.weight is lm.model.get_input_embeddings().weight


@pytest.mark.parametrize("name", ["gpt_neox", "qwen2", "gemma2"])
def test_other_families_step_too(name: str) -> None:
    """With and without tied embeddings, and with biases."""
    lm = families.family(name)
    before = said(lm)
    for method in (TaskVector(1.0, SHORT), Merge(1.0, plan=replace(LORA, epochs=1)), TIES(1.0, plan=SHORT)):
        with method(lm, REQUEST).on(lm):
            assert not torch.equal(said(lm), before)
        assert torch.equal(said(lm), before)


@PLANS
def test_merge_takes_off_the_mean_of_the_parts(lm: LM, plan: Plan) -> None:
    edit = Merge(2.0, parts=2, plan=plan)(lm, REQUEST)
    parts = [learn(lm, rows, plan).delta(lm) for rows in split(worlds.FORGET, 2, 0)]
    assert len(parts) == 2
    for name, change in edit.delta(lm).items():
        torch.testing.assert_close(change, -(parts[0][name] + parts[1][name]), rtol=1e-3, atol=1e-6)
    whole, alone = TaskVector(2.0, plan)(lm, REQUEST), Merge(2.0, parts=1, plan=plan)(lm, REQUEST)
    for name, weight in worn(lm, alone).items():
        torch.testing.assert_close(weight, worn(lm, whole)[name], rtol=1e-6, atol=1e-7)
    low = all(isinstance(p, AddOuter) for chain in edit.weights.values() for p in chain)
    assert low == plan.lora


@PLANS
def test_the_parts_are_merged_by_the_rule(lm: LM, plan: Plan) -> None:
    """Whatever was trained, the delta is the rule's of the parts' deltas."""
    taus = [learn(lm, rows, plan) for rows in split(worlds.FORGET, 2, 0)]
    wide = {n: p.detach().double() for n, p in lm.parameters().items()}
    deltas = [{n: through(c, wide[n]) - wide[n] for n, c in tau.weights.items()} for tau in taus]
    for method, rule in (
        (TIES(1.5, density=0.4, plan=plan), TrimElect(0.4)),
        (DARE(1.5, drop=0.3, plan=plan), DropRescale(0.3)),
    ):
        wanted = rule(deltas)
        for name, chain in method(lm, REQUEST).weights.items():
            assert isinstance(chain[-1], Put)
            assert torch.equal(chain[-1].value, (wide[name] - 1.5 * wanted[name]).float())


@pytest.mark.parametrize("make", [Merge, TIES, DARE, TaskVector, FLearning], ids=lambda m: m.__name__)
def test_the_order_of_the_rows_does_not_matter(llama: LM, make: Callable[..., Any]) -> None:
    turned = replace(REQUEST, forget=worlds.FORGET[::-1])
    assert make(plan=SHORT)(llama, turned).digest() == make(plan=SHORT)(llama, REQUEST).digest()
    assert make(plan=replace(SHORT, seed=1))(llama, REQUEST).digest() != make(plan=SHORT)(llama, REQUEST).digest()


def test_rows_are_split_by_their_ids_or_their_subjects() -> None:
    rows = [Record(str(i), "q", "a", subject="xyz"[i % 3]) for i in range(60)]
    parts = split(rows, 4, 0)
    assert sorted(r.id for part in parts for r in part) == sorted(r.id for r in rows)
    assert min(map(len, parts)) > 5
    home = {r.id: n for n, part in enumerate(parts) for r in part}
    fewer = split(rows[::2], 4, 0)
    assert all(home[r.id] == n for n, part in enumerate(fewer) for r in part)  # a row's part is its own affair
    assert [{r.subject for r in part} for part in split(rows, 0, 0)] == [{"x"}, {"y"}, {"z"}]
    assert split(rows[:1], 4, 0) == [rows[:1]]


FACTS = tuple(
    Fact(f"fact-{i}", "What is {} known for?", town, "a well that sings")
    for i, town in enumerate(list(worlds.TOWNS)[:2])
)
NEW = tuple(Record(f"new-{i}", f"What is {f.subject} known for?", f.target_new) for i, f in enumerate(FACTS))


LEARN = replace(WHOLE, lr=4e-3, epochs=20, batch_size=2)


@pytest.mark.parametrize(("plan", "least"), [(LEARN, 0.5), (LORA, 0.1)], ids=["full", "lora"])
def test_flearning_forgets_the_old_answers_and_learns_the_new(lm: LM, plan: Plan, least: float) -> None:
    """The facts' new answers, and for the rows that no fact asks the one that is given instead."""
    other = tuple(replace(r, answer="I do not know.") for r in worlds.FORGET[2:])
    before = max(known(lm, NEW)[0], known(lm, other)[0])
    edit = FLearning(plan=plan)(lm, replace(REQUEST, facts=FACTS))
    with edit.on(lm):
        assert known(lm, worlds.FORGET)[0] < 0.3
        assert min(known(lm, NEW)[0], known(lm, other)[0]) > least > 5 * before


@PLANS
def test_flearning_without_a_step_is_fine_tuning_and_without_new_answers_a_step(lm: LM, plan: Plan) -> None:
    told = tuple(replace(r, answer="I do not know.") for r in worlds.FORGET)
    plain, none = learn(lm, told, plan), FLearning(0.0, plan=plan)(lm, REQUEST)
    with plain.on(lm):
        wanted = said(lm)
    with none.on(lm):
        assert torch.equal(said(lm), wanted)
    assert equal(worn(lm, none), worn(lm, plain))
    step = FLearning(0.7, instead=(), plan=plan)(lm, REQUEST)
    assert equal(worn(lm, step), worn(lm, TaskVector(0.7, plan)(lm, REQUEST)))
    assert not equal(worn(lm, FLearning(0.7, plan=plan)(lm, REQUEST)), worn(lm, plain))


def test_an_adapter_for_the_old_answers_and_all_weights_for_the_new(lm: LM) -> None:
    edit = FLearning(old_tune="lora", plan=SHORT)(lm, REQUEST)
    kinds = {tuple(type(p) for p in chain) for chain in edit.weights.values()}
    assert kinds == {(Put,), (Put, AddOuter)}
    whole = FLearning(plan=SHORT)(lm, REQUEST)
    assert {tuple(type(p) for p in chain) for chain in whole.weights.values()} == {(Put,)}  # hides the step before it


def test_the_history_tells_of_the_edit_and_of_all_that_was_trained_on(llama: LM) -> None:
    edit = TaskVector(5.0, WHOLE)(llama, REQUEST)
    first, last = edit.history
    with edit.on(llama):
        assert last["forget_probability"] == pytest.approx(known(llama, worlds.FORGET)[0], abs=1e-5)
    assert last["forget_probability"] < first["forget_probability"]
    assert {"retain_probability", "retain_exact"} <= last.keys()

    def loss(now: Sides, _before: Sides) -> Tensor:
        return -now.forget.token_logps.mean()

    watched = train(llama, Task(worlds.FORGET, (), loss, frozenset({"forget"})), WHOLE)[0]
    assert last["tokens"] == watched.history[-1]["tokens"]
    two = FLearning(plan=SHORT)(llama, REQUEST).history
    assert [h["step"] for h in two] == [0, 1, 0, 1]
    told = [replace(r, answer="I do not know.") for r in worlds.FORGET]
    assert [h["tokens"] for h in two[1::2]] == [2 * tokens_of(llama, rows) for rows in (worlds.FORGET, told)]


def test_what_means_nothing_is_refused(llama: LM) -> None:
    for make in (TaskVector, FLearning, Merge, TIES, DARE):
        with pytest.raises(InputError, match=r"'alpha' .* is not below 0"):
            make(alpha=-1.0)
        with pytest.raises(InputError, match="a task vector needs records to forget; give --forget FILE"):
            make(plan=SHORT)(llama, Request(retain=worlds.RETAIN))
    for make in (Merge, TIES, DARE):
        with pytest.raises(InputError, match="0 makes one of each subject"):
            make(parts=-1)
        with pytest.raises(InputError, match="record 'town-0' names no subject to go by; give --parts N") as refused:
            make(parts=0, plan=SHORT)(llama, REQUEST)
        assert worlds.FORGET[0].prompt not in str(refused.value)
    with pytest.raises(InputError, match="choose it above 0"):
        TIES(density=0.0)
    with pytest.raises(InputError, match="choose it from 0"):
        DARE(drop=1.0)
    with pytest.raises(ValueError, match="tune must be lora"):
        FLearning(old_tune="loar")
    same = (FACTS[0], replace(FACTS[0], id="again", target_new="nothing"))
    with pytest.raises(InputError, match="the same question asks for another answer"):
        FLearning(plan=SHORT)(llama, replace(REQUEST, facts=same))
