"""ROME and MEMIT on models that know the town as a register: what a new trade for each of ten people comes to."""

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from functools import partial
from pathlib import Path
from statistics import fmean
from typing import Any

from benchmarks.corrections import Mean
from benchmarks.figures import circumstances
from benchmarks.page import placed
from benchmarks.parts import kept
from benchmarks.register import SHAPES, corrections, held_out, lessons, register, taught, told_by
from unteach.audit.evidence import Evidence
from unteach.audit.facts import fact_roles, fact_sets
from unteach.audit.statistics import bootstrap_mean
from unteach.edit.edit import Edit
from unteach.lm.model import LM
from unteach.measure.chosen import chosen
from unteach.methods.facts.memit import MEMIT
from unteach.methods.facts.rome import ROME
from unteach.methods.facts.values import Search
from unteach.registry import build
from unteach.report.atomic import folder, put
from unteach.schema import Fact, Record, Request

MARK = "register"
OPENING = """\
### The town as a register

Made by

```text
python -m benchmarks editors --parts register
```

The town's sixty people and three hundred facts, told in lines that end in a name ("The trade of NAME"), taught to models
of four layers and width 128, each fact in four of five forms. Ten people are given a new trade, which somebody else has:
by `rome` each alone on the model as it was, by `rome` one after another, by `memit` all at once. Second moments are those
of the lines taught; a fact is put behind nothing, since these models have never read anything before a line. `rome`
writes into the last layer but one with `clamp=16`, `memit` into the two in the middle; all else is the default. Layers
and clamp were chosen on twenty other people. The usual clamp of 4 counts in lengths of what the layer's MLP puts out, which
on the GPT-2 shape is too short there.

*Reliability* is asked in the form corrected, *written* says whether the free answer begins so, *generalisation* is over
the three other forms taught and the one held out, *others* is agreement with the model before on the trades of five people
who keep theirs, *same person* on what else is known of the one corrected. Means of ten people with 95 % bootstrap
intervals over people; where all ten agree an interval has no width. *To reach* is what EasyEdit reaches on small models of
that shape (one fact by ROME, ten by MEMIT; of a NeoX it has none, so the greater of both), with a reliability of 0.95.
"""
ELSEWHERE = """\
The same in four other towns, with names, words, weights and corrections of their own, on which nothing was chosen: means of
ten people each, the least and the greatest of the four.
"""
TRIED_ON = 20  # the first people, on whom layers and clamp were chosen
TOWN, OTHER_TOWNS = 0, (1, 2, 3, 4)  # by their seeds
BARE = ("{}",)
RANKED_ONE = ROME(layer=2, forms=BARE, search=Search(clamp=16.0))
WAYS: Mapping[str, tuple[Any, bool]] = {  # a method, and whether it is given each fact alone
    "rome, each alone": (RANKED_ONE, True),
    "rome, one after another": (RANKED_ONE, False),
    "memit, all at once": (MEMIT(layers="1-2", forms=BARE), False),
}
COLUMNS: Mapping[str, tuple[str, str, bool]] = {  # metric, set, and whether free answers count
    "reliability": ("reliability", "facts", False),
    "written": ("reliability", "facts", True),
    "generalisation": ("generalisation", "rephrased", False),
    "others": ("locality", "neighbours_others", False),
    "same person": ("locality", "neighbours_same", False),
}
GOALS: Mapping[str, Mapping[str, tuple[float, float, float, float]]] = {  # all columns but `written`
    "rome": {"gpt2": (0.95, 1.0, 1.0, 0.375), "llama": (0.95, 1.0, 1.0, 0.75), "gpt_neox": (0.95, 1.0, 1.0, 0.75)},
    "memit": {"gpt2": (0.95, 0.9, 0.933, 0.438), "llama": (0.95, 0.45, 0.817, 0.45),
              "gpt_neox": (0.95, 0.9, 0.933, 0.45)},
}  # fmt: skip
NEW = 8  # tokens of a free answer


@dataclass(frozen=True)
class Known:
    """The shares of facts that a model gives in forms that it was taught, and in those held out."""

    taught: float
    held_out: float


def run(shapes: Sequence[str], place: Path, page: Path, results: Path) -> None:
    """Teach, correct and ask; what is done is kept in a folder, and what came of it goes onto the page."""
    found: dict[int, dict[str, Any]] = {seed: {} for seed in (TOWN, *OTHER_TOWNS)}
    for seed, told in found.items():
        for shape in shapes:
            told[shape] = kept(place / f"{shape}-{seed}.json", partial(_told, shape, place, seed))
            print(seed, shape, json.dumps(told[shape]), flush=True)
    report = {"circumstances": circumstances(), "towns": found}
    put(folder(results) / "register.json", (json.dumps(report, indent=1) + "\n").encode())
    text = "\n".join([OPENING, *_lines(found[TOWN]), "", ELSEWHERE, *_ranges([found[seed] for seed in OTHER_TOWNS])])
    page.write_text(placed(page.read_text(encoding="utf-8"), text, MARK), encoding="utf-8")


def _told(shape: str, place: Path, seed: int) -> dict[str, Any]:
    town, school = told_by(seed)
    found = register(town)
    lm = taught(shape, found, place / f"{shape}-{seed}", school)
    facts, keep = corrections(found, first=TRIED_ON, seed=seed), lessons(found)
    ways = {way: {n: asdict(m) for n, m in tried(lm, way, facts, keep).items()} for way in WAYS}
    return {"known": asdict(Known(known(lm, keep), known(lm, held_out(found)))), "ways": ways}


