"""Several models of one shape asked as one: the mean of their next-token probabilities."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from math import log

import torch
from jaxtyping import Float
from torch import Tensor

from unteach.edit.edit import Edit
from unteach.lm.model import LM
from unteach.schema import InputError, Record


@dataclass(frozen=True, eq=False)
class Ensemble:
    """Edits of one model, each a shard's; a prediction is the mean of p(next token) over them, or their vote.

    With `vote` it is the share of shards whose most likely token it is. Every question costs a forward pass a shard.
    """

    lm: LM
    members: tuple[Edit, ...] = field(repr=False)
    vote: bool = False

    def __post_init__(self) -> None:
        if not self.members:
            raise InputError("an ensemble of no shards cannot be asked; keep at least one")

    @torch.no_grad()
    def probabilities(self, records: Sequence[Record]) -> Float[Tensor, "N V"]:
        """At every token of the answers, in float64."""
        batch = self.lm.batch(records)
        found = []
        for member in self.members:
            with member.on(self.lm):
                p = self.lm.logits(batch).double().softmax(-1)
            found.append(torch.zeros_like(p).scatter_(1, p.argmax(1, keepdim=True), 1.0) if self.vote else p)
        return torch.stack(found).mean(0)

    def logps(self, records: Sequence[Record]) -> list[Float[Tensor, " n"]]:
        """The log-probability of each token of each answer."""
        batch = self.lm.batch(records)
        p = self.probabilities(records).gather(1, batch.targets[:, None].cpu().to(batch.ids.device))[:, 0]
        return list(torch.split(p.clamp(min=1e-300).log(), batch.lengths.tolist()))

    def generate(self, records: Sequence[Record], max_new: int = 64) -> list[str]:
        """Greedy answers, token by token."""
        return [self._answer(r, max_new) for r in records]

    def _answer(self, record: Record, max_new: int) -> str:
        ids = list(self.lm.encoder.prompt(record.prompt, record.messages))
        start, end = len(ids), self.lm.tokenizer.eos_token_id
        while len(ids) - start < max_new:
            token = self._next(ids)
            if token == end:
                break
            ids.append(token)
        return str(self.lm.tokenizer.decode(ids[start:], skip_special_tokens=True))

    @torch.no_grad()
    def _next(self, ids: Sequence[int]) -> int:
        found = []
        for member in self.members:
            with member.on(self.lm):
                logits = self.lm.model(torch.tensor([ids], device=self.lm.device)).logits[0, -1]
            found.append(logits.double().softmax(-1))
        if self.vote:
            return int(torch.stack([p.argmax() for p in found]).mode().values)
        return int(torch.stack(found).mean(0).argmax())


def nats(ensemble: Ensemble, records: Sequence[Record]) -> float:
    """The mean negative log-probability of the answers' tokens."""
    found = torch.cat(ensemble.logps(records))
    return -float(found.mean()) if len(found) else log(len(ensemble.lm.tokenizer))
