"""From a batch to what is said of its answer tokens, with nothing computed that nobody reads.

In the last block only attention reads the states of places that predict no answer token: what stands behind it runs at
the others alone, and so does the output head.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from jaxtyping import Float, Int
from torch import Tensor, nn

from unteach.lm.anatomy import anatomy, blocks, head, trunk
from unteach.lm.batch import Batch
from unteach.lm.lean import at_places, instead, norms
from unteach.lm.likelihood import log_probabilities
from unteach.lm.packed import packed_states, packs
from unteach.lm.trace import Enter, watched


class States(nn.Module):
    """Batch to the last hidden states, packed (1, R, D) or padded (B, T, D)."""

    def __init__(self, model: nn.Module, *, packed: bool) -> None:
        super().__init__()
        self.model, self.packed = model, packed

    def forward(self, batch: Batch) -> Tensor:
        with instead(self.model, norms(self.model) if packs(self.model) else []):
            return packed_states(self.model, batch) if self.packed else self._padded(batch)

    def _padded(self, batch: Batch) -> Tensor:
        states: Tensor = trunk(self.model)(
            input_ids=batch.ids, attention_mask=batch.real.long(), position_ids=batch.positions, use_cache=False
        ).last_hidden_state
        return states


class Head(nn.Module):
    """States to logits (N, V), or given the targets to the log-probability (N,) of each."""

    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        self.model = model

    def forward(self, states: Float[Tensor, "N D"], targets: Int[Tensor, " N"] | None = None) -> Tensor:
        return head(self.model, states) if targets is None else log_probabilities(self.model, states, targets)


@contextmanager
def at_answers_only(model: Any, layer: int, batch: Batch) -> Iterator[None]:
    """What stands behind attention in a block runs where answer tokens are predicted, unless somebody reads it."""
    with instead(model, [] if watched(blocks(model)[layer]) else at_places(model, layer, batch.asking)):
        yield


def inside(model: Any, layer: int, run: Callable[[int], Tensor]) -> Enter:
    """What enters the last map of a block's MLP, and what that adds to; `run` gives what a block puts out."""
    last, inner = anatomy(model).mlp_out, []

    def silent(entered: Tensor) -> Tensor:
        inner.append(entered)
        return entered.new_zeros(*entered.shape[:-1], int(model.config.hidden_size))

    with instead(model, [(blocks(model)[layer].get_submodule(last), silent)]):
        return Enter(layer, run(layer), inner[0], last)


def at_answers(states: Float[Tensor, "..."], batch: Batch) -> Float[Tensor, "N D"]:
    """The states at the positions that predict the answer tokens, from padded (B, T, D) or packed (1, R, D) ones."""
    return computed(states, batch).index_select(0, batch.predicting)


def computed(states: Float[Tensor, "..."], batch: Batch) -> Float[Tensor, "R D"]:
    """The states of the R computed tokens, from padded (B, T, D) or packed (1, R, D) ones."""
    padded = states.shape[:2] == batch.ids.shape
    return states.flatten(0, 1).index_select(0, batch.places) if padded else states[0]
