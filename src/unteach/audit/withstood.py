"""What attacks say about a verdict: a model that gives way where the retrained one does not has forgotten nothing."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace

from unteach.audit.attacked import beyond
from unteach.audit.models import RETRAINED, is_retrained
from unteach.audit.panel import agreed
from unteach.audit.untested import ATTACKS
from unteach.schema import Finding, Gate, Report, Verdict

MARGIN = 0.10  # of the way back to the original, beyond the retrained model
ABOUT_LOGS = {"distance"}  # measures that say nothing of what a model knows


def withstood(report: Report) -> Report:
    """The report with a gate for every attack on an edited model, and a verdict that heeds them."""
    references = [name for name in report.models if is_retrained(name)]
    verdicts = {}
    for model, verdict in report.verdicts.items():
        mine = [f for f in report.attacks if f.model == model]
        beside = zip(verdict.beside or (verdict,), references or [RETRAINED], strict=False)
        verdicts[model] = agreed([_heeding(v, [*_gates(mine, report.attacks, r)]) for v, r in beside])
    made = {f.attack for f in report.attacks if f.n and not is_retrained(f.model)}
    left = tuple(line for line in report.untested if made.isdisjoint(ATTACKS.get(line, ())))
    return replace(report, verdicts=verdicts, untested=left)


def _heeding(verdict: Verdict, gates: Sequence[Gate]) -> Verdict:
    gone = [g.name for g in gates if g.passed is False]
    gates = (*verdict.gates, *gates)
    if gone and verdict.verdict in ("forgotten", "inconclusive"):
        reason = f"What seemed forgotten comes back, and not from a retrained model: {', '.join(gone)}."
        return Verdict("not forgotten", gates, reason)
    return replace(verdict, gates=gates)


def _gates(mine: Iterable[Finding], findings: Iterable[Finding], reference: str) -> Iterator[Gate]:
    """Nothing for an attacker who holds the model before as well, and so the answers; nor for what concerns logs."""
    controls = {f.attack: f for f in findings if f.model == reference and f.n}
    for found in mine:
        if found.n and found.holds != "both models" and found.measure not in ABOUT_LOGS:
            control = controls.get(found.attack)
            yield _gate(beyond(found, control), control)


def _gate(finding: Finding, control: Finding | None) -> Gate:
    name = f"attack {finding.attack}"
    if control is None or finding.excess is None:
        why = "no retrained model to compare with" if control is None else "there was nothing to bring back"
        return Gate(name, None, finding.recovered, MARGIN, why)
    clear = finding.low is not None and control.high is not None and finding.low > control.high
    note = f"beyond the retrained model under the same attack; {finding.note}"
    return Gate(name, not (clear and finding.excess > MARGIN), finding.excess, MARGIN, note)
