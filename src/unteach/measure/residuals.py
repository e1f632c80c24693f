"""The residual stream of a model: what it holds after each of its blocks, read in one pass."""

from collections.abc import Sequence
from contextlib import ExitStack

import torch
from jaxtyping import Float
from torch import Tensor

from unteach.lm.anatomy import anatomy
from unteach.lm.batch import Batch, Row, collate
from unteach.lm.forward import at_answers
from unteach.lm.model import LM
from unteach.lm.trace import tapped
from unteach.measure.answers import ELSEWHERE, ON_CPU


@torch.no_grad()
def residuals(lm: LM, batch: Batch) -> tuple[Float[Tensor, "N D"], ...]:
    """The states after each block, first to last, where the answer tokens are predicted."""
    found: list[Tensor] = []

    def keep(states: Tensor) -> None:
        found.append(at_answers(states, batch))

    with ExitStack() as taps:
        for n in range(lm.layers - 1):
            taps.enter_context(tapped(lm.model, f"{anatomy(lm.model).blocks}.{n}", keep))
        last = lm.run(batch).hidden(lm.layers - 1)
    return (*found, last)


def last_states(lm: LM, prompts: Sequence[Sequence[int]]) -> Float[Tensor, "B L D"]:
    """The states after each block at the last of given token ids, in float32 and in the processor's memory."""
    room = lm.max_length - 1  # a state is read where a token behind it would be predicted
    texts = [tuple(ids[-room:]) or (lm.encoder.first,) for ids in prompts]
    most = ON_CPU if lm.device.type == "cpu" else ELSEWHERE
    count = max(1, most // (1 + max(map(len, texts), default=0)))
    order = sorted(range(len(texts)), key=lambda i: texts[i])  # so that what texts begin with is computed once
    found: list[Tensor] = [torch.empty(0)] * len(texts)
    for at in range(0, len(order), count):
        part = order[at : at + count]
        rows = [Row((*texts[i], lm.pad), len(texts[i])) for i in part]
        batch = collate(rows, [""] * len(rows), pad=lm.pad, device=lm.device, share=True)
        states = torch.stack(residuals(lm, batch), 1).float().cpu()
        for i, state in zip(part, states, strict=True):
            found[i] = state
    return torch.stack(found)
