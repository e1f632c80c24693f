"""Views against a slow oracle that looks at one token after the other, and how little of a model they run."""

import pytest
import torch
from torch import Tensor

import worlds
from unteach.lm.batch import Batch
from unteach.lm.likelihood import of_logits
from unteach.lm.model import LM
from unteach.lm.view import Pass, View, likeliest

SLICES = [slice(0, 6), slice(0, 2), slice(2, 5), slice(5, 6), slice(3, 3)]


def batch_of(lm: LM) -> Batch:
    return lm.batch(worlds.RECORDS[:6])


def oracle(lm: LM, batch: Batch) -> list[list[float]]:
    """Log-probability of each answer token of each row, from full logits in float64."""
    full = lm.model(batch.ids, attention_mask=batch.real.long()).logits.double()
    found: list[list[float]] = []
    for b in range(len(batch.ids)):
        found.append([])
        for t in range(1, batch.ids.shape[1]):
            if batch.answer[b, t]:
                found[-1].append(full[b, t - 1].log_softmax(-1)[batch.ids[b, t]].item())
    return found


@torch.no_grad()
@pytest.mark.parametrize("rows", SLICES)
def test_a_view_against_the_oracle(lm: LM, rows: slice) -> None:
    batch = batch_of(lm)
    slow = oracle(lm, batch)[rows]
    view = View(lm.run(batch), rows)
    flat = [x for row in slow for x in row]
    targets = [batch.ids[b, t].item() for b, t in batch.answer.nonzero().tolist() if rows.start <= b < rows.stop]
    assert view.lengths.tolist() == [len(row) for row in slow]
    assert view.rows.tolist() == [i for i, row in enumerate(slow) for _ in row]
    assert view.targets.tolist() == targets
    assert view.token_logps.tolist() == pytest.approx(flat, abs=1e-5)
    assert view.sums.tolist() == pytest.approx([sum(row) for row in slow], abs=1e-4)
    assert view.means.tolist() == pytest.approx([sum(row) / len(row) for row in slow], abs=1e-5)
    assert view.logits.shape == (len(flat), lm.model.config.vocab_size)
    assert torch.equal(view.hidden(1), lm.run(batch).hidden(1)[_tokens(batch, rows)])


def _tokens(batch: Batch, rows: slice) -> Tensor:
    return (batch.rows >= rows.start) & (batch.rows < rows.stop)


class Counted:
    """A pass that counts what is asked of it."""

    def __init__(self, lm: LM, batch: Batch) -> None:
        self.asked: list[str] = []
        inner = lm.run(batch)

        def logits() -> Tensor:
            self.asked.append("logits")
            return inner.logits

        def hidden(layer: int) -> Tensor:
            self.asked.append(f"hidden {layer}")
            return inner.hidden(layer)

        self.whole = Pass(batch, logits, hidden)


def test_nothing_runs_before_it_is_asked_for_and_nothing_twice(llama: LM) -> None:
    one = Counted(llama, batch_of(llama))
    views = [View(one.whole, rows) for rows in SLICES]
    for view in views:
        _ = view.lengths, view.targets, view.rows
    assert one.asked == []
    for view in views:
        _ = view.sums, view.means, view.logits, view.token_logps
    assert one.asked == ["logits"]
    for view in views:
        _ = view.hidden(0), view.hidden(2), view.hidden(0)
    assert one.asked == ["logits", "hidden 0", "hidden 2"]


def test_what_is_known_is_read_and_not_computed(llama: LM) -> None:
    one = Counted(llama, batch_of(llama))
    known = torch.arange(float(sum(View(one.whole, slice(1, 3)).lengths)))
    view = View(one.whole, slice(1, 3), known=known)
    assert torch.equal(view.token_logps, known)
    assert view.sums.sum() == known.sum()
    assert one.asked == []
    assert view.logits.shape[0] == len(known)  # a distribution is not remembered
    assert one.asked == ["logits"]


def test_double_precision_is_kept_and_half_is_raised(llama: LM) -> None:
    batch = batch_of(llama)
    logits = llama.logits(batch).detach()
    for given, kept in (
        (torch.float64, torch.float64),
        (torch.bfloat16, torch.float32),
        (torch.float16, torch.float32),
    ):
        one = Pass(batch, lambda given=given: logits.to(given), lambda _layer: logits)
        assert (one.logits.dtype, one.token_logps.dtype) == (kept, kept)


def test_the_gradient_of_a_sum_reaches_its_own_rows_only(llama: LM) -> None:
    batch = batch_of(llama)
    logits = llama.logits(batch).detach().requires_grad_()
    view = View(Pass(batch, lambda: logits, lambda _layer: logits), slice(1, 4))
    view.sums[0].backward()
    touched = logits.grad.abs().sum(1).nonzero()[:, 0].tolist()
    assert touched == list(range(batch.offsets[1], batch.offsets[2]))


def test_an_undeclared_replacement_is_a_mistake(llama: LM) -> None:
    with pytest.raises(AssertionError, match="must declare the need"):
        _ = View(llama.run(batch_of(llama)), slice(0, 6)).instead


def test_the_gradient_of_a_log_probability() -> None:
    dice = torch.Generator().manual_seed(0)
    logits = torch.randn(5, 7, dtype=torch.float64, generator=dice, requires_grad=True)
    targets = torch.tensor([0, 6, 3, 3, 1])
    assert torch.autograd.gradcheck(lambda x: of_logits(x, targets), (logits,))
    plain = logits.log_softmax(-1).gather(1, targets[:, None])[:, 0]
    torch.testing.assert_close(of_logits(logits, targets), plain, rtol=0, atol=0)


@pytest.mark.parametrize("kind", [torch.float32, torch.bfloat16])
def test_the_first_of_the_likeliest(kind: torch.dtype) -> None:
    logits = torch.tensor([[0.0, 2.0, 2.0], [1.0, 1.0, 1.0], [-3.0, -2.0, -1.0]], dtype=kind, requires_grad=True)
    assert likeliest(logits).tolist() == [1, 0, 2]
    assert int(likeliest(logits[0])) == 1
