"""Steps against one of two continuations, through the partitions that tell them apart."""

from dataclasses import replace

import pytest
import torch
from torch import Tensor
from torch.nn.functional import cosine_similarity

import worlds
from unteach.edit.patches import Put
from unteach.edit.plan import Plan
from unteach.lm.anatomy import stored_in_out
from unteach.lm.model import LM
from unteach.methods.neurons.pairs import logits, pair
from unteach.methods.neurons.partitions import Partitions
from unteach.methods.neurons.pcgu import PCGU
from unteach.schema import InputError, Record, Request

PAIRS = tuple(  # the answer to the question about the next town, under this town's name
    replace(r, perturbed=(r.answer.split(" has ")[0] + " has " + o.answer.split(" has ")[1], "unread"))
    for r, o in zip(worlds.FORGET, worlds.RECORDS[1:], strict=False)
)
REQUEST = Request(forget=PAIRS)
RATE = 1e-3
ONE = Plan(tune="full", epochs=1, lr=RATE, batch_size=4, accumulate=1, warmup_epochs=0.0, decay="constant")
K = 40


def slow_logits(lm: LM, record: Record) -> tuple[Tensor, Tensor]:
    """Both continuations as rows of their own; the last token before they part says both logits."""
    rows = [lm.encoder.row(r).ids for r in (record, replace(record, answer=record.perturbed[0]))]
    place = next(n for n, (a, b) in enumerate(zip(*rows, strict=False)) if a != b)
    said = lm.model(input_ids=torch.tensor([rows[0][:place]])).logits[0, -1]
    return said[rows[0][place]], said[rows[1][place]]


def gradients(lm: LM) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
    """Of the sums over the pairs, one pair at a time."""
    weights = lm.parameters()
    both = zip(*(slow_logits(lm, r) for r in PAIRS), strict=True)
    found = [torch.autograd.grad(torch.stack(z).sum(), list(weights.values()), retain_graph=True) for z in both]
    first, second = (dict(zip(weights, g, strict=True)) for g in found)
    return first, second


def partitions(lm: LM, name: str, by: Partitions) -> list[tuple[object, ...]]:
    """Where each partition of a weight lies in it."""
    weight = lm.parameters()[name]
    if weight.ndim == 1:
        return [(slice(None),)]
    turned = stored_in_out(lm.model.get_submodule(name.rpartition(".")[0]))
    if (by == "rows") != turned:
        return [(i, slice(None)) for i in range(weight.shape[0])]
    return [(slice(None), i) for i in range(weight.shape[1])]


@pytest.mark.parametrize("by", ["rows", "columns"])
def test_pcgu_moves_the_partitions_that_disagree_most_and_no_others(lm: LM, by: Partitions) -> None:
    """The slow way: partition by partition. What is chosen takes one step of descent, the rest stays bit for bit."""
    first, second = gradients(lm)
    scores = {
        (name, n): float(cosine_similarity(first[name][at], second[name][at], dim=-1))
        for name in first
        for n, at in enumerate(partitions(lm, name, by))
        if first[name][at].any()
    }
    ranked = sorted(scores, key=scores.__getitem__)
    assert scores[ranked[0]] < scores[ranked[K]] - 1e-4  # there is something to choose
    edit = PCGU(k=K, partitions=by, plan=ONE)(lm, REQUEST)
    moved = set()
    for name, (patch,) in edit.weights.items():
        assert isinstance(patch, Put)
        before = lm.parameters()[name].detach()
        for n, at in enumerate(partitions(lm, name, by)):
            if not torch.equal(patch.value[at], before[at]):
                moved.add((name, n))
                assert torch.allclose(patch.value[at], before[at] - RATE * first[name][at], rtol=0, atol=1e-6)
    clear = {key for key in ranked[: K + 10] if abs(scores[key] - scores[ranked[K - 1]]) < 1e-5}
    assert set(ranked[:K]) - clear <= moved <= set(ranked[:K]) | clear
    assert len(moved) == K


def test_without_k_all_that_has_a_gradient_moves(lm: LM) -> None:
    first, _ = gradients(lm)
    edit = PCGU(k=None, plan=ONE)(lm, REQUEST)
    for name, (patch,) in edit.weights.items():
        assert isinstance(patch, Put)
        wanted = lm.parameters()[name].detach() - RATE * first[name]
        assert torch.allclose(patch.value, wanted, rtol=0, atol=1e-6)


