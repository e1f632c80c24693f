"""What a run is about, by its recipe: the rows of files or of a benchmark, and the metrics and attacks that are asked."""

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from os.path import exists
from typing import Any, Protocol

from unteach.audit.facts import fact_sets
from unteach.audit.shadowlist import Listed, read_list
from unteach.audit.suite import CORRECTED, DEFAULT, FULL, Suite
from unteach.data import Rows, check, read, refuse
from unteach.data.contradictions import refuse_contradictions
from unteach.data.facts import read_facts
from unteach.data.parting import classed, parted
from unteach.data.refusing import refusing
from unteach.edit.plan import draw
from unteach.recipe import Recipe, make_benchmark, only_of
from unteach.registry import build, entries
from unteach.schema import Fact, InputError, Record, Request, Scope

Say = Callable[[str], None]


class Benchmark(Protocol):
    """A frozen dataclass that says what to forget and to keep, and what is asked afterwards by which metrics."""

    @property
    def suite(self) -> Suite: ...
    @property
    def roles(self) -> Mapping[str, str]: ...
    def request(self) -> Request: ...
    def sets(self) -> Mapping[str, Sequence[Record]]: ...


@dataclass(frozen=True)
class Sets:
    """What is asked, each set in its role, and models that some of the rows went into.

    Record files are named by what they are for (forget, retain, holdout, general), which is their role too.
    """

    rows: Mapping[str, Rows]
    roles: Mapping[str, str]
    facts: Sequence[Fact] = field(default=(), repr=False)
    shadows: Sequence[Listed] = field(default=(), repr=False)

    def of(self, role: str) -> tuple[Record, ...]:
        """The records of every set in a role."""
        return tuple(r for name, rows in self.rows.items() if self.roles[name] == role for r in rows.records)


def request_of(plan: Recipe, sets: Sets, say: Say = lambda _line: None) -> Request:
    """What a method is asked for; where not all that has to go is known, it is told of a share of the rows."""
    whole = _request(plan, sets, say)
    if plan.known == 1:
        return whole
    order = sorted(whole.forget, key=lambda r: draw("known", r.id))
    told = {r.id for r in order[: max(1, round(plan.known * len(order)))]}
    say(f"told of: {len(told)} of {len(order)} records to forget")
    return replace(whole, forget=tuple(r for r in whole.forget if r.id in told))


def _request(plan: Recipe, sets: Sets, say: Say) -> Request:
    """The rows of the files, or those that the benchmark has for it."""
    if not plan.benchmark:
        rows = (sets.of("forget"), sets.of("retain"), sets.of("holdout"))
        scope: Scope = plan.scope if sets.of("forget") else "fact"
        return Request(*rows, facts=sets.facts, scope=scope, id=plan.id, reason=plan.reason)
    asked = benchmark_of(plan).request()
    if asked.facts:
        return replace(asked, facts=asked.facts[: plan.limit], id=plan.id or asked.id, reason=plan.reason)
    if not asked.forget:
        raise _nothing_to_forget(plan)
    parts = {"forget": asked.forget, "retain": asked.retain, "holdout": asked.holdout}
    found = {name: _numbered(f"the request of {plan.benchmark}", part, plan) for name, part in parts.items() if part}
    for name, part in found.items():
        say(f"request: {len(part.records)} records, {name}")
    _check(found, plan, say)
    forget, retain, holdout = (found[name].records if name in found else () for name in parts)
    asked = replace(asked, forget=forget, retain=retain, holdout=holdout, id=plan.id or asked.id, reason=plan.reason)
    return asked if plan.scope == "records" else replace(asked, scope=plan.scope)


def _nothing_to_forget(plan: Recipe) -> InputError:
    what = f"benchmark '{plan.benchmark}' has no rows to forget"
    return InputError(f"{what}; ask it with unteach audit, or name another")


def correctable(request: Request, method: object, plan: Recipe) -> Request:
    """The request with what must be forgotten as facts to correct, where a method corrects and there are none."""
    if "facts" not in getattr(method, "needs", ()):
        if plan.benchmark and not request.forget:
            raise _nothing_to_forget(plan)
        return request
    if request.facts:
        return request
    return replace(request, facts=refusing(request.forget))


def read_sets(plan: Recipe, say: Say) -> Sets:
    """Every file that the recipe names, checked against the others, or what its benchmark asks; what is found is said."""
    if plan.benchmark:
        return _read_benchmark(plan, say)
    sources = {"forget": plan.forget, "retain": plan.retain, "holdout": plan.holdout, "general": plan.general}
    by = {"forget": plan.by.partition("=")[0].strip()}
    rows = {name: read(source, limit=plan.limit, by=by.get(name, "")) for name, source in sources.items() if source}
    for name, found in rows.items():
        say(f"{name}: {len(found.records)} records from {found.source} ({found.legend})")
        for note in found.notes:
            say(f"  {note}")
    if plan.by:
        rows = _told_apart(rows, plan, say)
    facts = read_facts(plan.facts, limit=plan.limit) if plan.facts else ()
    refuse_contradictions(facts)
    asked = {name: _numbered(plan.facts, records, None) for name, records in fact_sets(facts).items()}
    if facts:
        say(f"facts: {len(facts)}, asked in {', '.join(f'{len(r.records)} {name}' for name, r in asked.items())}")
    if "forget" in rows:
        _check(rows, plan, say)
    return _with_shadows(plan, Sets(rows | asked, {name: name for name in (*rows, *asked)}, facts))


