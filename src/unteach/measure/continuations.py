"""How likely a model finds some token ids behind others, as they stand: no template, no token that ends an answer."""

from collections.abc import Sequence
from dataclasses import replace

import torch
from torch import Tensor
from torch.nn.functional import pad

from unteach.lm.batch import Batch, Row, collate
from unteach.lm.model import LM
from unteach.lm.view import likeliest
from unteach.measure.answers import in_order, portions


@torch.no_grad()
def continuations(lm: LM, rows: Sequence[Row]) -> list[tuple[float, bool]]:
    """The log-probability of a row's tokens from `start` on, in nats, and whether each of them is the likeliest.

    The last token of a row is predicted and never read, so that a row may be one token longer than the model reads.
    """
    found: dict[int, tuple[float, bool]] = {}
    for part in in_order(lm, rows):
        batch = _batch(lm, [rows[i] for i in part])
        logits, targets = lm.logits(batch), batch.targets
        n = portions(logits)
        pairs = [_measured(*some) for some in zip(logits.chunk(n), targets.chunk(n), strict=True)]
        logps, hits = (torch.cat(column).cpu() for column in zip(*pairs, strict=True))
        for i, begin, end in zip(part, batch.offsets, batch.offsets[1:], strict=False):
            found[i] = float(logps[begin:end].sum()), bool(hits[begin:end].all())
    return [found[i] for i in range(len(rows))]


def _measured(logits: Tensor, targets: Tensor) -> tuple[Tensor, Tensor]:
    logps = logits.float().log_softmax(-1).gather(1, targets[:, None])[:, 0]
    return logps.double(), likeliest(logits) == targets


def _batch(lm: LM, rows: Sequence[Row]) -> Batch:
    """Rows of which all but the last token is read; what they begin with alike is read once."""
    names = [""] * len(rows)
    whole = collate(rows, names, pad=lm.pad, device=lm.device)
    given = [Row(row.ids[:-1], row.start) for row in rows]
    read = collate(given, names, pad=lm.pad, device=lm.device, share=True)
    return replace(whole, real=pad(read.real, (0, 1)), owned=pad(read.owned, (0, 1)))
