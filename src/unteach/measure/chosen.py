"""What a model would choose at each place of a given answer, for comparing it with another that is gone by then."""

from collections.abc import Sequence

import torch

from unteach.lm.model import LM
from unteach.lm.view import likeliest
from unteach.measure.answers import batched, ended
from unteach.schema import Record


@torch.no_grad()
def chosen(lm: LM, records: Sequence[Record]) -> list[tuple[int, ...] | None]:
    """The most likely token at the place of each token of a row's answer; None for an answer without tokens.

    The end-of-text token is left out. Unlike whole distributions, this is little enough to be kept.
    """
    found: dict[int, tuple[int, ...] | None] = {}
    for part, batch in batched(lm, records):
        best = likeliest(lm.logits(batch)).tolist()
        for k, (i, end) in enumerate(zip(part, ended(lm, batch), strict=True)):
            found[i] = tuple(best[batch.offsets[k] : batch.offsets[k + 1] - end]) or None
    return [found[i] for i in range(len(records))]
