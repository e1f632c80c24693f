"""What a report of an audit says of one model, as a certificate has it: scores, gates and attacks, and no row.

The report goes by its SHA-256, so that whoever is given it can tell that it is the one that was meant.
"""

from hashlib import sha256
from typing import NamedTuple

from unteach.report.files import from_json
from unteach.schema import Finding, InputError, Report, Row
from unteach.service.predicate import Attacked, Audited, Measured, Tested


class Roles(NamedTuple):
    """What the models of a report are called: the one that is certified, the one before, one trained without the rows."""

    edited: str
    original: str | None
    retrained: str | None


def evidence(content: bytes, model: str, what: str = "the report") -> Audited:
    """The evidence in a report's file for the model with a digest; other models stand beside it."""
    try:
        report = from_json(content.decode())
    except UnicodeDecodeError:
        raise InputError(f"{what} is not UTF-8; take an undamaged copy or run the audit again") from None
    roles = _roles(report, model, what)
    verdict = report.verdicts.get(roles.edited)
    return Audited(
        sha256(content).hexdigest(),
        model,
        verdict.verdict if verdict else None,
        tuple(_measured(row, report, roles) for row in report.scores if row.model == roles.edited),
        tuple(Tested(g.name, g.value, g.threshold, g.passed) for g in (verdict.gates if verdict else ())),
        tuple(_attacked(found, report, roles) for found in report.attacks if found.model == roles.edited),
        report.untested,
    )


def contradicted(audit: Audited) -> bool:
    """Whether the evidence says two things at once: an interval upside down, or forgotten beside a gate that did not hold."""
    measured: tuple[Measured | Attacked, ...] = (*audit.scores, *audit.attacks)
    upside_down = any(m.low is not None and m.high is not None and m.low > m.high for m in measured)
    failed = any(gate.passed is False for gate in audit.gates)
    unmeasured = any(gate.value is None and gate.passed for gate in audit.gates)
    return upside_down or unmeasured or (audit.verdict == "forgotten" and failed)


def _roles(report: Report, model: str, what: str) -> Roles:
    by_role = {about.get("role"): name for name, about in reversed([*report.models.items()])}  # the first of several
    mine = [name for name, about in report.models.items() if about.get("digest") == model]
    if not mine:
        raise InputError(f"{what} is of another model than the one that is certified; audit that one")
    edited = next((name for name in mine if report.models[name].get("role") == "edited"), mine[0])
    beside = (by_role.get(role) for role in ("original", "retrained"))
    return Roles(edited, *(name if name != edited else None for name in beside))


def _measured(row: Row, report: Report, roles: Roles) -> Measured:
    same = {r.model: r.score.value for r in report.scores if (r.set, r.score.name) == (row.set, row.score.name)}
    score, (before, goal) = row.score, (same.get(name or "") for name in roles[1:])
    return Measured(
        row.set, score.name, score.value, score.low, score.high, score.n, score.direction, before, goal
    )  # fmt: skip


def _attacked(found: Finding, report: Report, roles: Roles) -> Attacked:
    same = {f.model: f.value for f in report.attacks if f.attack == found.attack}
    before, goal = (same.get(name or "") for name in roles[1:])
    return Attacked(
        found.attack, found.holds, found.measure, found.value, found.low, found.high, found.n, found.before, before, goal
    )  # fmt: skip