def test_partitions_are_chosen_anew_at_every_batch(llama: LM) -> None:
    """Two epochs are one, and one more on the model that wears it."""
    one = PCGU(k=K, plan=replace(ONE, lr=0.01))
    first = one(llama, REQUEST)
    with first.on(llama):
        second = one(llama, REQUEST)
    both = replace(one, plan=replace(one.plan, epochs=2))(llama, REQUEST)
    for name, (patch,) in both.weights.items():
        assert torch.equal(patch.value, second.weights[name][0].value)
    before = {name: p.detach() for name, p in llama.parameters().items()}
    half = {name: patch.value for name, (patch,) in first.weights.items()}
    end = {name: patch.value for name, (patch,) in second.weights.items()}
    moved = [{n for n in a if not torch.equal(a[n], b[n])} for a, b in ((before, half), (half, end))]
    assert moved[0] != moved[1]


def told(lm: LM) -> tuple[Tensor, Tensor]:
    with torch.no_grad():
        return logits(lm, [pair(lm, r) for r in PAIRS])


def test_each_step_moves_the_logit_it_names(lm: LM) -> None:
    own, other = told(lm)
    after = {}
    for step in ("lower", "raise", "level"):
        with PCGU(k=500, step=step, plan=ONE)(lm, REQUEST).on(lm):
            after[step] = told(lm)
    assert after["lower"][0].sum() < own.sum()
    assert after["raise"][1].sum() > other.sum()
    assert (after["level"][0] - after["level"][1]).abs().sum() < (own - other).abs().sum()


def test_level_follows_what_the_model_says_and_not_what_the_row_says(llama: LM) -> None:
    """With the two answers of every pair exchanged, the step is the same where partitions are all chosen."""
    turned = Request(forget=[replace(r, answer=r.perturbed[0], perturbed=(r.answer,)) for r in PAIRS])
    one, other = (PCGU(k=None, step="level", plan=ONE)(llama, request) for request in (REQUEST, turned))
    for name, (patch,) in one.weights.items():
        assert torch.allclose(patch.value, other.weights[name][0].value, rtol=0, atol=1e-6)


def test_a_pair_ends_where_its_continuations_part(lm: LM) -> None:
    for record, found, (own, other) in zip(
        PAIRS, [pair(lm, r) for r in PAIRS], zip(*told(lm), strict=True), strict=True
    ):
        slow = slow_logits(lm, record)
        assert [own.item(), other.item()] == pytest.approx([z.item() for z in slow], abs=1e-4)
        right, wrong = (lm.encoder.row(r).ids for r in (record, replace(record, answer=record.perturbed[0])))
        shared = len(found.row.ids) - 1
        assert right[:shared] == wrong[:shared]
        assert (right[shared], wrong[shared]) == (found.row.ids[-1], found.against)
        assert right[shared] != wrong[shared]


def test_sentences_without_a_prompt_part_behind_what_they_share(lm: LM) -> None:
    sentences = Record("crows", "", "Orvena has a harbour.", perturbed=("Orvena has a market.",))
    text = lm.tokenizer.decode(pair(lm, sentences).row.ids)
    assert "Orvena has a" in text
    assert "harbour." not in text
    at_once = replace(sentences, answer="Bessel is here.", perturbed=("Katrel is here.",))
    assert len(pair(lm, at_once).row.ids) >= 2  # something stands before a first token


def test_a_row_without_a_wrong_answer_stands_against_what_the_model_would_say(llama: LM) -> None:
    alone = [replace(r, perturbed=()) for r in worlds.FORGET]
    with torch.no_grad():
        own, other = logits(llama, [pair(llama, r) for r in alone])
        for record, z, against in zip(alone, own, other, strict=True):
            row = llama.encoder.row(record)
            said = llama.model(input_ids=torch.tensor([row.prompt])).logits[0, -1]
            best = said.topk(2)
            rest = best.values[0] if best.indices[0] != row.ids[row.start] else best.values[1]
            assert [z.item(), against.item()] == pytest.approx([said[row.ids[row.start]].item(), rest.item()], abs=1e-4)


def test_what_cannot_be_is_refused(llama: LM) -> None:
    with pytest.raises(InputError, match="choose at least 1"):
        PCGU(k=0)
    twice = replace(PAIRS[0], perturbed=(PAIRS[0].answer,))
    with pytest.raises(InputError, match="'town-0': its answer and its wrong answer do not differ"):
        PCGU(plan=ONE)(llama, Request(forget=[twice]))
    with pytest.raises(InputError, match="forget"):
        PCGU(plan=ONE)(llama, Request(retain=worlds.RETAIN))
