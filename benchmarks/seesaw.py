"""The probability see-saw: where the probability goes that is taken from the token of a forgotten answer.

Looked at is the distribution that a model has after the question and the answer's beginning, where the answer's rarest
telling word begins. Xu et al. 2025, arXiv:2502.11190: ascent and its kin push that token down, and what they take goes
to tokens that mean nothing there.
"""

import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from math import log

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from unteach.audit.rouge import words
from unteach.audit.telling import telling
from unteach.lm.model import LM
from unteach.measure.answers import batched
from unteach.measure.spans import marks
from unteach.schema import Record, Span

RARE = 1e-4  # of a token that a model gives less than this nothing is expected there
SHOWN = 5  # tokens that are most often the likeliest


@dataclass(frozen=True)
class Place:
    """A row, and the answer token at which its distribution is looked at: its number, and what it should be."""

    record: Record
    number: int
    target: int


def rarest(record: Record, often: Counter[str]) -> Span | None:
    """Where in the answer the telling word stands that is in the fewest texts; the first of these."""
    tells = telling(record)
    found = [m for m in re.finditer(r"[^\W_]+", record.answer) if tells.issuperset(words(m[0])) and words(m[0])]
    best = min(found, key=lambda m: often[words(m[0])[0]], default=None)
    return None if best is None else Span(*best.span())


def at_their_word(lm: LM, records: Sequence[Record], lessons: Sequence[Record]) -> list[Place]:
    """Where each row is looked at; rows whose word cannot be found among the tokens are left out."""
    often = Counter(word for r in lessons for word in set(words(r.answer)))
    found: list[Place] = []
    for record in records:
        span = rarest(record, often)
        flags = None if span is None else marks(lm.encoder, replace(record, spans=(span,)))
        if flags is not None and flags.any():
            number = int(flags.argmax())
            row = lm.encoder.row(record)
            found.append(Place(record, number, row.ids[max(row.start, 1) + number]))
    return found


@torch.no_grad()
def looked_at(lm: LM, places: Sequence[Place]) -> Float[Tensor, "n V"]:
    """The log-probabilities of all tokens at each place."""
    found: dict[int, Tensor] = {}
    for part, batch in batched(lm, [p.record for p in places]):
        logps = lm.logits(batch).float().log_softmax(-1)
        for k, i in enumerate(part):
            found[i] = logps[batch.offsets[k] + places[i].number]
    return torch.stack([found[i] for i in range(len(places))])


def plausible(known: Sequence[Float[Tensor, "n V"]]) -> Bool[Tensor, "n V"]:
    """The tokens of which at least one of these models expects something."""
    return torch.stack([logps > log(RARE) for logps in known]).any(0)


def tokens(logps: Float[Tensor, "n V"], gold: Sequence[int], known: Bool[Tensor, "n V"]) -> list[dict[str, float]]:
    """Of each place: log-probability of the answer's token, entropy, probability of the likeliest token, and of all strange ones."""
    own = logps.gather(1, torch.tensor(gold)[:, None])[:, 0]
    p = logps.exp()
    columns = {
        "gold": own, "entropy": -torch.special.xlogy(p, p).sum(1), "top": p.amax(1), "strange": (p * ~known).sum(1),
    }  # fmt: skip
    return [
        dict(zip(columns, values, strict=True)) for values in zip(*(c.tolist() for c in columns.values()), strict=True)
    ]


def likeliest(lm: LM, logps: Float[Tensor, "n V"]) -> list[tuple[str, int]]:
    """The tokens that are most often the likeliest, and at how many places they are."""
    often = Counter(logps.argmax(1).tolist()).most_common(SHOWN)
    return [(str(lm.tokenizer.decode([token])), count) for token, count in often]
