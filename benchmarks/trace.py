"""A person's rows among a hundred thousand: how fast they are found, how many of them, and how many of those found are theirs.

The figures of `unteach trace` on a training set in which rows about 49 people are planted (`benchmarks/planted.py`), for
known rows and for the name alone, those of the seven people held out apart; and how fast `dedup`, `decontaminate` and `exclusion` go through the same rows.
"""

import argparse
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Set
from pathlib import Path
from time import process_time

from benchmarks.figures import Figure, circumstances, kept, save, shown
from benchmarks.page import placed
from benchmarks.planted import HELD, Person, Planted, planted
from unteach.audit.statistics import wilson
from unteach.data.corpus import Corpus, corpus
from unteach.data.decontaminate import Decontaminate
from unteach.data.dedup import Dedup
from unteach.data.exclusion import Exclusion, manifest
from unteach.data.presence import trace
from unteach.schema import Record

ROWS_PER_SECOND, ALL, MOST = 1_000, 100.0, 90.0
RESTATED = ("paraphrase", "full", "part", "none")
FORMS = {
    "exact": "exact copies",
    "near": "near copies",
    "paraphrase": "TOFU's paraphrases",
    "full": "paraphrases by hand, with the name",
    "part": "paraphrases by hand, with a part of it",
    "none": "paraphrases by hand, without it",
}
HALVES = {False: "", True: ", held out"}


def main(arguments: list[str]) -> None:
    """Plant, trace, and write the results."""
    parser = argparse.ArgumentParser("python -m benchmarks trace", description=__doc__)
    parser.add_argument("--data", required=True, type=Path, help="folder with tofu/ and knowundo_privacy/")
    parser.add_argument("--rows", type=int, default=100_000)
    parser.add_argument("--people", type=int, default=49, help="how many are looked for, 11 to 49")
    parser.add_argument("--page", type=Path, default=Path("docs/benchmarks.md"))
    chosen = parser.parse_args(arguments)
    placed(chosen.page.read_text(encoding="utf-8"), "", "trace")  # refused before the long run
    made = shown(figures(planted(chosen.data, chosen.rows, people=chosen.people)))
    text = "\n".join(kept(save("trace", made, facts=circumstances())))
    chosen.page.write_text(placed(chosen.page.read_text(encoding="utf-8"), text, "trace"), encoding="utf-8")


def figures(world: Planted) -> Iterator[Figure]:
    """Every figure, as it is found."""
    began = process_time()
    found = corpus(world.rows)
    spent = process_time() - began
    yield from _traced("known rows", world, found, spent, lambda person: person.rows)
    yield from _traced("name alone", world, found, spent, lambda _: ())
    known = tuple(row for person in world.people for row in person.rows)
    for name, clean in {
        "dedup": Dedup(), "decontaminate": Decontaminate(against=known), "exclusion": Exclusion(manifest(known)),
    }.items():  # fmt: skip
        began = process_time()
        clean(world.rows)
        yield _speed(name, len(world.rows), process_time() - began)


def _traced(
    how: str, world: Planted, found: Corpus, spent: float, known: Callable[[Person], tuple[Record, ...]]
) -> Iterator[Figure]:
    """Speed (of reading the rows once and tracing one person), recall by form, and precision."""
    began = process_time()
    hits = {person.name: {h.row for h in trace(found, [person.name], known(person))} for person in world.people}
    seconds = process_time() - began
    for form, what in FORMS.items():
        goal = ALL if form in ("exact", "near") and how == "known rows" else MOST
        for half, mark in HALVES.items():
            rows = [row for row, (name, f) in world.of.items() if f == form and (name in HELD) == half]
            if rows:
                seen = sum(row in hits[world.of[row][0]] for row in rows)
                yield _share(f"{what} found, {how}{mark}", seen, len(rows), goal)
    yield _speed(f"trace, {how}", len(world.rows), spent + seconds / len(world.people))
    for half, mark in HALVES.items():
        yield from _precision(f"{how}{mark}", world, {n: rows for n, rows in hits.items() if (n in HELD) == half})


def _precision(how: str, world: Planted, hits: Mapping[str, Set[int]]) -> Iterator[Figure]:
    """Recall of all paraphrases, and which of the rows found are the person's, with the copies and without."""
    theirs = Counter(form for name, form in world.of.values() if name in hits)
    seen = Counter(form for row, (name, form) in world.of.items() if name in hits and row in hits[name])
    total, restated = sum(map(len, hits.values())), sum(seen[form] for form in RESTATED)
    yield _share(f"all paraphrases found, {how}", restated, sum(theirs[form] for form in RESTATED), MOST)
    yield _share(f"found rows that are theirs, {how}", seen.total(), total, MOST)
    yield _share(f"the same without the copies, {how}", restated, total - seen["exact"] - seen["near"], MOST)


def _speed(what: str, rows: int, seconds: float) -> Figure:
    value = rows / seconds
    return Figure(f"rows a second, {what}", value, value, value, ROWS_PER_SECOND, ours=seconds)


def _share(what: str, some: int, of: int, goal: float) -> Figure:
    """A share with its Wilson interval."""
    low, high = wilson(some, of)
    return Figure(f"{what} ({some} of {of})", some / of, low, high, goal / 100, unit="%")
