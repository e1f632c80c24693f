"""Words that bring an unwanted answer out, found by putting one word in the place of another."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import takewhile

import numpy as np
import torch
from jaxtyping import Bool, Float
from torch import Tensor

from unteach.edit.plan import draw
from unteach.lm.batch import collate
from unteach.lm.model import LM
from unteach.lm.reworded import reworded
from unteach.lm.trace import Site
from unteach.measure.answers import ask
from unteach.schema import InputError, Record

Words = tuple[str, ...]


@dataclass(frozen=True)
class Search:
    """How triggers are looked for: from so many `starts`, each of so many `words`, put in place `passes` times over.

    In a place stand in turn the `tries` words of the vocabulary whose embeddings the gradient favours; they are tried
    on at most `rows` questions.
    """

    starts: int = 2
    words: int = 1
    passes: int = 2
    tries: int = 64
    rows: int = 8
    seed: int = 0

    def __post_init__(self) -> None:
        if min(self.starts, self.words, self.passes, self.tries, self.rows) < 1:
            raise InputError("a search for triggers needs at least one start, word, pass, try and row")


def triggers(lm: LM, records: Sequence[Record], search: Search) -> list[tuple[Words, float]]:
    """The best trigger of each start and the mean log-probability of the answers' tokens under it, the best first.

    For each place and word of a start: the log-probability is first put in order to the gradient,
    log p(trigger with v) ~ log p + e_v . dlog p / de, and is computed for the words that come first.
    """
    rows = sorted(records, key=lambda r: draw(search.seed, "rows", r.id))[: search.rows]
    vocabulary = words(lm)
    found: dict[Words, float] = {}
    for start in range(search.starts):
        best = _begun(vocabulary, search, start)
        (level,) = told(lm, rows, [best])
        for _ in range(search.passes):
            before = best
            for place in range(search.words):
                best, level = _replaced(lm, rows, vocabulary, best, level, place, search.tries)
            if best == before:
                break
        found[best] = level
    return sorted(found.items(), key=lambda pair: (-pair[1], pair[0]))


def words(lm: LM) -> Mapping[str, int]:
    """The words that are one token each, with their numbers."""
    found: dict[str, int] = {}
    for number in range(len(lm.tokenizer)):
        word = str(lm.tokenizer.decode([number])).strip()
        if word and word.isprintable() and "\ufffd" not in word and number not in lm.tokenizer.all_special_ids:
            found.setdefault(word, number)
    return found


def behind(record: Record, trigger: Words) -> Record:
    """A record whose question ends with a trigger."""
    return reworded(record, " ".join((record.prompt, *trigger)))


def told(lm: LM, records: Sequence[Record], some: Sequence[Words]) -> list[float]:
    """For each of some triggers, the mean log-probability of the answers' tokens behind questions that end with it."""
    answers = ask(lm, [behind(r, trigger) for trigger in some for r in records])
    means = np.array([a.words.logps.mean() for a in answers]).reshape(len(some), len(records))
    return [float(level) for level in means.mean(1)]


def _begun(vocabulary: Mapping[str, int], search: Search, start: int) -> Words:
    """The words that a start is drawn from."""
    return tuple(sorted(vocabulary, key=lambda w: draw(search.seed, "start", start, w))[: search.words])


def _replaced(
    lm: LM, rows: Sequence[Record], vocabulary: Mapping[str, int], best: Words, level: float, place: int, tries: int
) -> tuple[Words, float]:
    names = _favoured(lm, rows, vocabulary, best, place)[:tries]
    others = [(*best[:place], word, *best[place + 1 :]) for word in names]
    most, other = max(zip(told(lm, rows, others), others, strict=True))
    return (other, most) if most > level else (best, level)


def _favoured(lm: LM, rows: Sequence[Record], vocabulary: Mapping[str, int], best: Words, place: int) -> list[str]:
    """The vocabulary, in the order in which the gradient at a place favours it."""
    given = [lm.encoder.row(behind(r, best)) for r in rows]
    bare = [lm.encoder.row(behind(r, (*best[:place], *best[place + 1 :]))) for r in rows]
    batch = collate(given, [""] * len(given), pad=lm.pad, device=lm.device)
    at = torch.zeros_like(batch.real)
    for number, (row, other) in enumerate(zip(given, bare, strict=True)):
        at[number, _apart(row.prompt, other.prompt)] = True
    embeddings = lm.model.get_input_embeddings()
    path = next(name for name, module in lm.model.named_modules() if module is embeddings)
    push = torch.zeros(embeddings.weight.shape[1], device=lm.device, requires_grad=True)
    with lm.tap(path, partial(_pushed, at, push)):
        slope: Tensor = torch.autograd.grad(lm.run(batch).token_logps.mean(), push)[0]
    gains = (embeddings.weight.detach() @ slope.to(embeddings.weight.dtype)).tolist()
    return sorted(vocabulary, key=lambda w: (-gains[vocabulary[w]], w))


def _pushed(at: Bool[Tensor, "B T"], push: Float[Tensor, " D"], h: Tensor, _site: Site) -> Tensor:
    return h + at[..., None] * push.to(h.dtype)


def _apart(ids: Sequence[int], others: Sequence[int]) -> slice:
    """Which of the first ids are not among the second: what is left between their common beginning and end."""
    first = sum(1 for _ in takewhile(lambda pair: pair[0] == pair[1], zip(ids, others, strict=False)))
    left = zip(reversed(ids[first:]), reversed(others[first:]), strict=False)
    last = sum(1 for _ in takewhile(lambda pair: pair[0] == pair[1], left))
    return slice(first, max(len(ids) - last, first + 1))
