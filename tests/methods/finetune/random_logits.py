"""Logits drawn at random that stand for a model, and slow ways to what an objective makes of them."""

import torch
from torch import Tensor

from unteach.lm.batch import Batch
from unteach.lm.view import Pass, View

ROWS = 4  # the answers to forget; the replacements come after them


class Table:
    """What a model says about the first four rows and their replacements; its logits serve as states too."""

    def __init__(self, batch: Batch, seed: int = 0) -> None:
        self.batch = batch
        generator = torch.Generator().manual_seed(seed)
        shape = (len(batch.targets), 40)
        self.logits = torch.randn(shape, generator=generator, dtype=torch.float64).requires_grad_()

    def view(self, *, frozen: bool = False) -> View:
        found = self.logits.detach() if frozen else self.logits
        return seen(self.batch, found)

    @property
    def tokens(self) -> int:
        """How many answer tokens the first four rows have."""
        return self.batch.offsets[ROWS]


def seen(batch: Batch, logits: Tensor) -> View:
    """The first four rows and their replacements, as an objective sees them."""
    whole = Pass(batch, lambda: logits, lambda _layer: logits)
    return View(whole, slice(0, ROWS), instead=View(whole, slice(ROWS, 2 * ROWS)))


def gradient(table: Table, loss: Tensor) -> Tensor:
    (found,) = torch.autograd.grad(loss, table.logits, retain_graph=True)
    return found


def logps(table: Table, rows: range = range(ROWS), tau: float = 1.0) -> list[Tensor]:
    """The slow way: log-probabilities of the tokens of each row."""
    found, at = [], 0
    for b in range(len(table.batch.ids)):
        targets = table.batch.ids[b][table.batch.answer[b]]
        picked = [(table.logits[at + t] / tau).log_softmax(-1)[token] for t, token in enumerate(targets)]
        at += len(targets)
        if b in rows:
            found.append(torch.stack(picked))
    return found


def assert_same(a: Tensor, b: Tensor, tolerance: float = 1e-12) -> None:
    torch.testing.assert_close(a, b, rtol=tolerance, atol=tolerance)


def assert_both(table: Table, loss: Tensor, expected: Tensor, tolerance: float = 1e-12) -> None:
    """The same value and the same gradient."""
    assert_same(loss, expected, tolerance)
    assert_same(gradient(table, loss), gradient(table, expected), tolerance)
