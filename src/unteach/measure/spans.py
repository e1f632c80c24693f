"""What a model still has of the marked parts of an answer, and of the rest. Wang et al. 2024, arXiv:2402.05813.

A part is marked by the characters it takes; its tokens are those that share a character with it, white space apart.
Both measures leave the end-of-text token out. Rows without a marked part have no value.
"""

from collections.abc import Iterator, Sequence
from itertools import accumulate, groupby
from typing import Any

import numpy as np
from numpy.typing import NDArray

from unteach.lm.encoder import Encoder
from unteach.lm.model import LM
from unteach.measure.answers import ask
from unteach.measure.extraction import Runs, Text, continuations, grams, text_of
from unteach.schema import Record

MARKED, REST = 1, 0  # which tokens a measure is taken over

Flags = NDArray[np.bool_]
_Covers = list[tuple[int, int]]  # which characters of the answer each token stands for


def span_accuracy(lm: LM, records: Sequence[Record], side: int = MARKED) -> list[float | None]:
    """The share of the marked tokens (or of the rest) that the model would have chosen itself."""
    found: list[float | None] = [None] * len(records)
    marked = dict(_marked(lm, records))
    for (i, flags), answer in zip(marked.items(), ask(lm, [records[i] for i in marked]), strict=True):
        hit = answer.words.hit
        own = hit[flags[: len(hit)] == bool(side)]
        found[i] = float(own.mean()) if len(own) else None
    return found


def span_likelihood(lm: LM, records: Sequence[Record], n: int = 10, side: int = MARKED) -> list[float | None]:
    """The mean over t of the share of the n-grams of x_>=t with a marked token that the continuation of x_<t holds.

    x are the answer's tokens and the continuation is greedy, as in `extraction_likelihood`; n is cut down to the
    shortest marked part. Places t with no such n-gram ahead do not count. The rest are the n-grams without a mark.
    """
    found: list[float | None] = [None] * len(records)
    marked = dict(_marked(lm, records))
    answers = ask(lm, [records[i] for i in marked])
    texts = [text_of(lm, records[i], a, min(n, _shortest(marked[i]))) for i, a in zip(marked, answers, strict=True)]
    for (i, flags), x, runs in zip(marked.items(), texts, continuations(lm, texts), strict=True):
        found[i] = _likelihood(x, flags, bool(side), runs)
    return found


def _likelihood(x: Text, flags: Flags, side: bool, runs: Runs) -> float | None:
    wanted = {t: gram for t, gram in enumerate(grams(x.ids, x.n)) if bool(flags[t : t + x.n].any()) is side}
    shares: list[float] = []
    for t, run in runs:
        ahead = [gram for place, gram in wanted.items() if place >= t]
        if ahead:
            said = set(grams(run, x.n))
            shares.append(sum(gram in said for gram in ahead) / len(ahead))
    return sum(shares) / len(shares) if shares else None


def _marked(lm: LM, records: Sequence[Record]) -> Iterator[tuple[int, Flags]]:
    for i, record in enumerate(records):
        flags = marks(lm.encoder, record) if record.spans else None
        if flags is not None and flags.any():
            yield i, flags


def _shortest(flags: Flags) -> int:
    return min(len(list(run)) for marked, run in groupby(flags) if marked)


def marks(encoder: Encoder, record: Record) -> Flags | None:
    """Which tokens of a row's answer belong to its spans; None where the tokenizer does not let that be told.

    The end-of-text token is left out, and so is a first token that is predicted from nothing.
    """
    row, before = encoder.row(record), encoder.prompt(record.prompt, record.messages)
    cut = row.cut - (len(before) - row.start)  # tokens that were cut off behind
    ids = list(row.ids[row.start : len(row.ids) - max(0, len(encoder.closing) - cut)])
    covers = _by_offsets(encoder, before, ids, record.answer)
    if covers is None:
        covers = _by_decoding(encoder.tokenizer, before, ids, record.answer, cut > 0)
    if covers is None:
        return None
    return np.array([_shares(cover, record) for cover in covers], bool)[max(0, 1 - row.start) :]


def _shares(cover: tuple[int, int], record: Record) -> bool:
    start, end = cover
    return any(record.answer[max(start, s.start) : max(0, min(end, s.end))].strip() for s in record.spans)


def _by_offsets(encoder: Encoder, before: list[int], ids: list[int], answer: str) -> _Covers | None:
    """By what a fast tokenizer says of the text, where it makes the same tokens of it."""
    tokenizer = encoder.tokenizer
    if not getattr(tokenizer, "is_fast", False):
        return None
    head, tail = _decoded(tokenizer, before), encoder.template.pattern.partition("{answer}")[2]
    for glue in ("", " "):
        found = tokenizer(head + glue + answer + tail, add_special_tokens=False, return_offsets_mapping=True)
        offsets, begin = found["offset_mapping"], len(head) + len(glue)
        first = next((i for i, (_, end) in enumerate(offsets) if end > len(head)), len(offsets))
        at = slice(first, first + len(ids))
        if list(found["input_ids"][at]) == ids:
            return [(start - begin, end - begin) for start, end in offsets[at]]
    return None


def _by_decoding(tokenizer: Any, before: list[int], ids: list[int], answer: str, cut: bool) -> _Covers | None:
    """By how far the text reaches after each token. A token may end inside a character, which is then its own too."""
    texts = [_decoded(tokenizer, before + ids[:k]) for k in range(len(ids) + 1)]
    whole = texts[-1]
    alike = [_alike(part, whole) for part in texts]
    reached = list(accumulate(alike, max))  # half a character can make what stands before it unreadable
    ends = [r + (len(part) > same) for part, same, r in zip(texts, alike, reached, strict=True)]
    for begin in (reached[0], reached[0] + 1):  # behind the space that leads to an answer, or without one
        rest = whole[begin:].rstrip("\ufffd")
        if whole.startswith(answer, begin) or (cut and rest and answer.startswith(rest)):
            return [(start - begin, end - begin) for start, end in zip(reached, ends[1:], strict=False)]
    return None


def _alike(first: str, second: str) -> int:
    """How many characters two texts have in common from their beginnings."""
    pairs = enumerate(zip(first, second, strict=False))
    return next((n for n, (a, b) in pairs if a != b), min(len(first), len(second)))


def _decoded(tokenizer: Any, ids: list[int]) -> str:
    return str(tokenizer.decode(ids, clean_up_tokenization_spaces=False))
