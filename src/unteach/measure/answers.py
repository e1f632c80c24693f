"""What a model says about given answers, and the measures that follow from it alone.

One teacher-forced pass over the records in order of length; every function below is pure.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from math import exp
from typing import Any

import numpy as np
import torch
from jaxtyping import Float
from numpy.typing import NDArray
from torch import Tensor

from unteach.lm.batch import Batch, Row, collate
from unteach.lm.model import LM
from unteach.lm.view import likeliest
from unteach.schema import Record

ON_CPU, ELSEWHERE = 2048, 16384  # positions in one forward pass: a processor's caches are small
SEEN_ON_CPU, SEEN_ELSEWHERE = 1 << 19, 1 << 26  # logits from which measures are taken together
LEAST_VARIANCE = 1e-6


@dataclass(frozen=True, eq=False)
class Answer:
    """One model on one answer of n tokens: all arrays are (n,), log-probabilities natural and in float64.

    `hit` says where the most likely token is the answer's; `ended` tells that the last token is the end-of-text
    token; `mean` and `variance` are those of log p under the model's own next-token distribution, NaN unless asked for.
    """

    logps: NDArray[np.float64]
    hit: NDArray[np.bool_]
    mean: NDArray[np.float64]
    variance: NDArray[np.float64]
    ended: bool

    @property
    def words(self) -> "Answer":
        """The same answer without its end-of-text token."""
        if not self.ended:
            return self
        return Answer(self.logps[:-1], self.hit[:-1], self.mean[:-1], self.variance[:-1], False)


@torch.no_grad()
def ask(lm: LM, records: Sequence[Record], *, spread: bool | Sequence[bool] = False) -> list[Answer]:
    """Teacher-forced answers in the order of the records; `spread` asks for mean and variance too, of all or of some."""
    found: dict[int, Answer] = {}
    wide = torch.tensor([spread] * len(records) if isinstance(spread, bool) else list(spread), dtype=torch.bool)
    for part, batch in batched(lm, records):
        wanted = wide[part].to(batch.rows.device)[batch.rows]
        logps, hit, mean, variance = _measured(lm.logits(batch), batch.targets, wanted)
        for k, (i, end) in enumerate(zip(part, ended(lm, batch), strict=True)):
            at = slice(batch.offsets[k], batch.offsets[k + 1])
            found[i] = Answer(_wide(logps[at]), hit[at], _wide(mean[at]), _wide(variance[at]), end)
    return [found[i] for i in range(len(records))]


def batched(lm: LM, records: Sequence[Record]) -> Iterator[tuple[list[int], Batch]]:
    """Which of the records a batch holds, and the batch."""
    rows = [lm.encoder.row(r) for r in records]
    for part in in_order(lm, rows):
        some, names = [rows[i] for i in part], [records[i].id for i in part]
        yield part, collate(some, names, pad=lm.pad, device=lm.device, share=True)


def in_order(lm: LM, rows: Sequence[Row], most: int = 0) -> list[list[int]]:
    """Which rows lie in a batch together: all of them in order of length, those of one prompt side by side.

    So little is padded, and what rows begin with alike is computed once. A batch has at most `most` positions, where
    that is not 0, if a row alone has not more.
    """
    longest: dict[tuple[int, ...], int] = {}
    for row in rows:
        longest[row.prompt] = max(longest.get(row.prompt, 0), len(row.ids))
    order = sorted(range(len(rows)), key=lambda i: (longest[rows[i].prompt], rows[i].ids, i))
    return _parts(order, rows, most or (ON_CPU if lm.device.type == "cpu" else ELSEWHERE))


def ended(lm: LM, batch: Batch) -> list[bool]:
    """Which rows end with the end-of-text token that closes an answer."""
    last = batch.ids.gather(1, batch.real.sum(1, keepdim=True) - 1)[:, 0].tolist()
    return [bool(lm.encoder.closing) and token == lm.encoder.closing[-1] for token in last]


def _wide(values: NDArray[np.float32]) -> NDArray[np.float64]:
    return values.astype(np.float64)


def _parts(order: Sequence[int], rows: Sequence[Row], most: int) -> list[list[int]]:
    parts: list[list[int]] = []
    width = 0
    for i in order:
        width = max(width, len(rows[i].ids))
        if not parts or width * (len(parts[-1]) + 1) > most:
            parts.append([])
            width = len(rows[i].ids)
        parts[-1].append(i)
    return parts


def portions(logits: Float[Tensor, "N V"]) -> int:
    """In how many portions to look at logits: what is computed from them takes several times their memory."""
    most = SEEN_ON_CPU if logits.device.type == "cpu" else SEEN_ELSEWHERE
    return max(1, -(-logits.numel() // most))


def _measured(logits: Float[Tensor, "N V"], targets: Tensor, wanted: Tensor) -> tuple[NDArray[Any], ...]:
    n = portions(logits)
    portioned = zip(logits.chunk(n), targets.chunk(n), wanted.chunk(n), strict=True)
    columns = [_columns(some.float(), these, wide) for some, these, wide in portioned]
    return tuple(torch.cat(column).cpu().numpy() for column in zip(*columns, strict=True))


def _columns(logits: Float[Tensor, "N V"], targets: Tensor, wanted: Tensor) -> tuple[Tensor, ...]:
    """Of each token its log-probability, whether it is the likeliest, and, where wanted, mean and variance over the vocabulary."""
    logps = logits.log_softmax(-1)
    own, hit = logps.gather(1, targets[:, None])[:, 0], likeliest(logits) == targets
    mean, variance = torch.full_like(own, torch.nan), torch.full_like(own, torch.nan)
    if wanted.any():
        chosen = logps if wanted.all() else logps[wanted]
        weighted = chosen.exp().mul_(chosen)
        mean[wanted] = centre = weighted.sum(-1)
        variance[wanted] = weighted.mul_(chosen).sum(-1) - centre.square()
    return own, hit, mean, variance


def probability(answer: Answer) -> float | None:
    """P(answer | prompt)^(1/n), the geometric mean over its tokens. Maini et al. 2024, arXiv:2401.06121."""
    return exp(answer.logps.mean()) if len(answer.logps) else None


def loss(answer: Answer) -> float | None:
    """Mean negative log-probability of the tokens, in nats."""
    return -float(answer.logps.mean()) if len(answer.logps) else None


def exact_match(answer: Answer) -> float | None:
    """The share of tokens that the model would have chosen itself. Tirumala et al. 2022, arXiv:2205.10770."""
    return float(answer.hit.mean()) if len(answer.hit) else None


def extraction_strength(answer: Answer) -> float | None:
    """1 - k/n, with k the fewest answer tokens after which the model goes on correctly to the end.

    Carlini et al. 2021, arXiv:2012.07805. Nothing but the whole answer sufficing gives 0.
    """
    if not len(answer.hit):
        return None
    misses = np.flatnonzero(~answer.hit)
    return 1 - (int(misses[-1]) + 1 if len(misses) else 0) / len(answer.hit)


def min_k(answer: Answer, share: float = 0.2) -> float | None:
    """Mean of the smallest `share` of token log-probabilities (rounded down, at least one). Shi et al. 2024, arXiv:2310.16789."""
    return _least(answer.logps, share)


def min_k_plus_plus(answer: Answer, share: float = 0.2) -> float | None:
    """Mean of the smallest `share` of (log p - mean) / deviation, both under the model's own next-token distribution.

    Zhang et al. 2024, arXiv:2404.02936. Variances below 1e-6 count as that, so that certainty divides by no 0.
    """
    deviation = np.sqrt(np.maximum(answer.variance, LEAST_VARIANCE))
    return _least((answer.logps - answer.mean) / deviation, share)


def _least(values: NDArray[np.float64], share: float) -> float | None:
    n = len(values)
    return float(np.sort(values)[: max(1, int(share * n))].mean()) if n else None
