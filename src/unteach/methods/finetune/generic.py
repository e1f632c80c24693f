"""What a model would say if a text were about something common: generic logits, token by token."""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from unteach.data.wordings.anchors import Translated, translated
from unteach.data.wordings.vocabulary import FUNCTION
from unteach.lm.model import LM
from unteach.schema import Message, Record

NOWHERE = -1

Place = tuple[int, int, int]  # an anchor's number and 0, or -1 and where the token begins; and how many came before it


@dataclass(frozen=True, repr=False)
class Aligned:
    """A record, its translation, and for each of the n answer tokens of the one its place in the other, or -1.

    `taught` is false where nothing is learned: where there is no place, inside an anchor behind its first token, and at
    an anchor that stood in the row before. `said` holds for each token the anchors before it.
    """

    record: Record
    other: Record
    places: Int[Tensor, " n"]
    taught: Bool[Tensor, " n"]
    said: tuple[frozenset[str], ...]


def generic_logits(
    translated: Float[Tensor, "n V"], reinforced: Float[Tensor, "n V"], base: Float[Tensor, "n V"], alpha: float
) -> Float[Tensor, "n V"]:
    """v = log p(translated) - alpha * ReLU(log p(reinforced) - log p(base)), all three over the vocabulary."""
    gain = reinforced.log_softmax(-1) - base.log_softmax(-1)
    found: Tensor = translated.log_softmax(-1) - alpha * gain.relu()
    return found


def aligned(lm: LM, record: Record, anchors: Mapping[str, str]) -> Aligned:
    """A row beside its translation, token by token."""
    answer = translated(record.answer, anchors)
    turns = tuple(Message(m.role, translated(m.content, anchors).text) for m in record.messages)
    asked = translated(record.prompt, anchors)
    other = replace(record, prompt=asked.text, answer=answer.text, messages=turns)
    before = frozenset(
        c.anchor
        for text in (record.prompt, *(m.content for m in record.messages))
        for c in translated(text, anchors).cuts
    )
    starts = _starts(lm, record)
    own = _places(starts, [(c.start, c.end) for c in answer.cuts])
    theirs = {p: j for j, p in enumerate(_places(_starts(lm, other), [(c.first, c.last) for c in answer.cuts]))}
    places = [theirs.get((n, answer.place(at) if n == NOWHERE else at, k), NOWHERE) for n, at, k in own]
    taught = [j != NOWHERE and _fresh(p, answer, before) for p, j in zip(own, places, strict=True)]
    said = tuple(before | {c.anchor for c in answer.cuts if c.end <= at} for at in starts)
    return Aligned(record, other, torch.tensor(places), torch.tensor(taught), said)


def silenced(lm: LM, expressions: Iterable[str]) -> list[int]:
    """The first tokens of expressions, but for function words: what must not be said of what has a name already."""
    ids = (lm.tokenizer(f" {text}", add_special_tokens=False)["input_ids"] for text in expressions)
    first = (next((i for i in some if lm.tokenizer.decode([i]).strip()), None) for some in ids)
    return sorted({i for i in first if i is not None and lm.tokenizer.decode([i]).strip().casefold() not in FUNCTION})


def _starts(lm: LM, record: Record) -> list[int]:
    """The character of the answer at which each of its tokens begins, white space before it aside."""
    row = lm.encoder.row(record)
    ids = list(row.ids[row.start :])
    texts = [str(lm.tokenizer.decode(ids[:n], clean_up_tokenization_spaces=False)) for n in range(len(ids) + 1)]
    lead = _blank(texts[-1]) - _blank(record.answer)
    return [len(a) + _blank(b[len(a) :]) - lead for a, b in pairwise(texts)]


def _blank(text: str) -> int:
    return len(text) - len(text.lstrip())


def _places(starts: Sequence[int], spans: Sequence[tuple[int, int]]) -> list[Place]:
    """Tokens inside an anchor are counted from its first, those elsewhere are known by where they begin."""
    found, counts = list[Place](), Counter[tuple[int, int]]()
    for at in starts:
        number = next((n for n, (first, last) in enumerate(spans) if first <= at < last), NOWHERE)
        key = (number, at if number == NOWHERE else 0)
        found.append((*key, counts[key]))
        counts[key] += 1
    return found


def _fresh(place: Place, answer: Translated, before: frozenset[str]) -> bool:
    number, _, count = place
    if number == NOWHERE:
        return True
    earlier = before | {c.anchor for c in answer.cuts[:number]}
    return count == 0 and answer.cuts[number].anchor not in earlier
