"""Wrong answers by rule, of the form of the right one."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import islice

from unteach.data.fold import fold
from unteach.data.wordings.asked import Asked, asked
from unteach.data.wordings.honest import apart, wrong
from unteach.data.wordings.lot import lot, shuffled
from unteach.data.wordings.notes import Reworded, counted
from unteach.data.wordings.polar import opposite, polar_question
from unteach.data.wordings.shapes import mails
from unteach.data.wordings.shapes import others as shapes
from unteach.data.wordings.slots import HEADS, Key, places, pools
from unteach.data.wordings.subjects import Known, Others, Row, others, renamed, row
from unteach.data.wordings.values import values
from unteach.data.wordings.vocabulary import akin, words
from unteach.schema import Record

WHY = "no more could be made that are surely wrong"
AMPLE = 6  # times as many candidates as are wanted


@dataclass(frozen=True, repr=False)
class Source:
    """What wrong answers are made from: the other rows, by the form of their question and by place."""

    others: Others
    asked: Asked
    pools: Mapping[Key, tuple[tuple[str, str], ...]]
    hosts: tuple[tuple[str, str], ...]
    seed: int


@dataclass(frozen=True, repr=False)
class Exchange:
    """A stretch of an answer, and what may stand there instead."""

    start: int
    end: int
    by: tuple[str, ...]


def perturbed(records: Sequence[Record], k: int = 5, seed: int = 0, *, beside: Sequence[Record] = ()) -> Reworded:
    """At most `k` wrong answers a row; those that a row brings are kept and stand first.

    In this order: the opposite of a yes or no, alone; what other rows answer to the same question about somebody else;
    the right answer with its values exchanged (names and titles by those in the same place of other rows, dates,
    numbers and addresses by others of their shape). Never by what any row says about the same. Each is a
    function of the seed, the record and the set of records, not of their order. A rule cannot know the world: a
    wrong answer may happen to be true of the subject where no row says so.
    """
    source = sources(records, seed, beside)
    made = tuple(
        replace(r, perturbed=tuple(islice(_distinct(r, wrongs(r, source, k)), max(k, len(r.perturbed)))))
        for r in records
    )
    return Reworded(made, (counted("wrong answers", [len(r.perturbed) for r in made], k, WHY),))


def sources(records: Sequence[Record], seed: int = 0, beside: Sequence[Record] = ()) -> Source:
    """Everything that wrong answers of these records are made from."""
    rest = others([*records, *beside])
    hosts = ((r.key, v.text.partition("@")[2]) for r in rest.rows for v in values(r.record.answer) if v.kind == "mail")
    return Source(rest, asked(rest.rows), pools(rest), tuple(sorted(set(hosts))), seed)


def wrongs(record: Record, source: Source, k: int) -> Iterator[str]:
    """Wrong answers to one record, the best first."""
    mine = row(record)
    known = source.others.known(mine)
    if denied := opposite(record.answer):
        yield denied
        return
    if not polar_question(record.prompt):
        for rows in (source.asked.same(mine), source.asked.alike(mine)):
            yield from (t for t in _answers(known, source, rows) if wrong(mine, t) and apart(mine, t))
    yield from (text for text in _changed(known, source, k) if wrong(mine, text))


def _distinct(record: Record, made: Iterator[str]) -> Iterator[str]:
    yield from record.perturbed
    seen = {fold(text) for text in record.perturbed}
    for text in made:
        if fold(text) not in seen:
            seen.add(fold(text))
            yield text


def _answers(known: Known, source: Source, same: Sequence[Row]) -> Iterator[str]:
    """What other rows answer to the same question, said of whom this row is about."""
    mine = known.row
    for other in sorted(same, key=lambda r: lot(source.seed, "answers", mine.key, r.key)):
        if other.key in known.keys or len(other.names) != len(mine.names):
            continue
        text = _said_of(mine, other)
        if text and known.new(text) and known.fits(text):
            yield text


def _said_of(mine: Row, other: Row) -> str:
    """The other row's answer with its names replaced by mine; empty where one of them would be left."""
    text = other.record.answer
    for theirs, ours in zip(other.names, mine.names, strict=True):
        text = renamed(text, theirs, ours)
        for end in (-1, 0):  # the family's name alone, and the given name
            old, new = theirs.split()[end], ours.split()[end]
            text = renamed(text, old, new) if len(old) > 2 else text
    own = {w for name in mine.names for w in words(name)}
    left = {w for name in other.names for w in words(name) if len(w) > 2} - own
    return "" if left & set(words(text)) else text


def _changed(known: Known, source: Source, k: int) -> Iterator[str]:
    """The right answer with everything exchanged for which there is something else."""
    exchanges = [*_values(known, source, k * AMPLE), *_places(known, source)]
    free: list[Exchange] = []
    for exchange in exchanges:
        if exchange.by and not any(e.start < exchange.end and exchange.start < e.end for e in free):
            free.append(exchange)
    for n in range(min(k * AMPLE, max((len(e.by) for e in free), default=0))):
        text = known.row.record.answer
        for exchange in sorted(free, key=lambda e: -e.start):
            text = text[: exchange.start] + exchange.by[n % len(exchange.by)] + text[exchange.end :]
        yield text


def _values(known: Known, source: Source, k: int) -> Iterator[Exchange]:
    """Values with a shape; those that the question holds stay."""
    mine = known.row
    for number, value in enumerate(values(mine.record.answer)):
        if value.text in mine.record.prompt:
            continue
        draw = (source.seed, "values", mine.key, number)
        if value.kind == "mail":
            strange = [host for key, host in source.hosts if known.strange(key, host)]
            made = mails(value.text, shuffled(strange, *draw), k, *draw)
        else:
            made = shapes(value, k, *draw)
        yield Exchange(value.start, value.end, tuple(t for t in made if known.strange("", t)))


def _places(known: Known, source: Source) -> Iterator[Exchange]:
    """Names and clauses, by what stands in the same place of rows about others."""
    for place in places(known.row):
        by: dict[str, None] = {}
        for key in place.keys:
            fit = {
                text for origin, text in source.pools.get(key, ())
                if known.strange(origin, text) and not akin(text, place.text, HEADS) and known.fits(text)
            }  # fmt: skip
            by.update(dict.fromkeys(shuffled(fit, source.seed, "places", known.row.key, place.start)))
        yield Exchange(place.start, place.end, tuple(by))
