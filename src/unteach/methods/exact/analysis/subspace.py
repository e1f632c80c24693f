"""Few coordinates of a model: the B of adapters whose A is drawn once, and what rows say as a function of them."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor, nn

from unteach.edit.patches import AddOuter, Patch
from unteach.edit.plan import draw
from unteach.lm.anatomy import anatomy, stored_in_out
from unteach.lm.batch import Batch
from unteach.lm.model import LM
from unteach.lm.view import View
from unteach.schema import InputError, Record, Request

AT_ONCE = 32  # rows in one pass where no row's own gradient is asked
LEAST = 1e-12  # of a step
MOST = 10**9  # numbers of rows' gradients that are held side by side, at 8 bytes

Value = Callable[[View], Tensor]  # of each row of a view


@dataclass(frozen=True, eq=False)
class Subspace:
    """W + B A for each linear map in the chosen blocks; a point is all B's, end to end, in float64.

    A (rank, in) is normal with variance 1 / rank: products of gradients here are, in expectation, those of the weights'.
    """

    lm: LM
    drawn: Mapping[str, Float[Tensor, "r i"]]
    heights: Mapping[str, int]

    @property
    def size(self) -> int:
        return sum(self.heights[n] * len(a) for n, a in self.drawn.items())

    def parts(self, point: Float[Tensor, " p"]) -> dict[str, Float[Tensor, "o r"]]:
        """The B of each map."""
        sizes = [self.heights[n] * len(a) for n, a in self.drawn.items()]
        cut = torch.split(point, sizes)
        return {n: b.view(self.heights[n], len(a)) for (n, a), b in zip(self.drawn.items(), cut, strict=True)}

    def weights(self, point: Float[Tensor, " p"]) -> dict[str, Tensor]:
        """The model's weights at a point, through which gradients flow to it."""
        found = self.lm.parameters()
        moved = {}
        for name, b in self.parts(point).items():
            weight = found[name].detach()
            change = b.to(weight.device, torch.float32) @ self.drawn[name].to(weight.device)
            moved[name] = weight + (change.T if self._in_out(name) else change).to(weight.dtype)
        return moved

    def patches(self, point: Float[Tensor, " p"]) -> dict[str, tuple[Patch, ...]]:
        """The point as a change of the model."""
        found: dict[str, tuple[Patch, ...]] = {}
        for name, b in self.parts(point.detach()).items():
            left, right = b.float().clone(), self.drawn[name].clone()
            found[name] = (AddOuter(right.T, left.T) if self._in_out(name) else AddOuter(left, right),)
        return found

    def _in_out(self, name: str) -> bool:
        return stored_in_out(self.lm.model.get_submodule(name.removesuffix(".weight")))


def subspace(lm: LM, where: float, rank: int, seed: int) -> Subspace:
    """The linear maps of the blocks from `where` on: a number of a block, or below 1 a share of the depth."""
    first = lm.layer(where)
    starts = tuple(f"{anatomy(lm.model).blocks}.{n}." for n in range(first, lm.layers))
    owned = {id(p): n for n, p in lm.parameters().items()}
    drawn, heights = {}, {}
    for module in lm.model.modules():
        name = owned.get(id(getattr(module, "weight", None)), "")
        if name.startswith(starts) and (isinstance(module, nn.Linear) or stored_in_out(module)):
            if not module.weight.is_floating_point():
                raise InputError("quantised weights have no gradient of their own; load the model in half precision")
            height, width = module.weight.T.shape if stored_in_out(module) else module.weight.shape
            generator = torch.Generator().manual_seed(draw(seed, "subspace", name) % 2**63)
            drawn[name] = torch.randn(rank, width, generator=generator) / rank**0.5
            heights[name] = height
    return Subspace(lm, drawn, heights)


def jacobian(space: Subspace, records: Sequence[Record], value: Value) -> tuple[Tensor, Tensor]:
    """What each row says, (n,), and how that changes with the coordinates, (n, p), in float64, where the model stands."""
    if len(records) * space.size > MOST:
        raise InputError(
            f"{len(records)} gradients of {space.size} numbers do not fit side by side; raise 'layer', lower 'rank', or "
            f"give at most {MOST // space.size} rows"
        )
    said, slopes = [], []
    for record in records:
        point = torch.zeros(space.size, dtype=torch.float64, requires_grad=True)
        with torch.enable_grad():
            found = value(seen(space, space.lm.batch([record]), point))[0]
            slopes.append(torch.autograd.grad(found, point)[0])
        said.append(found.detach().double().cpu())
    return torch.stack(said), torch.stack(slopes)


def total(space: Subspace, records: Sequence[Record], point: Float[Tensor, " p"]) -> Float[Tensor, " p"]:
    """The sum of the rows' gradients at a point."""
    found = torch.zeros_like(point)
    for at in range(0, len(records), AT_ONCE):
        batch = space.lm.batch(records[at : at + AT_ONCE])
        leaf = point.clone().requires_grad_()
        with torch.enable_grad():
            found += torch.autograd.grad(loss(seen(space, batch, leaf)).sum(), leaf)[0]
    return found


def seen(space: Subspace, batch: Batch, point: Float[Tensor, " p"]) -> View:
    """What the model says about a batch at a point."""
    return View(space.lm.run(batch, space.weights(point)), slice(0, len(batch.records)))


def loss(view: View) -> Float[Tensor, " B"]:
    """The mean negative log-probability of each answer's tokens."""
    return -view.means


def margin(view: View) -> Float[Tensor, " B"]:
    """The mean over an answer's tokens of log p / (1 - p), which goes on growing where the log-probability is full."""
    logits = view.logits
    right = logits.gather(1, view.targets[:, None])[:, 0]
    others = logits.scatter(1, view.targets[:, None], -torch.inf).logsumexp(-1)
    return view.row_means(right - others)


def both(request: Request, name: str) -> None:
    """Refuse a request without forget rows, or without retain rows."""
    if not request.forget:
        raise InputError("there are no records to forget; give --forget FILE")
    if not request.retain:
        raise InputError(f"'{name}' keeps what the records to keep hold, and there are none; give --retain FILE")


@torch.no_grad()
def reach(lm: LM, records: Sequence[Record], moved: Callable[[float], Mapping[str, Tensor]], slack: float) -> float:
    """How far a step may go, at most 1, before the mean loss of these rows is `slack` nats above what it was.

    `moved` gives the weights at a share of the step. To a part in two hundred, where the loss grows along the step.
    """

    def lost(weights: Mapping[str, Tensor] | None) -> float:
        parts = [records[at : at + AT_ONCE] for at in range(0, len(records), AT_ONCE)]
        found = [loss(View(lm.run(lm.batch(p), weights), slice(0, len(p)))).sum() for p in parts]
        return float(torch.stack(found).sum()) / len(records)

    most = lost(None) + slack
    if lost(moved(1.0)) <= most:
        return 1.0
    low, high = 0.0, 1.0
    while high - low > 0.005 * high:
        if high < LEAST:
            raise InputError("the records to keep bear no step at all; raise 'slack', or check what they hold")
        middle = (low + high) / 2
        low, high = (middle, high) if lost(moved(middle)) <= most else (low, middle)
    return low
