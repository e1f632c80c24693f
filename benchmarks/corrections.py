"""Every method that corrects facts, each fact alone, on several benchmarks: what it is asked and what came of it."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from importlib import import_module
from pathlib import Path
from statistics import harmonic_mean
from time import perf_counter
from typing import Any

from unteach.assemble import make_method
from unteach.audit.benchmarks.counterfact import CounterFact
from unteach.audit.benchmarks.knowedit import KnowEdit
from unteach.audit.benchmarks.zsre import ZsRE
from unteach.audit.evidence import Evidence
from unteach.audit.facts import fact_sets
from unteach.audit.statistics import bootstrap_mean
from unteach.lm.model import LM
from unteach.methods.facts.contexts import contexts
from unteach.registry import build
from unteach.schema import Fact, InputError, Request

LOCATED = ("rome", "rrome", "memit", "emmet", "pmet", "alphaedit")  # these read the second moments of a text
METHODS = (*LOCATED, "ft", "ftl", "loraedit", "mend", "ke", "serac", "ike", "grace", "wise")
BENCHMARKS = ("its own facts", "CounterFact", "zsRE", "KnowEdit")
NONE = "none"  # the model as it was
NEW = 24  # tokens of a free answer
SAME = 5  # words by which free answers are alike
AT_ONCE = 10  # facts of a part of the run that is kept
Values = dict[str, float | None]


def _score(name: str, role: str, evidence: Evidence, **options: Any) -> float | None:
    if role not in evidence.sets:
        return None
    value: float | None = build("metric", name, options)(evidence, role).value
    return value


def _local(evidence: Evidence) -> float | None:
    """Locality by tokens, or where a guard hides them the share of free answers that begin in the words of before."""
    if evidence.observable or evidence.original is None or "neighbours" not in evidence.sets:
        return _score("locality", "neighbours", evidence)
    pairs = zip(evidence.generated("neighbours"), evidence.original.generated("neighbours"), strict=True)
    same = [now.split()[:SAME] == then.split()[:SAME] for now, then in pairs]
    return sum(same) / len(same)


COLUMNS: Mapping[str, Callable[[Evidence], float | None]] = {
    "reliability": partial(_score, "reliability", "facts"),
    "written": partial(_score, "reliability", "facts", exact=True),
    "generalisation": partial(_score, "generalisation", "rephrased"),
    "locality": _local,
    "portability": partial(_score, "portability", "portability"),
    "fluency": partial(_score, "ngramentropy", "facts"),
    "ES": partial(_score, "romescore", "facts", part="ES"),
    "PS": partial(_score, "romescore", "facts", part="PS"),
    "NS": partial(_score, "romescore", "facts", part="NS"),
}


@dataclass(frozen=True)
class Mean:
    """A mean over `n` facts with its 95 % interval, where it has one."""

    value: float
    low: float | None
    high: float | None
    n: int


def sources(data: Path, own: Sequence[Fact], count: int) -> dict[str, tuple[Fact, ...]]:
    """The first facts of each benchmark, and of those that the model was taught and no editor practised on."""
    asked = (
        tuple(own[:count]),
        CounterFact(str(data / "counterfact"), count).request().facts,
        ZsRE(str(data / "zsre"), count).request().facts,
        KnowEdit(str(data / "knowedit"), "zsre", count).request().facts,
    )
    return dict(zip(BENCHMARKS, asked, strict=True))


def ready(lm: LM, name: str, options: Mapping[str, Any]) -> Any:
    """A method; the beginnings that it puts a fact behind follow from model and seed alone, so they are written once."""
    made = make_method(name, options)
    lengths = getattr(import_module(type(made).__module__), "LENGTHS", None)
    return made if lengths is None else replace(made, forms=contexts(lm, lengths, seed=made.seed))


def before(lm: LM, facts: Sequence[Fact]) -> list[tuple[Evidence, Values]]:
    """What the model as it was says about each fact."""
    found = []
    for fact in facts:
        evidence = Evidence(lm, fact_sets([fact]), name=NONE, max_new=NEW)
        if "neighbours" in evidence.sets:
            evidence.generated("neighbours")
        found.append((evidence, _asked(evidence)))
    return found


def corrected(
    lm: LM, method: Any, facts: Sequence[Fact], then: Sequence[tuple[Evidence, Values]]
) -> dict[str, list[Any]]:
    """What each column has for each fact, why a correction failed, and the seconds that the others took.

    A method is given the fact alone: nothing that is asked afterwards.
    """
    rows: list[Values] = []
    failed: list[str] = []
    spent: list[float] = []
    for fact, (original, _) in zip(facts, then, strict=True):
        began = perf_counter()
        try:
            edit = method(lm, Request(facts=(replace(fact, rephrasings=(), locality=(), portability=()),)))
        except InputError as refused:
            failed.append(str(refused))
            continue
        spent.append(perf_counter() - began)
        with edit.on(lm):
            rows.append(_asked(Evidence(lm, original.sets, name="edited", original=original, max_new=NEW)))
    return {"rows": rows, "failed": failed, "seconds": spent}


def _asked(evidence: Evidence) -> Values:
    wanted = [("reliability", "facts"), ("romescore", "facts"), ("ngramentropy", "facts"), ("locality", "neighbours")]
    evidence.gather((build("metric", m, {}).needs, s) for m, s in wanted if s in evidence.sets)
    found = {name: column(evidence) for name, column in COLUMNS.items()}
    evidence.close()
    return found


def means(rows: Sequence[Values]) -> dict[str, Mean]:
    """The mean of each column over the facts that have a value there, and S of those of ES, PS and NS."""
    found = dict(_means(rows))
    if {"ES", "PS", "NS"} <= found.keys():
        parts = [found[part] for part in ("ES", "PS", "NS")]
        found["S"] = Mean(harmonic_mean([p.value for p in parts]), None, None, min(p.n for p in parts))
    return found


def _means(rows: Sequence[Values]) -> Iterator[tuple[str, Mean]]:
    for name in COLUMNS:
        values = [value for row in rows if (value := row[name]) is not None]
        if values:
            low, high = bootstrap_mean(values) or (None, None)
            yield name, Mean(sum(values) / len(values), low, high, len(values))
