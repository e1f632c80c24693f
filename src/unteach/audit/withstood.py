"""What attacks say about a verdict: a model that gives way where the retrained one does not has forgotten nothing."""

from collections.abc import Iterable, Sequence
from dataclasses import replace

from unteach.audit.models import RETRAINED
from unteach.audit.untested import ATTACKS
from unteach.schema import Finding, Gate, Report, Verdict

MARGIN = 0.10  # of the way back to the original, beyond the retrained model
ABOUT_LOGS = {"distance"}  # measures that say nothing of what a model knows


def withstood(report: Report) -> Report:
    """The report with a gate for every attack on an edited model, and a verdict that heeds them."""
    verdicts = {
        model: _heeding(
            verdict, [gate for f in report.attacks if f.model == model for gate in _gate(f, report.attacks)]
        )
        for model, verdict in report.verdicts.items()
    }
    made = {f.attack for f in report.attacks if f.n and f.model != RETRAINED}
    left = tuple(line for line in report.untested if made.isdisjoint(ATTACKS.get(line, ())))
    return replace(report, verdicts=verdicts, untested=left)


def _heeding(verdict: Verdict, gates: Sequence[Gate]) -> Verdict:
    gone = [g.name for g in gates if g.passed is False]
    gates = (*verdict.gates, *gates)
    if gone and verdict.verdict in ("forgotten", "inconclusive"):
        reason = f"What seemed forgotten comes back, and not from a retrained model: {', '.join(gone)}."
        return Verdict("not forgotten", gates, reason)
    return replace(verdict, gates=gates)


def _gate(finding: Finding, findings: Iterable[Finding]) -> Iterable[Gate]:
    """Nothing for an attacker who holds the model before as well, and so the answers; nor for what concerns logs."""
    if not finding.n or finding.holds == "both models" or finding.measure in ABOUT_LOGS:
        return
    control = next((f for f in findings if f.model == RETRAINED and f.attack == finding.attack and f.n), None)
    name = f"attack {finding.attack}"
    if control is None or finding.excess is None:
        why = "no retrained model to compare with" if control is None else "there was nothing to bring back"
        yield Gate(name, None, finding.recovered, MARGIN, why)
        return
    clear = finding.low is not None and control.high is not None and finding.low > control.high
    note = f"beyond the retrained model under the same attack; {finding.note}"
    yield Gate(name, not (clear and finding.excess > MARGIN), finding.excess, MARGIN, note)
