"""The audit's own verdict on every model of the pool, beside retrained references one after another.

Scores and what attacks bring back were kept, and a verdict is a function of them: so each model can be judged beside
every reference, and each reference beside every other one.
"""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from benchmarks.meta_audit.asking import read
from benchmarks.meta_audit.pool import Member
from unteach.audit.panel import most
from unteach.audit.verdict import verdict
from unteach.audit.withstood import withstood
from unteach.schema import Finding, Report, Row, Verdict

PANEL = 3  # references that a verdict rests on, where there are so many


@dataclass(frozen=True)
class Heard:
    """What is known of one model: its scores, and what attacks brought back."""

    member: Member
    rows: tuple[Row, ...]
    found: tuple[Finding, ...]

    def values(self) -> Mapping[tuple[str, str], float]:
        """Every score that has a value, by set and metric."""
        return {(r.set, r.score.name): r.score.value for r in self.rows if r.score.value is not None}


def heard(members: Iterable[Member], out: Path) -> list[Heard]:
    """All models of the pool, as they were asked."""
    return [Heard(m, tuple(rows), tuple(found)) for m in members for rows, found, _ in [read(m, out)]]


def judge(mine: Heard, original: Heard, retrained: Heard, roles: Mapping[str, str]) -> tuple[Verdict, Verdict]:
    """The verdict on one model beside one reference: from scores alone, and heeding the attacks."""
    named = {"mine": mine, "original": original, "retrained": retrained}
    rows = tuple(replace(r, model=name) for name, one in named.items() for r in one.rows)
    plain = verdict(rows, "mine", roles=roles, guarded=bool(mine.member.guards))
    attacks = (*(replace(f, model="retrained") for f in retrained.found), *mine.found)
    report = Report("", {}, {}, {"mine": plain}, (), attacks=attacks)
    return plain, withstood(report).verdicts["mine"]


@dataclass(frozen=True)
class Judged:
    """The verdicts on one model beside several references: how often each word, and how often each gate did not hold."""

    member: Member
    words: Counter[str]
    failed: Counter[str]
    panels: Counter[str] = field(default_factory=Counter)  # the word of two of three references, three after three

    @property
    def judged(self) -> int:
        return self.words.total()

    @property
    def passed(self) -> int:
        """How often the model was called forgotten."""
        return self.words["forgotten"]


def judge_all(
    pool: Sequence[Heard], roles: Mapping[str, str], *, beside: int
) -> tuple[list[Judged], list[Judged]]:  # fmt: skip
    """Every model beside so many references, none beside itself: by scores alone, and heeding the attacks.

    What was taught from a newborn has no original of its own; it is judged beside the first.
    """
    originals = {h.member.seed: h for h in pool if h.member.family == "original"}
    references = [h for h in pool if h.member.family == "retrained"]
    plain, heeding = [], []
    for n, mine in enumerate(pool):
        original = originals[mine.member.seed if mine.member.known is None else min(originals)]
        at = n % len(references)
        others = [r for r in (*references[at:], *references[:at]) if r is not mine][:beside]
        pairs = [judge(mine, original, r, roles) for r in others]
        plain.append(_counted(mine.member, [before for before, _ in pairs]))
        heeding.append(_counted(mine.member, [after for _, after in pairs]))
    return plain, heeding


def _counted(member: Member, verdicts: Sequence[Verdict]) -> Judged:
    failed = (g.name for v in verdicts for g in v.gates if g.passed is False)
    words = [v.verdict for v in verdicts]
    panels = (words[at : at + PANEL] for at in range(0, len(words) - PANEL + 1, PANEL))
    return Judged(member, Counter[str](words), Counter(failed), Counter(map(most, panels)))
