"""Rows as a data loader hands them on: padded on the right to the longest, labels -100 outside the answer."""

from collections.abc import Iterator, Mapping, Sequence
from typing import TypeVar

import torch
from torch import Tensor

from unteach.lm.batch import Row

IGNORED = -100
Inputs = Mapping[str, Tensor]
T = TypeVar("T")


def padded(rows: Sequence[Row], *, pad: int, device: torch.device) -> dict[str, Tensor]:
    """The keyword arguments of a `transformers` model: ids, attention mask and labels."""
    width = max(len(row.ids) for row in rows)
    ids = torch.full((len(rows), width), pad)
    mask = torch.zeros(len(rows), width, dtype=torch.long)
    labels = torch.full((len(rows), width), IGNORED)
    for i, row in enumerate(rows):
        n = len(row.ids)
        ids[i, :n] = torch.tensor(row.ids)
        mask[i, :n] = 1
        labels[i, row.start : n] = ids[i, row.start : n]
    return {"input_ids": ids.to(device), "attention_mask": mask.to(device), "labels": labels.to(device)}


def in_order(rows: Sequence[T], size: int) -> Iterator[Sequence[T]]:
    """Batches of a fixed size in the order of the file."""
    for at in range(0, len(rows), size):
        yield rows[at : at + size]
