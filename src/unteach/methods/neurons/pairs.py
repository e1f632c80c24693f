"""Two ways to go on from one beginning: what a model should favour less, and what stands against it."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch
from jaxtyping import Float, Int
from torch import Tensor

from unteach.lm.batch import Row, collate
from unteach.lm.model import LM
from unteach.schema import InputError, Record

OPEN = -1  # in place of a token: whatever the model would say itself


@dataclass(frozen=True)
class Pair:
    """A beginning that two continuations share, with the first token in which they differ; `row` ends with the first's."""

    row: Row
    against: int


def pair(lm: LM, record: Record) -> Pair:
    """The answer against the first of `perturbed`, up to the first token in which they differ.

    Where a row has no wrong answer, its answer's first token stands against what the model would say instead.
    """
    row = lm.encoder.row(record)
    said = row.ids[row.start :]
    if not record.perturbed and said:
        return Pair(_ending(lm, row.prompt, said[0]), OPEN)
    other = lm.encoder.row(replace(record, answer="".join(record.perturbed[:1])))
    both = enumerate(zip(said, other.ids[other.start :], strict=False))
    found = next(((n, b) for n, (a, b) in both if a != b), None)
    if found is None:
        raise InputError(
            f"record '{record.id}': its answer and its wrong answer do not differ; give another 'perturbed'"
        )
    place, against = found
    return Pair(_ending(lm, (*row.prompt, *said[:place]), said[place]), against)


def logits(lm: LM, pairs: Sequence[Pair]) -> tuple[Float[Tensor, " B"], Float[Tensor, " B"]]:
    """The raw logits of the last token of each of the two continuations."""
    batch = collate([p.row for p in pairs], [""] * len(pairs), pad=lm.pad, device=lm.device)
    every = lm.run(batch).logits
    against = torch.tensor([p.against for p in pairs], device=every.device)
    own = batch.targets[:, None]
    against = torch.where(against == OPEN, _likeliest_other(every.detach(), own), against)
    return every.gather(1, own)[:, 0], every.gather(1, against[:, None])[:, 0]


def _likeliest_other(every: Float[Tensor, "B V"], own: Int[Tensor, "B 1"]) -> Int[Tensor, " B"]:
    return every.scatter(1, own, -torch.inf).argmax(1)


def _ending(lm: LM, before: Sequence[int], token: int) -> Row:
    before = before or (lm.encoder.first,)  # a first token is predicted from nothing
    return Row((*before, token), len(before))
