"""Unlearning layers: what they begin as, what they do, how they come off, and how several become one."""

from dataclasses import replace
from pathlib import Path

import pytest
import torch
from torch import Tensor

import worlds
from unteach.edit import store
from unteach.edit.edit import Edit
from unteach.edit.maps import Layer
from unteach.edit.plan import Plan
from unteach.lm.batch import collate
from unteach.lm.model import LM
from unteach.lm.stats import mlp_out
from unteach.measure.answers import ask, exact_match, probability
from unteach.methods.finetune.behind import Behind
from unteach.methods.finetune.eul import EUL
from unteach.methods.finetune.fusion import fuse, fused
from unteach.schema import InputError, Record, Request

REQUEST = Request(forget=worlds.FORGET, retain=worlds.RETAIN)
PLAN = Plan(tune="full", epochs=16, lr=1e-2, batch_size=4, accumulate=1, measure_every=16)


def known(lm: LM, records: tuple[Record, ...]) -> tuple[float, float]:
    found = ask(lm, records)
    return sum(probability(a) or 0 for a in found) / len(found), sum(exact_match(a) or 0 for a in found) / len(found)


def drawn(*shape: int, seed: int) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def test_eul_layers_begin_as_the_identity_and_come_off(lm: LM) -> None:
    before, stood = known(lm, worlds.FORGET), worlds.state(lm)
    batch = lm.batch(worlds.RECORDS)
    with torch.no_grad():
        plain = lm.logits(batch)
        with lm.tap(mlp_out(lm, 0), lambda _h, _site: None):
            padded = lm.logits(batch)  # what is tapped runs row by row
        behind = Behind(lm, PLAN)
        with behind.opened(lm, PLAN):
            assert torch.equal(lm.logits(batch), padded)
    edit = EUL(plan=PLAN)(lm, REQUEST)
    assert not edit.weights
    assert list(edit.activations) == [mlp_out(lm, n) for n in range(lm.layers)]
    assert edit.guarantee.kind == "suppression"
    with edit.on(lm):
        assert known(lm, worlds.FORGET)[0] < 0.5 * before[0]
        assert known(lm, worlds.RETAIN)[1] > 0.9
    assert torch.equal(lm.logits(batch), plain)
    assert worlds.state(lm) == stood


def test_layers_survive_the_disk_with_their_gram_matrices(llama: LM, tmp_path: Path) -> None:
    edit = EUL(plan=replace(PLAN, tune="1-2", epochs=1))(llama, REQUEST)
    store.save(edit, tmp_path)
    read = store.load(tmp_path)
    assert read.digest() == edit.digest()
    assert list(read.activations) == [mlp_out(llama, 1), mlp_out(llama, 2)]
    (layer,) = read.activations[mlp_out(llama, 1)]
    assert isinstance(layer, Layer)
    rows = [llama.encoder.row(r) for r in worlds.RECORDS]
    batch = collate(rows, [r.id for r in worlds.RECORDS], pad=llama.pad, device=llama.device)
    with torch.no_grad():  # nothing is worn below the first layer
        entered = llama.outputs(batch, mlp_out(llama, 1)).double()
    alone = {tuple(row.ids) for row in rows}
    assert len(alone) == len(rows)
    shared = layer.gram.trace() / (entered.T @ entered).trace()
    assert 0.4 < shared <= 1 + 1e-6  # what rows begin with alike is read once
    assert layer.gram.dtype == torch.float64


def test_fusing_is_stacked_least_squares() -> None:
    rows = [drawn(40 + 7 * i, 12, seed=i) for i in range(3)]
    weights = [drawn(12, 12, seed=10 + i) for i in range(3)]
    found = fuse([x.T @ x for x in rows], weights)
    wanted = torch.cat([x @ w for x, w in zip(rows, weights, strict=True)])
    slow = torch.linalg.lstsq(torch.cat(rows), wanted).solution
    torch.testing.assert_close(found, slow, rtol=1e-12, atol=1e-12)


def test_fusing_one_layer_or_equal_ones_gives_it_back() -> None:
    weight, rows = drawn(9, 9, seed=1), [drawn(50, 9, seed=i) for i in range(4)]
    for some in (rows[:1], rows):
        found = fuse([x.T @ x for x in some], [weight] * len(some))
        torch.testing.assert_close(found, weight, rtol=1e-12, atol=1e-12)


def test_a_singular_sum_takes_a_ridge_and_does_nothing_where_no_row_was() -> None:
    rows = drawn(3, 8, seed=2)  # three rows say nothing of five directions
    weight = drawn(8, 8, seed=3)
    found = fuse([rows.T @ rows], [weight])
    torch.testing.assert_close(rows @ found, rows @ weight, rtol=1e-6, atol=1e-6)
    beside = torch.eye(8, dtype=torch.float64) - torch.linalg.pinv(rows) @ rows
    assert (beside @ found).norm() < 1e-6 * weight.norm()


def test_two_requests_become_one(llama: LM) -> None:
    """Both are forgotten by layers fused from two trainings that knew nothing of each other."""
    parts = worlds.FORGET[:2], worlds.FORGET[2:]
    edits = [EUL(plan=PLAN)(llama, replace(REQUEST, forget=part)) for part in parts]
    before = [known(llama, part)[0] for part in parts]
    whole = fused(edits)
    for path, (layer,) in whole.activations.items():
        grams = [edit.activations[path][0].gram for edit in edits]  # type: ignore[attr-defined]
        assert isinstance(layer, Layer)
        torch.testing.assert_close(layer.gram, sum(grams), rtol=0, atol=0)
    with whole.on(llama):
        after = [known(llama, part)[0] for part in parts]
        assert known(llama, worlds.RETAIN)[1] > 0.95
    assert all(new < 0.3 * old for new, old in zip(after, before, strict=True))
    assert whole.guarantee.kind == "suppression"


def test_what_cannot_be_fused_or_trained_is_refused(llama: LM, gpt2: LM) -> None:
    short = replace(PLAN, epochs=1)
    one, other = (EUL(plan=short)(lm, REQUEST) for lm in (llama, gpt2))
    with pytest.raises(InputError, match="at the same places of one model"):
        fused([one, other])
    with pytest.raises(InputError, match="only unlearning layers can be fused"):
        fused([Edit(llama.digest())])
    for need in ("forget", "retain"):
        with pytest.raises(InputError, match=need):
            EUL(plan=short)(llama, replace(REQUEST, **{need: ()}))
    with pytest.raises(InputError, match="layers 0 to 2"):
        EUL(plan=replace(PLAN, tune="1-5"))(llama, REQUEST)
