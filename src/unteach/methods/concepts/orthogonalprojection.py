"""An orthogonal probe learns which axes of the states tell a concept, and a filter takes these axes out."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import ClassVar

import torch
from jaxtyping import Float, Int
from torch import Tensor

from unteach.edit.edit import Edit
from unteach.edit.maps import Erase
from unteach.edit.plan import draw
from unteach.lm.model import LM
from unteach.methods.concepts.scrub import TWO, Labelled, Portions, blocks, labelled, scrub
from unteach.registry import method
from unteach.schema import Guarantee, InputError, Need, Record, Request

CLAIM = (
    "The probe that was trained on these states tells nothing of the concept any more. The axes it used are hidden, "
    "nothing is removed from the weights; other probes may still find the concept."
)
BIAS, KEPT = 0, 1  # the two tasks of the probe


@method("orthogonalprojection", tested_by="test_the_filter_takes_out_the_planted_axis_and_spares_the_one_to_keep")
@dataclass(frozen=True)
class OrthogonalProjection:
    """Project out the axes of an orthogonal probe by which it tells a concept, and not what should be kept.

    The probe of a block has one orthogonal matrix O for all tasks, and of each task a scale d and an intercept b:

        q = (O'h - b) * d,   what it says = (|max(q, 0)|^2, |min(q, 0)|^2)

    which is to be (1, 0) for one class and (0, 1) for the other, by the mean absolute error; |O'O - I| + |OO' - I| is
    added, `penalty` times, and d is drawn to 0, so that few axes serve a task. The filter is O diag(f) O', with f = 0
    where the concept's |d| is above `threshold` and above that of what is to be kept, else 1. After the description in
    Limisiewicz and Mareček 2022, arXiv:2206.10744, who filter gender stereotypes and keep grammatical gender. There h is
    the state of a word; here it is that behind which an answer begins, centred and of unit spread while the probe is
    trained. Here each task starts on an axis along which its classes' means lie apart, and with little of the others; d is drawn to 0 by `sparsity` times the
    rate a step, which ends there exactly; and O is in the end replaced by the orthogonal matrix nearest to it, since a
    filter is a projection only then (|O'O - I| before stands among the guarantee's numbers). Blocks from `first` on (below 1: that share of the depth) are filtered,
    each fitted to states that those before have gone over.

    Needs labels of two classes on the rows to forget. Labels on rows to keep, of two classes again, tell what is to be
    kept. A concept that lies along other axes too stays legible along them.

    Example: ``OrthogonalProjection(first=0.5)(lm, request)``.
    """

    needs: ClassVar[frozenset[Need]] = frozenset({"forget", "labels"})
    guarantee: ClassVar[str] = "suppression"
    first: float = 0.5
    threshold: float = 1e-4
    penalty: float = 0.1
    sparsity: float = 0.8
    rate: float = 0.02
    epochs: int = 40
    batch_size: int = 10
    clip: float = 1.0
    seed: int = 0

    def __post_init__(self) -> None:
        if self.epochs < 1 or self.batch_size < 1 or not self.rate > 0 or not self.clip > 0:
            raise InputError(
                "orthogonalprojection needs at least one epoch, one row a batch, and rate and clip above 0"
            )
        if self.threshold < 0 or self.penalty < 0 or self.sparsity < 0:
            raise InputError("options 'threshold', 'penalty' and 'sparsity' of orthogonalprojection are not negative")

    def __call__(self, lm: LM, request: Request) -> Edit:
        told, first = _tasks(request), lm.layer(self.first)
        sites = [paths if n >= first else [] for n, paths in enumerate(blocks(lm))]
        residuals: list[float] = []

        def fit(portions: Portions) -> Erase:
            states, classes = (torch.cat(parts) for parts in zip(*portions, strict=True))
            probe = trained(states, classes, self)
            residuals.append(probe.residual)
            axes = probe.axes(self.threshold).to(torch.promote_types(states.dtype, torch.float32))
            return Erase(axes, axes.T.contiguous(), torch.zeros_like(axes[:, 0] if axes.numel() else states[0]))

        found = scrub(lm, told, sites, "last", fit)
        if not found:
            raise InputError("no axis tells the labels apart; lower the sparsity, or give more rows to forget")
        promise = Guarantee("suppression", "removable", CLAIM, {"orthogonality": max(residuals)})
        worn = {path: (change,) for path, change in found.items()}
        return Edit(lm.digest(), activations=worn, made_by=f"orthogonalprojection({self})", guarantee=promise)


@dataclass(frozen=True, eq=False)
class Probe:
    """Axes (columns of an orthogonal matrix), and how much each is used by each task; |O'O - I| as it was trained."""

    basis: Float[Tensor, "D D"]
    scales: Float[Tensor, "2 D"]
    residual: float

    def axes(self, threshold: float) -> Float[Tensor, "D K"]:
        """Those that tell the concept more than what is to be kept."""
        used, kept = self.scales.abs()
        return self.basis[:, (used > threshold) & (used > kept)].contiguous()


def trained(states: Float[Tensor, "n D"], classes: Int[Tensor, " n"], how: OrthogonalProjection) -> Probe:
    """The probe of states whose classes are 0 and 1, and 2 and 3 for the task to keep."""
    h = states.detach().to(torch.promote_types(states.dtype, torch.float32))
    h = (h - h.mean(0)) / (h - h.mean(0)).square().mean().sqrt().clamp_min(torch.finfo(h.dtype).tiny)
    width, eye = h.shape[1], torch.eye(h.shape[1]).to(h)
    task, sign = classes // TWO, classes % TWO
    with torch.enable_grad():
        basis = _start(h, classes).requires_grad_()
        scales = (torch.full((TWO, width), width**-0.5) + torch.eye(TWO, width)).to(h).requires_grad_()
        shift = torch.zeros(TWO, width).to(h).requires_grad_()
        parts = [basis, scales, shift]
        optimiser = torch.optim.Adam(parts, lr=how.rate)
        for rows in _batches(len(h), how):
            mine = task[rows]
            missed = _missed((h[rows] @ basis - shift[mine]) * scales[mine], sign[rows])
            skew = (basis.T @ basis - eye).norm() + (basis @ basis.T - eye).norm()
            loss = missed + how.penalty * skew
            optimiser.zero_grad()
            torch.autograd.backward(loss)
            torch.nn.utils.clip_grad_norm_(parts, how.clip)
            optimiser.step()
            with torch.no_grad():
                scales.copy_(torch.nn.functional.softshrink(scales, how.rate * how.sparsity))
    left, _, right = torch.linalg.svd(basis.detach())
    present = torch.tensor([(task == t).any() for t in (BIAS, KEPT)], device=h.device)[:, None]
    return Probe(left @ right, scales.detach() * present, (basis.T @ basis - eye).norm().item())


def _missed(q: Float[Tensor, "n D"], sign: Int[Tensor, " n"]) -> Tensor:
    """How far from what it should say a probe is."""
    said = torch.stack([q.clamp_min(0).square().sum(1), q.clamp_max(0).square().sum(1)], 1)
    return (said - torch.stack([1 - sign, sign], 1)).abs().sum(1).mean()


def _start(h: Float[Tensor, "n D"], classes: Int[Tensor, " n"]) -> Float[Tensor, "D D"]:
    """Orthogonal axes, the first of them along which the means of two classes lie apart."""
    pairs = [(h[classes == c], h[classes == c + 1]) for c in (0, TWO)]
    apart = [one.mean(0) - other.mean(0) for one, other in pairs if len(one) and len(other)]
    found: Tensor = torch.linalg.qr(torch.cat([torch.stack(apart, 1), torch.eye(h.shape[1]).to(h)], 1)).Q
    return found


def _batches(count: int, how: OrthogonalProjection) -> Iterator[Tensor]:
    for epoch in range(how.epochs):
        order = sorted(range(count), key=lambda i: draw(how.seed, "probe", epoch, i))
        yield from (torch.tensor(order[at : at + how.batch_size]) for at in range(0, count, how.batch_size))


def _tasks(request: Request) -> Labelled:
    """The rows to forget as classes 0 and 1, those to keep that have labels as classes 2 and 3."""
    parts = [labelled(request.forget, "orthogonalprojection")]
    kept: Sequence[Record] = [r for r in request.retain if r.label is not None]
    if kept:
        parts.append(labelled(kept, "orthogonalprojection"))
    if any(part.count > TWO for part in parts):
        raise InputError("orthogonalprojection tells two classes apart; give labels of two kinds, or use leace")
    rows = tuple(r for part in parts for r in part.rows)
    return Labelled(rows, tuple(c + TWO * n for n, part in enumerate(parts) for c in part.classes))
