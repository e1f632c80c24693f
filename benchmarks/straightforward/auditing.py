"""The TOFU audit as it is usually run: one metric after another, each with passes of its own.

Fixed batches in the order of the file, padded; every logit of every position, with the model's own loss computed on
the way; wrong answers one number at a time; generations in left-padded batches of one set each. A finding is called
"set/metric" and holds the aggregate and the values of the rows.
"""

import zlib
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from math import exp
from typing import NamedTuple

import numpy as np
import torch
from scipy.stats import ks_2samp
from torch import Tensor
from torch.nn.functional import cross_entropy

from benchmarks.straightforward.batches import IGNORED, Inputs, in_order, padded
from benchmarks.straightforward.writing import written
from unteach.audit.rouge import words
from unteach.lm.model import LM
from unteach.schema import Record

BATCH = 32
MIN_K = 0.4
GENERAL = ("real_authors", "world_facts")
Sets = Mapping[str, Sequence[Record]]


class Finding(NamedTuple):
    """An aggregate, and the values of the rows where they are of interest."""

    value: float
    rows: Sequence[float] = ()


def default(lm: LM, sets: Sets, then: Sequence[float]) -> dict[str, Finding]:
    """TOFU's own metrics; `then` holds the truth ratios of the model retrained without the forget rows."""
    found: dict[str, Finding] = {}
    ratios = truth_ratios(lm, sets["forget"])
    found["forget/truthratio"] = Finding(_mean(min(r, 1 / r) for r in ratios), ratios)
    found["forget/forgetquality"] = Finding(float(ks_2samp(ratios, then).pvalue))
    found["forget/probability"] = probability(lm, sets["forget"])
    found["forget/rougel"] = rouge(lm, sets["forget"])
    found |= utility(lm, sets)
    found["forget/miamink"] = attack(lm, sets, min_k)
    found["forget/extractionstrength"] = extraction_strength(lm, sets["forget"])
    return found


def everything(
    lm: LM, sets: Sets, then: Sequence[float], retrained: LM, more: Sequence[str]
) -> dict[str, Finding]:  # fmt: skip
    """The same and then `more` of exact memorisation and five other membership attacks."""

    def beside_the_retrained(model: LM, rows: Sequence[Record]) -> list[float]:
        return [a - b for a, b in zip(losses(model, rows), losses(retrained, rows), strict=True)]

    scores: Mapping[str, Callable[[LM, Sequence[Record]], Sequence[float]]] = {
        "mialoss": losses, "miazlib": compressed, "miaminkpp": min_k_plus_plus, "miareference": beside_the_retrained,
        "miagradnorm": gradient_norms,
    }  # fmt: skip
    found = default(lm, sets, then)
    for name in more:
        found[f"forget/{name}"] = (
            attack(lm, sets, scores[name]) if name in scores else exact_memorization(lm, sets["forget"])
        )
    return found


def utility(lm: LM, sets: Sets) -> dict[str, Finding]:
    """Probability, ROUGE-L and truth ratio of what should stay, and the harmonic mean of the nine."""
    found: dict[str, Finding] = {}
    terms: list[float] = []
    for name in ("retain", *GENERAL):
        found[f"{name}/probability"] = likely = probability(lm, sets[name])
        wrong = wrong_losses(lm, sets[name])
        shares = [p / (p + sum(exp(-w) for w in ws)) for p, ws in zip(likely.rows, wrong, strict=True)]
        terms.append(_mean(shares) if name in GENERAL else likely.value)
        found[f"{name}/rougel"] = rouge(lm, sets[name])
        restated = losses(lm, _restated(sets[name])) if name not in GENERAL else [-np.log(p) for p in likely.rows]
        ratios = [exp(right - _mean(ws)) for right, ws in zip(restated, wrong, strict=True)]
        found[f"{name}/truthratio"] = Finding(_mean(max(0, 1 - r) for r in ratios), ratios)
        terms += [found[f"{name}/rougel"].value, found[f"{name}/truthratio"].value]
    mean = len(terms) / sum(1 / t for t in terms) if all(terms) else 0.0
    return found | {"retain/modelutility": Finding(mean)}


def probability(lm: LM, records: Sequence[Record]) -> Finding:
    """P(answer)^(1/n)."""
    rows = [exp(-lost) for lost in losses(lm, records)]
    return Finding(_mean(rows), rows)


def truth_ratios(lm: LM, records: Sequence[Record]) -> list[float]:
    """The geometric mean of the probabilities of the wrong answers, over that of the restated right one."""
    right, wrong = losses(lm, _restated(records)), wrong_losses(lm, records)
    return [exp(a - _mean(b)) for a, b in zip(right, wrong, strict=True)]


def wrong_losses(lm: LM, records: Sequence[Record]) -> list[list[float]]:
    """Of each row, the losses of its wrong answers, one number at a time over all rows."""
    count = len(records[0].perturbed)
    by_number = [losses(lm, [replace(r, answer=r.perturbed[i]) for r in records]) for i in range(count)]
    return [list(of_row) for of_row in zip(*by_number, strict=True)]


