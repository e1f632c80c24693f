"""What a training took, beside what training again takes."""

import resource
import sys
from collections.abc import Iterable
from itertools import pairwise

import torch
from torch import Tensor

from unteach.edit.edit import Edit
from unteach.edit.patches import pack
from unteach.lm.model import LM
from unteach.schema import Cost, Record

EACH = 6  # operations for each parameter and token of training: 2 forward, 4 backward


def cost(lm: LM, edit: Edit, seconds: float, again: float, *, measured: bool = False) -> Cost:
    """The cost of an edit beside that of a training on `again` tokens, at 6 operations a parameter and token.

    A composed edit counts every part. What partial passes save is not taken off.
    """
    size = sum(p.numel() for p in lm.parameters().values())
    history = [*edit.history, {"step": 0.0}]  # each part of an edit begins at step 0
    tokens = sum(now.get("tokens", 0.0) for now, after in pairwise(history) if not after["step"])
    tensors: dict[str, Tensor] = {}
    for name, chain in edit.weights.items():
        for i, patch in enumerate(chain):
            pack(patch, f"{name}.{i}", tensors)
    trained = min(1.0, sum(t.numel() for t in tensors.values()) / size)
    flops, retraining = EACH * size * tokens, EACH * size * again
    return Cost(seconds, peak(), flops, retraining or None, "measured" if measured else "estimated", trained)


def tokens_of(lm: LM, records: Iterable[Record]) -> int:
    """The tokens of the records, prompts included, each record once."""
    return sum(len(lm.encoder.row(r).ids) for r in records)


def peak() -> int:
    """The most memory that this process held, in bytes; on a GPU, the most that it held there."""
    if torch.cuda.is_available() and torch.cuda.max_memory_allocated():
        return int(torch.cuda.max_memory_allocated())
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)
