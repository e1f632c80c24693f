"""A certificate for people, line by line."""

from collections.abc import Iterator

from unteach.service.predicate import Audited, Statement

WORDS = {True: "held", False: "did not hold", None: "could not be measured"}


def lines(said: Statement) -> Iterator[str]:
    """What a certificate claims, what was measured, and what it does not cover."""
    about, request = said.predicate, said.predicate.deletion.request
    yield f"certificate {about.id}, issued {about.issued_at}"
    yield f"request {request.id}: received {request.received_at}, in effect {request.effective_at}"
    yield f"class: {about.guarantee.kind}. {about.summary}"
    yield f"claim: {about.guarantee.claim or 'none'}"
    audit = about.deletion.audit
    yield from _evidence(audit) if audit is not None else ()
    yield from (f"not covered: {line}" for line in about.not_covered)
    untested = (*about.deletion.not_tested, *(audit.untested if audit is not None else ()))
    yield from (f"not tested: {line}" for line in untested)


def _evidence(audit: Audited) -> Iterator[str]:
    yield f"audit: {audit.verdict or 'no verdict'}; the report has the SHA-256 {audit.report}"
    for score in audit.scores:
        figure, beside = _figure(score.value, score.low, score.high), _beside(score.baseline, score.reference)
        yield f"measured: {score.metric} on {score.set}, {figure}, {score.n} rows{beside}"
    for gate in audit.gates:
        asked = f", asked for {gate.threshold:.4g}" if gate.threshold is not None else ""
        yield f"gate: {gate.name}, {_figure(gate.value)}{asked}: {WORDS[gate.passed]}"
    for found in audit.attacks:
        figure = _figure(found.value, found.low, found.high)
        yield f"attack: {found.attack} by who holds {found.holds}, {figure}{_beside(found.baseline, found.reference)}"


def _figure(value: float | None, low: float | None = None, high: float | None = None) -> str:
    if value is None:
        return "no value"
    return f"{value:.4g}" + (f" ({low:.4g} to {high:.4g})" if low is not None and high is not None else "")


def _beside(baseline: float | None, reference: float | None) -> str:
    before = f"; before {baseline:.4g}" if baseline is not None else ""
    return before + (f"; trained without {reference:.4g}" if reference is not None else "")
