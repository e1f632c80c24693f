"""Attention of short rows written out is what PyTorch's own gives, in float64 and for every layout of heads and rows."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from unteach.lm import attention, packed
from unteach.lm.batch import Batch, Row, collate

Told = tuple[Tensor, Tensor, Tensor]


def attended(batch: Batch, given: Told, dtype: torch.dtype, **how: object) -> list[Tensor]:
    """Values and the gradients of queries, keys and values."""
    query, key, value = (x.to(dtype).requires_grad_() for x in given)
    token = packed._laid.set(batch)
    try:
        found = packed._attention(torch.nn.Module(), query, key, value, None, **how)[0]  # type: ignore[arg-type]
    finally:
        packed._laid.reset(token)
    steer = torch.randn(found.shape, generator=torch.Generator().manual_seed(1)).to(dtype)
    return [found.detach(), *torch.autograd.grad(found, (query, key, value), steer)]


def drawn(batch: Batch, heads: int, keys: int, width: int) -> Told:
    dice = torch.Generator().manual_seed(0)
    query, key, value = (torch.randn(1, n, len(batch.places), width, generator=dice) for n in (heads, keys, keys))
    return query, key, value


@given(
    st.lists(st.lists(st.integers(0, 1), min_size=1, max_size=14), min_size=1, max_size=7),
    st.booleans(), st.sampled_from([(4, 2), (3, 3), (6, 1)]), st.sampled_from([None, 1, 3, 50]),
    st.sampled_from([None, 0.3]),
)  # fmt: skip
@settings(deadline=None)
def test_written_out_it_is_the_same(
    ids: list[list[int]], share: bool, heads: tuple[int, int], window: int | None, scaling: float | None
) -> None:
    rows = [Row(tuple(i), 1) for i in ids]
    batch = collate(rows, ["r"] * len(rows), pad=0, device=torch.device("cpu"), share=share)
    told = drawn(batch, *heads, 8)
    how = {"sliding_window": window, "scaling": scaling}
    assert attention.short(batch, told[0])
    assert not attention.short(batch, told[0].double())
    ours = attended(batch, told, torch.float32, **how)
    theirs = attended(batch, told, torch.float64, **how)
    for a, b in zip(ours, theirs, strict=True):
        torch.testing.assert_close(a.double(), b, rtol=0, atol=1e-5)


def test_long_rows_keep_no_weights(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(packed, "written", lambda *_, **__: 1 / 0)
    rows = [Row(tuple(range(n)), 1) for n in (attention.SHORT + 1, 5)]
    batch = collate(rows, ["r"] * 2, pad=0, device=torch.device("cpu"))
    told = drawn(batch, 2, 1, 4)
    values = attended(batch, told, torch.float32)[0]
    assert values.shape == (1, attention.SHORT + 6, 2, 4)
    short = collate(rows[1:], ["r"], pad=0, device=torch.device("cpu"))
    with pytest.raises(ZeroDivisionError):
        attended(short, drawn(short, 2, 1, 4), torch.float32)
    for how in ({"softcap": 5.0}, {"dropout": 0.5}):
        attended(short, drawn(short, 2, 1, 4), torch.float32, **how)


def test_nothing_is_kept_where_no_gradient_is_asked_for() -> None:
    batch = collate([Row((1, 2, 3), 1)], ["r"], pad=0, device=torch.device("cpu"))
    query, key, value = (x[0].transpose(0, 1) for x in drawn(batch, 2, 1, 4))
    found = attention.written(query, key, value, batch, scale=1.0, window=None)
    assert found.shape == query.shape
    assert found.grad_fn is None
