"""Fine-tuning of the neurons with the largest forget gradient alone."""

from dataclasses import replace

import pytest
import torch

import worlds
from unteach.edit.patches import through
from unteach.edit.plan import Plan
from unteach.lm.anatomy import stored_in_out
from unteach.lm.model import LM
from unteach.lm.view import View
from unteach.measure.answers import ask, probability
from unteach.methods.finetune.sure import SURE
from unteach.schema import InputError, Request

REQUEST = Request(forget=worlds.FORGET, retain=worlds.RETAIN)
PLAN = Plan(tune="full", epochs=3, lr=3e-3, batch_size=4, accumulate=1)
SHARE = 0.02


def test_sure_leaves_all_but_its_neurons_as_they_were(lm: LM) -> None:
    """The slow way: the gradient of ascent on whole answers, which NPO's is at the start, neuron by neuron."""
    rows = View(lm.run(lm.batch(worlds.FORGET)), slice(0, len(worlds.FORGET)))
    names = [n for n, p in lm.parameters().items() if p.ndim == 2]
    slopes = dict(zip(names, torch.autograd.grad(rows.sums.mean(), [lm.parameters()[n] for n in names]), strict=True))
    turned = {n for n in names if stored_in_out(lm.model.get_submodule(n.rpartition(".")[0]))}
    scores = {(n, i): row.norm().item() for n, g in slopes.items() for i, row in enumerate(g.T if n in turned else g)}
    chosen = set(sorted(scores, key=scores.__getitem__, reverse=True)[: int(SHARE * len(scores))])
    edit = SURE(share=SHARE, plan=PLAN)(lm, REQUEST)
    for name, chain in edit.weights.items():
        before = lm.parameters()[name].detach()
        moved = through(chain, before) != before
        if name in turned:
            moved = moved.T
        if before.ndim == 1:
            assert not moved.any()
        else:
            assert {(name, int(i)) for i in moved.any(1).nonzero()} == {key for key in chosen if key[0] == name}


def test_a_share_of_all_neurons_forgets_and_keeps(llama: LM) -> None:
    with SURE(share=0.2, plan=replace(PLAN, epochs=20))(llama, REQUEST).on(llama):
        gone, kept = ([probability(a) or 0 for a in ask(llama, rows)] for rows in (worlds.FORGET, worlds.RETAIN))
    assert max(gone) < 0.5 < 0.8 < sum(kept) / len(kept)


def test_what_cannot_be_is_refused(llama: LM) -> None:
    for share in (0.0, 1.5):
        with pytest.raises(InputError, match="choose it above 0 and at most 1"):
            SURE(share=share)
    with pytest.raises(InputError, match="retain"):
        SURE(plan=PLAN)(llama, Request(forget=worlds.FORGET))
