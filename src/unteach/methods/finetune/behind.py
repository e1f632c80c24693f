"""Linear layers in training behind the MLPs of a frozen model, and the Gram matrices of what enters them."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from functools import partial
from math import sqrt
from typing import ClassVar

import torch
from jaxtyping import Float
from torch import Tensor, nn

from unteach.edit.maps import ActivationMap, Layer
from unteach.edit.patches import Patch
from unteach.edit.plan import Plan, draw, layers
from unteach.edit.trainable import Trainable, frozen
from unteach.lm.batch import Batch
from unteach.lm.model import LM
from unteach.lm.stats import mlp_out
from unteach.lm.trace import Enter, Site, Start
from unteach.lm.view import Pass
from unteach.measure.answers import batched
from unteach.schema import Record

SIDES = ("down", "up")


class Behind:
    """Layers h + h @ down @ up behind the MLPs that a plan names, all of them unless it does; `up` begins at 0."""

    first: ClassVar[Start] = Start()

    def __init__(self, lm: LM, plan: Plan) -> None:
        named = range(lm.layers) if plan.tune in (None, "lora", "full") else layers(plan.tune)
        self.lm, self.worn = lm, True
        self.layers = {path: _begun(lm, plan, path) for path in (mlp_out(lm, lm.layer(n)) for n in named)}
        sides = ((f"{path}.{side}", getattr(layer, side)) for path, layer in self.layers.items() for side in SIDES)
        self.parameters: Mapping[str, nn.Parameter] = dict(sides)

    @contextmanager
    def opened(self, lm: LM, _plan: Plan) -> Iterator[Trainable]:
        """Let a training see the layers."""
        with frozen(lm), ExitStack() as stack:
            for path, layer in self.layers.items():
                stack.enter_context(lm.tap(path, partial(self._met, layer)))
            yield self

    def before(self, batch: Batch, _enter: Enter | None = None) -> Pass:
        """The model as it was: without the layers."""
        whole = self.lm.run(batch)

        def plain(layer: float | None = None) -> Tensor:
            self.worn = False
            try:
                return whole.logits if layer is None else whole.hidden(layer)
            finally:
                self.worn = True

        return Pass(batch, plain, plain)

    def patches(self) -> dict[str, tuple[Patch, ...]]:
        """No weight is changed."""
        return {}

    def maps(self, records: Sequence[Record]) -> Mapping[str, tuple[ActivationMap, ...]]:
        """The layers as they are now, with the Gram matrices of what enters them at the tokens of some records."""
        plain = {path: Layer(made.down.detach(), made.up.detach(), made.gram) for path, made in self.layers.items()}
        grams = gathered(self.lm, plain, records)
        return {path: (replace(layer, gram=grams[path]),) for path, layer in plain.items()}

    def _met(self, layer: Layer, h: Tensor, site: Site) -> Tensor | None:
        return layer(h, site) if self.worn else None


def _begun(lm: LM, plan: Plan, path: str) -> Layer:
    width = int(lm.model.config.hidden_size)
    dice = torch.Generator().manual_seed(draw(plan.seed, "eul", path) % 2**63)
    down = (torch.randn(width, min(plan.rank, width), generator=dice) / sqrt(width)).to(lm.device)
    return Layer(nn.Parameter(down), nn.Parameter(torch.zeros_like(down.T)), torch.zeros(width, width))


@torch.no_grad()
def gathered(lm: LM, made: Mapping[str, Layer], records: Sequence[Record]) -> dict[str, Float[Tensor, "D D"]]:
    """X' X in float64 of what enters each layer at the tokens of some records, while all layers are worn."""
    grams: dict[str, Tensor] = {}

    def through(path: str, layer: Layer, h: Tensor, site: Site) -> Tensor:
        entered = h[site.mask].double().cpu()
        grams[path] = grams.get(path, torch.zeros(1, dtype=torch.float64)) + entered.T @ entered
        return layer(h, site)

    with ExitStack() as stack:
        for path, layer in made.items():
            stack.enter_context(lm.tap(path, partial(through, path, layer)))
        for _part, batch in batched(lm, records):
            lm.logits(batch)
    return grams
