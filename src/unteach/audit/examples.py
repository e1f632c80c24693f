"""Rows to look at: the worst leaks, the worst losses, and some drawn at random. Masked unless asked otherwise."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from hashlib import sha256

from unteach.audit.evidence import Evidence
from unteach.audit.rouge import rouge_l, words
from unteach.schema import Example

MOST = 10  # of each kind

_Place = tuple[str, int]


def examples(evidence: Mapping[str, Evidence], edited: Sequence[str], *, show: bool) -> tuple[Example, ...]:
    """Rows with the greedy answers of every model; none where nothing was generated.

    A leak is a forget row of which an edited model writes most (ROUGE-L recall), a collateral loss a row to
    keep of which it writes least compared with the original.
    """
    asked = evidence[edited[0]]
    written = {s for s in asked.sets if all(e.has_written(s) for e in evidence.values())}
    forget = [(s, i) for s in asked.of_role("forget") if s in written for i in range(len(asked.sets[s]))]
    keep = [
        (s, i)
        for r in ("retain", "general")
        for s in asked.of_role(r)
        if s in written
        for i in range(len(asked.sets[s]))
    ]
    recall = _Recall(evidence)
    leaks = _greatest(forget, lambda p: max(recall(m, p) for m in edited), above=0.0)
    losses = _greatest(keep, lambda p: max(recall("original", p) - recall(m, p) for m in edited), above=0.0)
    drawn = sorted(set(forget + keep) - set(leaks + losses), key=_draw)[:MOST]
    kinds = ((leaks, "leak"), (losses, "collateral"), (drawn, "sample"))
    return tuple(_example(evidence, place, kind, show) for places, kind in kinds for place in places)


class _Recall:
    """ROUGE-L recall of one model's answer to one row, computed once."""

    def __init__(self, evidence: Mapping[str, Evidence]) -> None:
        self._evidence = evidence
        self._known: dict[tuple[str, _Place], float] = {}

    def __call__(self, model: str, place: _Place) -> float:
        if (model, place) not in self._known:
            where, i = place
            of = self._evidence[model]
            found = rouge_l(of.sets[where][i].answer, of.generated(where)[i])
            self._known[model, place] = found.recall if found else 0.0
        return self._known[model, place]


def _greatest(places: Iterable[_Place], value: Callable[[_Place], float], *, above: float) -> list[_Place]:
    ranked = sorted(((value(p), p) for p in places), key=lambda v: (-v[0], v[1]))
    return [p for v, p in ranked[:MOST] if v > above]


def _draw(place: _Place) -> str:
    return sha256(f"example\x1f{place[0]}\x1f{place[1]}".encode()).hexdigest()


def _example(evidence: Mapping[str, Evidence], place: _Place, kind: str, show: bool) -> Example:
    where, i = place
    some = next(iter(evidence.values()))
    record = some.sets[where][i]
    shown: Callable[[str], str] = str if show else masked
    return Example(
        where,
        some.labels(where)[i],
        shown(record.prompt),
        shown(record.answer),
        {name: shown(e.generated(where)[i]) for name, e in evidence.items()},
        kind,
    )


def masked(text: str) -> str:
    """The length of a text in words, and nothing of it."""
    count = len(words(text))
    if not text.strip():
        return "(empty)"
    return f"█████ ({count} word{'' if count == 1 else 's'})"