def _told_apart(rows: Mapping[str, Rows], plan: Recipe, say: Say) -> dict[str, Rows]:
    """The rows to forget as `by` has them: parted from those to keep, or each with its class."""
    if plan.parted:
        gone, kept = parted(rows["forget"], plan.by.partition("=")[2].strip())
        say(f"  parted: {len(gone.records)} to forget, {len(kept.records)} to keep")
        return {"forget": gone, "retain": kept, **{n: r for n, r in rows.items() if n not in ("forget", "retain")}}
    found = classed(rows["forget"])
    counts = Counter(r.label or 0 for r in found.records)
    say(f"  classes: {', '.join(f'{n} rows of class {label}' for label, n in sorted(counts.items()))}")
    return {**rows, "forget": found}


def _read_benchmark(plan: Recipe, say: Say) -> Sets:
    """What a benchmark asks; its request is not read, since it may be large and an audit needs none."""
    made = benchmark_of(plan)
    roles = made.roles
    rows = {name: _numbered(plan.benchmark, records, plan) for name, records in made.sets().items()}
    sets = Sets(rows, {name: roles[name] for name in rows})
    if not rows:
        raise InputError(f"benchmark '{plan.benchmark}' has no rows to ask; see `unteach show {plan.benchmark}`")
    for name, found in rows.items():
        say(f"{name}: {len(found.records)} records of {plan.benchmark} ({sets.roles[name]})")
    if attacks_of(plan) and not sets.of("forget"):
        raise InputError(f"benchmark '{plan.benchmark}' has no rows that attacks could bring back; leave --attacks out")
    return _with_shadows(plan, sets)


def benchmark_of(plan: Recipe) -> Benchmark:
    """The benchmark that a recipe names; one of the user's own may lack what is read here."""
    made: Benchmark = make_benchmark(plan)
    if lacking := [a for a in ("suite", "roles", "request", "sets") if not hasattr(type(made), a)]:
        raise InputError(f"benchmark '{plan.benchmark}' has no {', '.join(lacking)}; give its class these attributes")
    return made


def _numbered(source: str, records: Sequence[Record], plan: Recipe | None) -> Rows:
    taken = tuple(records)[: plan.limit if plan else None]
    return Rows(taken, source, tuple(range(1, len(taken) + 1)), {}, unit="row")


def _check(rows: Mapping[str, Rows], plan: Recipe, say: Say) -> None:
    findings = check(rows["forget"], retain=rows.get("retain"), holdout=rows.get("holdout"), near=plan.near)
    for finding in findings:
        say(f"  {finding.message}")
    refuse(findings)


def _with_shadows(plan: Recipe, sets: Sets) -> Sets:
    if not plan.shadows:
        return sets
    _want_shadows(plan)
    named = {name: found.records for name, found in sets.rows.items()}
    return replace(sets, shadows=read_list(plan.shadows, named | {"forget": sets.of("forget")}))


def suite_of(plan: Recipe) -> Suite:
    """The metrics that a recipe names; the usual ones where it names none, and with shadows those that read them.

    The usual ones of a benchmark are its own.
    """
    own = benchmark_of(plan).suite if plan.benchmark else DEFAULT if plan.forget else CORRECTED
    max_new = plan.max_new or own.max_new
    if plan.metrics.strip() == "all":
        return replace(FULL, max_new=max_new)
    chosen: tuple[tuple[str, Mapping[str, Any]], ...] = tuple(
        (n.strip(), {}) for n in plan.metrics.split(",") if n.strip()
    )
    usual = (*own.metrics, *((name, {}) for name in _reading_shadows() if plan.shadows))
    return Suite(chosen or usual, max_new)


def _reading_shadows() -> tuple[str, ...]:
    return tuple(e.name for e in entries("metric") if "shadows" in e.needs)


def _want_shadows(plan: Recipe) -> None:
    """Models that no metric compares with are not worth opening."""
    if not any("shadows" in metric.needs for metric in suite_of(plan).build()):
        names = ", ".join(_reading_shadows())
        raise InputError(f"none of the metrics reads what --shadows lists; add one of {names} to --metrics")


def attacks_of(plan: Recipe) -> list[tuple[str, Mapping[str, Any]]]:
    """The attacks that a recipe names; each is built, so that an unknown one is refused before anything is read."""
    names = [n.strip() for n in plan.attacks.split(",") if n.strip()]
    chosen = [e.name for e in entries("attack")] if names == ["all"] else names
    for name in chosen:
        build("attack", name, {})
    return [(name, {}) for name in chosen]


def drawn(name: str, records: Sequence[Record], most: int) -> Sequence[Record]:
    """At most so many records, whatever their order in the file; they keep that order.

    Several spellings of one right answer are drawn together, since they are counted as one.
    """
    if not most or len(records) <= most:
        return records
    first: dict[tuple[object, ...], str] = {}
    keys = [(r.prompt, r.messages, r.paraphrases, r.restated or r.answer) for r in records]
    for key, record in zip(keys, records, strict=True):
        first.setdefault(key, record.id)
    chosen = sorted(range(len(records)), key=lambda i: draw("asked", name, first[keys[i]]))[:most]
    return [records[i] for i in sorted(chosen)]


def told(plan: Recipe) -> str:
    """Which rows these are: the benchmark with the options that it was given, but for where anything lies."""
    told = [f"{k}={v}" for k, v in only_of(plan, plan.benchmark).items() if not exists(str(v))]
    first = [f"the first {plan.limit:,} of each set"] if plan.limit else []
    return f"rows of the benchmark {', '.join([plan.benchmark, *told, *first])}"
