"""Every model is asked every metric once, and attacked once; what comes back is kept as JSON."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from functools import cache, partial
from pathlib import Path
from time import perf_counter, process_time
from typing import Any

from benchmarks.meta_audit.making import folder_of, original, worn
from benchmarks.meta_audit.pool import FIRST_REFERENCE, Member
from benchmarks.meta_audit.world import MAX_NEW, World
from unteach.audit.attacked import attacked
from unteach.audit.evidence import Evidence
from unteach.audit.models import Opens
from unteach.audit.suite import FULL, Suite
from unteach.report.atomic import folder, put
from unteach.schema import Finding, Record, Row, Score

UNFIT = {"multiplechoice", "knowmem"}  # letters and ten examples ask for larger models
METRICS = tuple(name for name, _ in FULL.metrics if name not in UNFIT)
ATTACKS: Sequence[tuple[str, Mapping[str, Any]]] = (
    ("paraphrase", {}),
    ("crosslingual", {"languages": ("ru",)}),
    ("prefix", {}),
    ("obfuscate", {"kinds": ("typos", "case", "spaces")}),
    ("sampling", {"samples": 6}),
    ("quantise", {}),
    ("relearn", {"lr": (1e-3, 3e-3), "epochs": 3}),
    ("adapterremoval", {}),
)


def ask(member: Member, world: World, out: Path, metrics: tuple[str, ...] = METRICS) -> None:
    """Score and attack a model, unless that was done; the time it took goes beside."""
    place = _place(member, out)
    if place.exists():
        return
    began, spent = perf_counter(), process_time()
    opened = partial(worn, member, world, out)
    rows, _ = interview(opened, world, metrics, *_compared_with(world, out, metrics))
    base = original(0 if member.known is not None else member.seed, out)
    found = attacked({"original": base, "mine": opened}, world.rows, ATTACKS, most=MAX_NEW)
    kept = {
        "family": member.family,
        "scores": [{"set": r.set, **asdict(r.score)} for r in rows],
        "attacks": [asdict(f) for f in found],
        "seconds": perf_counter() - began,
        "processor seconds": process_time() - spent,
    }
    put(folder(place.parent) / place.name, json.dumps(kept).encode())


def interview(
    opened: Opens, world: World, metrics: Sequence[str], retrained: Evidence | None = None,
    before: Evidence | None = None, *, forget: Sequence[Record] = (),
) -> tuple[list[Row], Evidence]:  # fmt: skip
    """What one model scores on every set, beside a retrained model and an original that were asked before.

    `forget` are the rows of that set that are asked, where that is not all of them.
    """
    made = Suite(tuple((name, {}) for name in metrics), MAX_NEW).build()
    sets = {**world.sets, "forget": tuple(forget) or world.sets["forget"]}
    with opened() as lm:
        evidence = Evidence(
            lm,
            sets,
            name="mine",
            roles=world.roles,
            retrained=retrained,
            original=before,
            max_new=MAX_NEW,
            again=opened,
        )
        wanted = [(m, s) for s in evidence.sets for m in made if evidence.roles[s] in m.directions]
        evidence.gather((m.needs, s) for m, s in wanted)
        rows = [Row("mine", s, m(evidence, s)) for m, s in wanted]
        evidence.close()
    return rows, evidence


@cache
def _compared_with(world: World, out: Path, metrics: tuple[str, ...]) -> tuple[Evidence, Evidence]:
    """The first reference and the first original; once in each process."""
    reference, first = (
        Member(f"{w} {s}", w, s, known=k) for w, s, k in (("retrained", FIRST_REFERENCE, 0), ("original", 0, 10))
    )
    _, retrained = interview(partial(worn, reference, world, out), world, metrics)
    _, before = interview(partial(worn, first, world, out), world, metrics)
    return retrained, before


def _place(member: Member, out: Path) -> Path:
    return out / "asked" / f"{folder_of(member, out).name}.json"


def read(member: Member, out: Path) -> tuple[list[Row], list[Finding], dict[str, float]]:
    """What was kept of a model: its scores, what attacks brought back, and the seconds."""
    kept = json.loads(_place(member, out).read_text(encoding="utf-8"))
    rows = [Row("mine", s.pop("set"), Score(**s)) for s in kept["scores"]]
    found = [Finding(**f) for f in kept["attacks"]]
    return rows, found, {k: kept[k] for k in ("seconds", "processor seconds")}
