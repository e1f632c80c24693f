"""Rows laid end to end say what rows side by side say, in every family; and a pass may begin in the middle."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

import families
import worlds
from unteach.lm import attention, packed
from unteach.lm.anatomy import FAMILIES, blocks, trunk
from unteach.lm.batch import ALIKE, Row, collate
from unteach.lm.model import LM
from unteach.lm.stats import mlp_out, second_moments
from unteach.lm.trace import Start

ROWS = worlds.RECORDS[:5]


@pytest.fixture(scope="module", params=sorted(FAMILIES))
def patient(request: pytest.FixtureRequest) -> LM:
    return families.family(request.param)


@contextmanager
def widths(lm: LM) -> Iterator[list[tuple[int, ...]]]:
    """The shapes of the token ids of every forward pass."""
    seen: list[tuple[int, ...]] = []
    hook = trunk(lm.model).register_forward_pre_hook(
        lambda _m, _a, kwargs: seen.append(tuple(kwargs["input_ids"].shape)), with_kwargs=True
    )
    try:
        yield seen
    finally:
        hook.remove()


def slopes(lm: LM, logits: Tensor) -> list[Tensor]:
    weights = torch.randn(logits.shape, generator=torch.Generator().manual_seed(0))
    return list(torch.autograd.grad((logits * weights).sum(), list(lm.model.parameters())))


@pytest.mark.parametrize("short", [attention.SHORT, 0])
def test_packed_rows_give_the_logits_and_gradients_of_padded_ones(
    patient: LM, monkeypatch: pytest.MonkeyPatch, short: int
) -> None:
    monkeypatch.setattr(attention, "SHORT", short)
    batch = patient.batch(ROWS)
    before = patient.model.config._attn_implementation
    with widths(patient) as seen:
        ours = patient.logits(batch)
        monkeypatch.setattr("unteach.lm.model.packs", lambda _model: False)
        theirs = patient.logits(batch)
    tokens = int(batch.real.sum())
    assert tokens < batch.ids.numel()
    one = (1, tokens) if packed.packs(patient.model) else tuple(batch.ids.shape)
    assert seen == [one, tuple(batch.ids.shape)]
    assert patient.model.config._attn_implementation == before
    scale = float(theirs.detach().abs().max())
    torch.testing.assert_close(ours, theirs, rtol=1e-5, atol=2e-6 * scale)
    assert (ours - theirs).norm() <= 1e-6 * theirs.norm()
    for a, b in zip(slopes(patient, ours), slopes(patient, theirs), strict=True):
        assert (a - b).norm() <= 1e-5 * max(float(b.norm()), 1e-3)


@pytest.mark.parametrize("short", [attention.SHORT, 0])
def test_what_rows_begin_with_alike_is_computed_once(patient: LM, monkeypatch: pytest.MonkeyPatch, short: int) -> None:
    monkeypatch.setattr(attention, "SHORT", short)
    records = [replace(r, answer=a) for r in ROWS for a in (r.answer, f"{r.answer} No.", "Nobody knows.", "")]
    rows = [patient.encoder.row(r) for r in records]
    apart, shared = (
        collate(rows, ["r"] * len(rows), pad=patient.pad, device=patient.device, share=share) for share in (False, True)
    )
    beginnings = {row.ids[:n] for row in rows for n in range(1, len(row.ids) + 1)}
    assert len(beginnings) <= len(shared.places) < 0.7 * len(apart.places)
    for b in (apart, shared):
        assert torch.equal(b.ids[b.owned][b.sources[b.real]], b.ids[b.real])
    ours, theirs = patient.logits(shared), patient.logits(apart)
    scale = float(theirs.detach().abs().max())
    torch.testing.assert_close(ours, theirs, rtol=1e-5, atol=1e-6 * scale)
    for a, b in zip(slopes(patient, ours), slopes(patient, theirs), strict=True):
        assert (a - b).norm() <= 1e-5 * max(float(b.norm()), 1e-3)


@given(st.lists(st.lists(st.integers(0, 2), min_size=1, max_size=9), min_size=1, max_size=8))
@settings(deadline=None)
def test_groups_hold_every_row_and_every_computed_token_comes_back(ids: list[list[int]]) -> None:
    rows = [Row(tuple(i), 1) for i in ids]
    for share in (False, True):
        batch = collate(rows, ["r"] * len(rows), pad=0, device=torch.device("cpu"), share=share)
        assert torch.cat([g.flatten() for g in batch.groups])[batch.returns].tolist() == list(range(len(batch.places)))
        assert sum(len(g) for g in batch.groups) == len(rows)
        widths = [g.shape[1] for g in batch.groups]
        assert widths == sorted(widths, reverse=True)
        tokens = batch.ids[batch.owned]
        side_by_side = [tokens[row].tolist() for g in batch.groups for row in g]
        for wanted in sorted(ids, key=len, reverse=True):
            here = next(i for i, row in enumerate(side_by_side) if row[: len(wanted)] == wanted)
            assert len(wanted) >= ALIKE * len(side_by_side.pop(here))


def test_all_but_one_family_packs() -> None:
    assert [n for n in sorted(FAMILIES) if not packed.packs(families.family(n).model)] == ["gptj"]


def test_the_attention_is_put_back_after_a_failure(llama: LM) -> None:
    before = llama.model.config._attn_implementation
    hook = blocks(llama.model)[1].register_forward_hook(lambda *_: 1 / 0)
    try:
        with pytest.raises(ZeroDivisionError):
            llama.logits(llama.batch(ROWS))
    finally:
        hook.remove()
    assert llama.model.config._attn_implementation == before
    with pytest.raises(LookupError):
        packed._laid.get()


def test_what_taps_a_module_sees_row_by_row(lm: LM) -> None:
    seen: list[tuple[int, ...]] = []
    batch = lm.batch(ROWS)
    with lm.tap("model.norm" if "model.norm" in dict(lm.model.named_modules()) else "transformer.ln_f",
                lambda states, site: seen.append((*states.shape[:2], *site.mask.shape))):  # fmt: skip
        lm.logits(batch)
    assert seen == [(*batch.ids.shape, *batch.ids.shape)]


def test_checkpointed_blocks_are_not_packed(llama: LM) -> None:
    assert packed.packs(llama.model)
    llama.model.activation_checkpointing_enable()
    try:
        assert not packed.packs(llama.model)
    finally:
        llama.model.activation_checkpointing_disable()
        llama.model.disable_input_require_grads()


@torch.no_grad()
def test_a_pass_may_begin_at_any_block(patient: LM) -> None:
    batch = patient.batch(ROWS)
    whole = patient.run(batch)
    expected = whole.logits, whole.hidden(1)
    assert patient.enter(batch, Start(0)) is None
    begun = patient.enter(batch, Start(1))
    if not packed.packs(patient.model):
        assert begun is None
        return
    assert begun is not None
    ran: list[int] = []
    hooks = [
        m.register_forward_hook(lambda *_, i=i: ran.append(i))
        for i, block in enumerate(blocks(patient.model))
        for m in list(block.children())[:1]
    ]
    resumed = patient.run(batch, enter=begun)
    torch.testing.assert_close(resumed.logits, expected[0], rtol=0, atol=1e-6)
    assert set(ran) == {1}
    for hook in hooks:
        hook.remove()
    torch.testing.assert_close(resumed.hidden(1), expected[1], rtol=0, atol=1e-6)
    assert not any("forward" in vars(block) for block in blocks(patient.model))


def test_a_pass_stops_at_the_block_that_is_read(llama: LM) -> None:
    ran: list[int] = []
    hooks = [
        block.register_forward_pre_hook(lambda *_, i=i: ran.append(i)) for i, block in enumerate(blocks(llama.model))
    ]
    states = llama.run(llama.batch(ROWS)).hidden(0.4)  # 1 of 3 blocks
    for hook in hooks:
        hook.remove()
    assert ran == [0, 1]
    assert len(states) == int(llama.batch(ROWS).answer.sum())


@torch.no_grad()
def test_second_moments_count_what_texts_begin_with_alike_once_a_text(patient: LM) -> None:
    texts = [f"{r.prompt} {end}" for r in ROWS for end in ("yes", "yes and no", "no", "no")]
    layers = range(patient.layers)
    found = second_moments(patient, texts, layers)
    every: dict[int, list[Tensor]] = {n: [] for n in layers}
    for text in texts:
        ids = patient.tokenizer(text)["input_ids"]
        batch = collate([Row(tuple(ids), 1)], ["r"], pad=patient.pad, device=patient.device)
        for n in layers:
            every[n] += patient.inputs(batch, [mlp_out(patient, n)])
    assert found.count == sum(map(len, every[0]))
    for n in layers:
        keys = torch.cat(every[n]).double()
        wanted = keys.T @ keys / len(keys)
        assert (found.of[n] - wanted).norm() <= 1e-5 * wanted.norm()