def rouge(lm: LM, records: Sequence[Record]) -> Finding:
    """ROUGE-L recall of greedy answers."""
    texts = written(lm, records, BATCH)
    rows = [_recall(words(r.answer), words(text)) for r, text in zip(records, texts, strict=True)]
    return Finding(_mean(rows), rows)


def _recall(gold: Sequence[str], given: Sequence[str]) -> float:
    """The longest common subsequence by its table, as a share of the gold words."""
    above = [0] * (len(given) + 1)
    for word in gold:
        row = [0]
        for j, other in enumerate(given):
            row.append(above[j] + 1 if word == other else max(above[j + 1], row[j]))
        above = row
    return above[-1] / len(gold)


def extraction_strength(lm: LM, records: Sequence[Record]) -> Finding:
    """1 - k/n with k the fewest tokens after which all others are the likeliest."""
    rows = []
    for hits in _hits(lm, records):
        n = len(hits)
        k = next(k for k in range(n + 1) if all(hits[k:]))
        rows.append(1 - k / n)
    return Finding(_mean(rows), rows)


def exact_memorization(lm: LM, records: Sequence[Record]) -> Finding:
    """The share of tokens that are the likeliest."""
    rows = [_mean(hits) for hits in _hits(lm, records)]
    return Finding(_mean(rows), rows)


def attack(lm: LM, sets: Sets, score: Callable[[LM, Sequence[Record]], Sequence[float]]) -> Finding:
    """AUC of a score that is lower for members."""
    forget, holdout = score(lm, sets["forget"]), score(lm, sets["holdout"])
    wins = [(a < b) + (a == b) / 2 for a in forget for b in holdout]
    return Finding(_mean(wins), [*forget, *holdout])


@torch.no_grad()
def losses(lm: LM, records: Sequence[Record]) -> list[float]:
    """Mean negative log-probability of each answer."""
    found: list[float] = []
    for batch in _batches(lm, records):
        logits, labels = lm.model(**batch).logits[:, :-1], batch["labels"][:, 1:]
        lost = cross_entropy(logits.transpose(1, 2), labels, ignore_index=IGNORED, reduction="none")
        found += (lost.sum(1) / (labels != IGNORED).sum(1)).tolist()
    return found


def compressed(lm: LM, records: Sequence[Record]) -> list[float]:
    """The loss over the length of the compressed answer."""
    sizes = [len(zlib.compress(r.answer.encode())) for r in records]
    return [lost / size for lost, size in zip(losses(lm, records), sizes, strict=True)]


def min_k(lm: LM, records: Sequence[Record]) -> list[float]:
    """Less the mean of the least likely tokens."""
    return [-_mean_of_least(logps.gather(1, ids[:, None])[:, 0]) for logps, ids in _tokens(lm, records)]


def min_k_plus_plus(lm: LM, records: Sequence[Record]) -> list[float]:
    """The same of log-probabilities in standard deviations from their mean under the model itself."""
    found = []
    for logps, ids in _tokens(lm, records):
        mean = (logps.exp() * logps).sum(1)
        deviation = ((logps.exp() * logps.square()).sum(1) - mean.square()).clamp_min(1e-6).sqrt()
        found.append(-_mean_of_least((logps.gather(1, ids[:, None])[:, 0] - mean) / deviation))
    return found


def gradient_norms(lm: LM, records: Sequence[Record]) -> list[float]:
    """The mean over weight tensors of the gradient's norm, one row at a time."""
    found = []
    parameters = list(lm.model.parameters())
    for row in (lm.encoder.row(r) for r in records):
        lm.model(**padded([row], pad=lm.pad, device=lm.device)).loss.backward()
        found.append(_mean(p.grad.norm().item() for p in parameters))
        lm.model.zero_grad()
    return found


def _mean_of_least(values: Tensor) -> float:
    return float(values.sort().values[: max(1, int(MIN_K * len(values)))].mean())


def _hits(lm: LM, records: Sequence[Record]) -> list[list[bool]]:
    return [(logps.argmax(1) == ids).tolist() for logps, ids in _tokens(lm, records)]


@torch.no_grad()
def _tokens(lm: LM, records: Sequence[Record]) -> list[tuple[Tensor, Tensor]]:
    """Of each row, the (n, V) log-probabilities at its answer tokens and those tokens, the end token left out."""
    found = []
    for batch in _batches(lm, records):
        logps, labels = lm.model(**batch).logits[:, :-1].log_softmax(-1), batch["labels"][:, 1:]
        for of_row, wanted in zip(logps, labels, strict=True):
            answer = wanted != IGNORED
            found.append((of_row[answer][:-1], wanted[answer][:-1]))
    return found


def _batches(lm: LM, records: Sequence[Record]) -> list[Inputs]:
    rows = [lm.encoder.row(r) for r in records]
    return [padded(part, pad=lm.pad, device=lm.device) for part in in_order(rows, BATCH)]


def _restated(records: Sequence[Record]) -> list[Record]:
    return [replace(r, answer=r.restated or r.answer) for r in records]


def _mean(values: Iterable[float]) -> float:
    return float(np.mean(np.fromiter(values, float)))
