"""What a model says about a batch, lazily, at the answer tokens only."""

from collections.abc import Callable
from functools import cached_property

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor

from unteach.lm.batch import Batch
from unteach.lm.likelihood import of_logits


def likeliest(logits: Float[Tensor, "... V"]) -> Int[Tensor, "..."]:
    """The token with the highest logit, the first of equals. On a processor NumPy finds it ten times as fast."""
    if logits.device.type == "cpu" and logits.dtype == torch.float32:
        return torch.from_numpy(np.asarray(logits.detach().numpy().argmax(-1)))
    return logits.argmax(-1)


class Pass:
    """One forward pass over a batch; nothing is computed before it is asked for, and the batch may come as late.

    `logits` gives the (N, V) logits at the answer tokens, `hidden` the (N, D) states after a layer, and `logps` the (N,)
    log-probabilities, where they can be had without all logits.
    """

    def __init__(
        self, batch: Batch | Callable[[], Batch], logits: Callable[[], Tensor], hidden: Callable[[float], Tensor],
        logps: Callable[[], Tensor] | None = None,
    ) -> None:  # fmt: skip
        self._batch, self._logits, self._hidden, self._logps = batch, logits, hidden, logps
        self._kept: dict[float, Tensor] = {}

    @cached_property
    def batch(self) -> Batch:
        return self._batch if isinstance(self._batch, Batch) else self._batch()

    @cached_property
    def logits(self) -> Float[Tensor, "N V"]:
        found = self._logits()
        return found.to(torch.promote_types(found.dtype, torch.float32))

    @cached_property
    def token_logps(self) -> Float[Tensor, " N"]:
        if self._logps is None or "logits" in self.__dict__:
            return of_logits(self.logits, self.batch.targets)
        return self._logps()

    def hidden(self, layer: float) -> Float[Tensor, "N D"]:
        if layer not in self._kept:
            self._kept[layer] = self._hidden(layer)
        return self._kept[layer]


class View:
    """Some consecutive rows of a pass, as an objective sees them.

    Where `known` holds the token log-probabilities already (the model as it was, computed once), they are
    read from there and no pass is made.
    """

    def __init__(self, whole: Pass, rows: slice, *, known: Tensor | None = None, instead: "View | None" = None) -> None:
        self._pass, self._rows, self._known, self._instead = whole, rows, known, instead

    @property
    def whole(self) -> Pass:
        """The pass that the rows are part of."""
        return self._pass

    @property
    def records(self) -> tuple[str, ...]:
        """The ids of the rows."""
        return self._pass.batch.records[self._rows]

    @cached_property
    def lengths(self) -> Int[Tensor, " B"]:
        """How many answer tokens each row has."""
        return self._pass.batch.lengths[self._rows]

    @property
    def _tokens(self) -> slice:
        offsets = self._pass.batch.offsets
        return slice(offsets[self._rows.start], offsets[self._rows.stop])

    @property
    def logits(self) -> Float[Tensor, "N V"]:
        """At each answer token, over the vocabulary, in float32 or better."""
        found: Tensor = self._pass.logits[self._tokens]
        return found

    @property
    def targets(self) -> Int[Tensor, " N"]:
        """The answer tokens themselves."""
        found: Tensor = self._pass.batch.targets[self._tokens]
        return found

    @property
    def rows(self) -> Int[Tensor, " N"]:
        """The row (from 0) of each answer token."""
        found: Tensor = self._pass.batch.rows[self._tokens] - self._rows.start
        return found

    @property
    def token_logps(self) -> Float[Tensor, " N"]:
        """Natural-log probability of each answer token."""
        return self._known if self._known is not None else self._pass.token_logps[self._tokens]

    @cached_property
    def sums(self) -> Float[Tensor, " B"]:
        """Log-probability of each whole answer."""
        logps = self.token_logps
        return torch.zeros(len(self.lengths), dtype=logps.dtype, device=logps.device).index_add(0, self.rows, logps)

    def row_means(self, values: Float[Tensor, " N"]) -> Float[Tensor, " B"]:
        """The mean of a value over the answer tokens of each row."""
        zeros = torch.zeros(len(self.lengths), dtype=values.dtype, device=values.device)
        return zeros.index_add(0, self.rows, values) / self.lengths

    @property
    def means(self) -> Float[Tensor, " B"]:
        """Mean log-probability of the tokens of each answer."""
        return self.sums / self.lengths

    @property
    def instead(self) -> "View":
        """The same prompts with their replacement answers."""
        assert self._instead is not None, "an objective that reads `instead` must declare the need for it"
        return self._instead

    def hidden(self, layer: float) -> Float[Tensor, "N D"]:
        """States after block `layer` at the positions that predict the answer tokens.

        `layer` counts from 0; below 1 it is a share of the depth.
        """
        return self._pass.hidden(layer)[self._tokens]