def known(lm: LM, records: Sequence[Record]) -> float:
    """The share of records whose every answer token is the likeliest."""
    rows = [lm.encoder.row(r) for r in records]
    answers = [row.ids[row.start : len(row.ids) - len(lm.encoder.closing)] for row in rows]
    return fmean(tuple(said or ()) == tuple(a) for said, a in zip(chosen(lm, records), answers, strict=True))


def tried(lm: LM, way: str, facts: Sequence[Fact], keep: Sequence[Record]) -> dict[str, Mean]:
    """What a way to correct the facts comes to: the mean of each column over facts."""
    method, alone = WAYS[way]
    parts = [[fact] for fact in facts] if alone else [list(facts)]
    rows = [row for some in parts for row in _asked(lm, some, method(lm, _request(some, keep)))]
    return {name: _mean([row[name] for row in rows]) for name in COLUMNS}


def _request(facts: Iterable[Fact], keep: Sequence[Record]) -> Request:
    """The facts alone, without what is asked afterwards, and the lines that were taught."""
    return Request(facts=[replace(f, rephrasings=(), locality=(), portability=()) for f in facts], retain=keep)


def _asked(lm: LM, facts: Sequence[Fact], edit: Edit) -> list[dict[str, float]]:
    """Of each fact the mean of each column over its questions."""
    sets = fact_sets(facts, kinds=True)
    before = Evidence(lm, sets, name="original", roles=fact_roles(sets), max_new=NEW)
    for metric, where, _ in COLUMNS.values():
        build("metric", metric, {})(before, where)
    before.close()
    with edit.on(lm):
        after = Evidence(lm, sets, name="edited", roles=fact_roles(sets), original=before, max_new=NEW)
        scores = {
            name: build("metric", metric, {"exact": True} if exact else {})(after, where).per_record
            for name, (metric, where, exact) in COLUMNS.items()
        }
    after.close()
    return [
        {name: fmean(_own(fact, sets[where], scores[name])) for name, (_, where, _) in COLUMNS.items()}
        for fact in facts
    ]


def _own(fact: Fact, rows: Sequence[Record], values: Mapping[str, float]) -> list[float]:
    """The values of the rows that are about one fact; a row's value is named by its number in its set."""
    numbered = ((int(name.rpartition("/")[2]), value) for name, value in values.items())
    return [value for n, value in numbered if rows[n].id.startswith(f"{fact.id}/")]


def _mean(values: Sequence[float]) -> Mean:
    low, high = bootstrap_mean(values) or (None, None)
    return Mean(fmean(values), low, high, len(values))


def reached(way: str, shape: str, found: Mapping[str, Mean]) -> dict[str, bool]:
    """Whether each column is what the reference reaches."""
    goals = GOALS[way.partition(",")[0]][shape]
    asked = [name for name in COLUMNS if name != "written"]
    return {name: found[name].value >= goal - 1e-9 for name, goal in zip(asked, goals, strict=True)}


def _lines(told: Mapping[str, Any]) -> Iterator[str]:
    yield f"| shape | way | {' | '.join(COLUMNS)} | to reach | reached |"
    yield "|---" * (len(COLUMNS) + 4) + "|"
    for shape, of in told.items():
        for way, columns in of["ways"].items():
            found = {name: Mean(**m) for name, m in columns.items()}
            goals = ", ".join(f"{g:.2f}" for g in GOALS[way.partition(",")[0]][shape])
            missed = [name for name, met in reached(way, shape, found).items() if not met]
            said = f"not {', '.join(missed)}" if missed else "yes"
            yield f"| {shape} | {way} | {' | '.join(map(_cell, found.values()))} | {goals} | {said} |"
    yield ""
    for shape, of in told.items():
        yield (f"The {shape} model knows {of['known']['taught']:.3f} of the facts in the forms taught and "
               f"{of['known']['held_out']:.3f} in those held out.")  # fmt: skip


def _ranges(towns: Sequence[Mapping[str, Any]]) -> Iterator[str]:
    yield f"| shape | knows held out | way | {' | '.join(COLUMNS)} |"
    yield "|---" * (len(COLUMNS) + 3) + "|"
    for shape in towns[0]:
        of = [told[shape] for told in towns]
        known = _range([one["known"]["held_out"] for one in of], places=3)
        for way in WAYS:
            cells = [_range([one["ways"][way][name]["value"] for one in of]) for name in COLUMNS]
            yield f"| {shape} | {known} | {way} | {' | '.join(cells)} |"
    told = [(shape, of["known"]["held_out"], of["ways"]) for town in towns for shape, of in town.items()]
    shape, least, ways = min(told, key=lambda one: one[1])
    taken = ways["rome, each alone"]["generalisation"]["value"]
    yield ""
    yield (f"The model that knows the fewest facts in the forms held out, {least:.3f}, is of the {shape} shape; it takes up "
           f"{taken:.2f} of the rephrasings of what `rome` corrects.")  # fmt: skip


def _range(values: Sequence[float], places: int = 2) -> str:
    return f"{min(values):.{places}f} – {max(values):.{places}f}"


def _cell(mean: Mean) -> str:
    return f"{mean.value:.2f}" if mean.low is None else f"{mean.value:.2f} ({mean.low:.2f} to {mean.high:.2f})"


def shapes_of(text: str) -> list[str]:
    """The shapes that are named with commas between."""
    asked = text.split(",")
    if unknown := set(asked) - SHAPES.keys():
        raise SystemExit(f"there is no shape {sorted(unknown)[0]}; shapes are {', '.join(SHAPES)}")
    return asked
