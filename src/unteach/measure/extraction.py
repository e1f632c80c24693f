"""How much of a text comes back from a model that goes on from any point of it. Jang et al. 2023, arXiv:2210.01504.

Both measures leave the end-of-text token out. Training may stop on them.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import torch

from unteach.lm.anatomy import anatomy, head
from unteach.lm.model import LM
from unteach.lm.view import likeliest
from unteach.measure.answers import Answer, ask, batched, ended
from unteach.schema import Record

AT_ONCE = 1 << 20  # tokens that the prompts of one round of generation may hold

Runs = Iterator[tuple[int, list[int]]]


@torch.no_grad()
def memorization_accuracy(lm: LM, records: Sequence[Record]) -> list[float | None]:
    """The share of all tokens of a row but the first, question included, that the model would have chosen itself."""
    found: dict[int, float | None] = {}
    for part, batch in batched(lm, records):
        states = lm.outputs(batch, anatomy(lm.model).norm)
        known = batch.real.clone()
        known[:, 0] = False  # predicted from nothing
        whole = replace(batch, answer=known)
        hits = (likeliest(head(lm.model, states[whole.predicting])) == whole.targets).cpu()
        for k, (i, end) in enumerate(zip(part, ended(lm, batch), strict=True)):
            row = hits[whole.offsets[k] : whole.offsets[k + 1] - end]
            found[i] = float(row.float().mean()) if len(row) else None
    return [found[i] for i in range(len(records))]


def extraction_likelihood(lm: LM, records: Sequence[Record], n: int = 10) -> list[float | None]:
    """Mean over t = 0 ... N - n of the overlap between x_>=t and the model's own continuation of x_<t.

    x are the N answer tokens after the prompt, and the continuation is greedy, to the length of x. The overlap is the
    number of n-grams (n tokens in a row) of the continuation that stand in x_>=t, over the number of those of x_>=t.
    Where x is shorter than n tokens, n is N.
    """
    texts = [text_of(lm, record, answer, n) for record, answer in zip(records, ask(lm, records), strict=True)]
    return [_likelihood(text, runs) for text, runs in zip(texts, continuations(lm, texts), strict=True)]


@dataclass(frozen=True)
class Text:
    """An answer of N tokens behind what is given; `hit` says where the model would choose its token itself."""

    given: tuple[int, ...]
    ids: tuple[int, ...]
    hit: tuple[bool, ...]
    n: int

    @property
    def starts(self) -> int:
        """How many places t there are to go on from."""
        return len(self.ids) - self.n + 1 if self.ids else 0

    @property
    def missed(self) -> list[int]:
        """The places whose continuations all others follow from.

        Where the model chooses the answer's token, it goes on as it does one place further on.
        """
        missed = [t for t, hit in enumerate(self.hit) if not hit]
        inner = [t for t in missed if t < self.starts - 1]
        return inner + missed[len(inner) : len(inner) + 1]


def text_of(lm: LM, record: Record, answer: Answer, n: int) -> Text:
    """A record's answer as a text to go on in, for n-grams of `n` tokens or of all that there are."""
    row, hit = lm.encoder.row(record), answer.words.hit
    first = max(row.start, 1)
    ids = row.ids[first : first + len(hit)]
    stops = lm.encoder.stops  # one within an answer ends what the model writes there
    goes_on = tuple(bool(h) and token not in stops for h, token in zip(hit, ids, strict=True))
    return Text(row.ids[:first], ids, goes_on, min(n, len(ids)))


def continuations(lm: LM, texts: Sequence[Text]) -> Iterator[Runs]:
    """For each text what the model writes after x_<t: the places t from the last start to the first, with its tokens."""
    return (runs for some in _rounds(texts) for runs in _continued(lm, some))


def _rounds(texts: Sequence[Text]) -> Iterator[list[Text]]:
    some: list[Text] = []
    held = 0
    for text in texts:
        size = sum(len(text.given) + t for t in text.missed)
        if some and held + size > AT_ONCE:
            yield some
            some, held = [], 0
        some.append(text)
        held += size
    if some:
        yield some


def _continued(lm: LM, texts: Sequence[Text]) -> Iterator[Runs]:
    places = [(i, t) for i, text in enumerate(texts) for t in text.missed]
    prompts = [(*texts[i].given, *texts[i].ids[:t]) for i, t in places]
    written = lm.extend(prompts, [len(texts[i].ids) - t for i, t in places])
    own: list[dict[int, list[int]]] = [{} for _ in texts]
    for (i, t), ids in zip(places, written, strict=True):
        own[i][t] = ids
    return (_runs(text, found) for text, found in zip(texts, own, strict=True))


def _runs(text: Text, written: dict[int, list[int]]) -> Runs:
    run: list[int] = []
    for t in reversed(range(len(text.ids))):
        run = written[t] if t in written else [text.ids[t], *run]
        if t < text.starts:
            yield t, run


def _likelihood(text: Text, runs: Runs) -> float | None:
    """The mean overlap, from the last place to the first."""
    latest = {gram: t for t, gram in enumerate(grams(text.ids, text.n))}
    overlaps: list[float] = []
    for t, run in runs:
        shared = sum(latest.get(gram, -1) >= t for gram in grams(run, text.n))
        overlaps.append(shared / (text.starts - t))
    return sum(overlaps) / len(overlaps) if overlaps else None


def grams(ids: Sequence[int], n: int) -> Iterator[tuple[int, ...]]:
    """The runs of n tokens, overlapping."""
    return zip(*(ids[i:] for i in range(n)), strict=False)
