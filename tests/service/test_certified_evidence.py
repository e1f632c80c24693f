"""What was measured stands in a certificate as the report says it, without a row, and is checked against that report."""

import json
from dataclasses import replace
from pathlib import Path

import pytest
from issued import KEY, KEYS, RECORDS, deletion, digest, issued, report
from stores import micro, rows

from unteach.audit.suite import of
from unteach.report import from_json
from unteach.report import read as read_report
from unteach.schema import InputError, Record
from unteach.service import keys, verify
from unteach.service.auditing import auditable, audited, released, report_of
from unteach.service.certifying import certify
from unteach.service.deletion import Desk, advance
from unteach.service.evidence import contradicted, evidence
from unteach.service.predicate import Audited, Entry, Statement
from unteach.service.requests import receive
from unteach.service.statement import sign
from unteach.service.store import opened

EDITED = digest(b"edited")
QUICK = of("probability", "exactmemorization", max_new=4)


def resting(audit: Audited | None) -> Statement:
    """A certificate that rests on some evidence."""
    said = issued()
    return replace(said, predicate=replace(said.predicate, deletion=replace(deletion(Entry(3, EDITED)), audit=audit)))


def test_a_score_stands_beside_the_model_before_and_the_retrained_one() -> None:
    found = evidence(report(), EDITED)
    (score,), (attack,) = found.scores, found.attacks
    assert (score.set, score.metric, score.value, score.low, score.high, score.n) == (
        "forget", "probability", 0.02, 0.01, 0.03, 2
    )  # fmt: skip
    assert (score.baseline, score.reference) == (0.9, 0.03)
    assert (attack.value, attack.before, attack.baseline, attack.reference) == (0.3, 0.02, None, 0.28)
    assert found.verdict == "forgotten"
    assert [(g.threshold, g.passed) for g in found.gates] == [(0.1, True), (1.1, None)]
    assert found.report == digest(report())
    alone = evidence(report(), digest(b"original"))  # a model without a verdict stands beside the retrained one only
    assert (alone.verdict, alone.gates, alone.scores[0].baseline, alone.scores[0].reference) == (None, (), None, 0.03)


def test_no_row_of_the_report_comes_into_the_certificate() -> None:
    assert all(name.encode() in report() for name in RECORDS)
    signed = sign(resting(evidence(report(), EDITED)), KEY)
    members = json.dumps(verify.certificate(signed, KEYS).predicate.deletion.audit, default=vars)
    assert not [name for name in RECORDS if name in members]
    assert "per_record" not in members


def test_the_report_of_another_model_is_no_evidence() -> None:
    with pytest.raises(InputError, match="another model than the one"):
        evidence(report(), digest(b"a quantised copy"))
    with pytest.raises(InputError, match="not UTF-8"):
        evidence(b"\xff", EDITED)


def test_a_report_is_told_from_every_other() -> None:
    said = resting(evidence(report(), EDITED))
    assert verify.reported(said, report()).passed
    other = report().replace(b'"Audit"', b'"Other"')
    assert other != report()
    found = verify.reported(said, other)
    assert (found.passed, "is not the report" in found.said) == (False, True)
    lied = replace(evidence(report(), EDITED), scores=())  # the right report, and scores left out
    found = verify.reported(resting(lied), report())
    assert (found.passed, "says something else" in found.said) == (False, True)
    with pytest.raises(InputError, match="rests on no audit"):
        verify.reported(resting(None), report())


def test_evidence_that_contradicts_itself_is_seen() -> None:
    good = evidence(report(), EDITED)
    assert not contradicted(good)
    gates = (replace(good.gates[0], passed=False), *good.gates[1:])
    assert contradicted(replace(good, gates=gates))
    assert not contradicted(replace(good, gates=gates, verdict="not forgotten"))
    assert contradicted(replace(good, attacks=(replace(good.attacks[0], low=0.5),)))


def test_a_release_is_audited_before_its_rows_go_and_the_certificate_says_so(place: Path, tmp_path: Path) -> None:
    unseen = [Record(f"unseen-{n}", r.prompt, r.answer[::-1]) for n, r in enumerate(rows()[:4])]
    with opened(place) as store:
        desk = Desk(store, micro())
        request = receive(store, [r.id for r in rows() if r.subject == "subject-2"], "record")
        advance(desk, request, until="released")
        page = audited(desk, request, tmp_path / "audits", unseen, QUICK)
        again = report_of(store, request).read_bytes()
        assert audited(desk, request, tmp_path / "audits", unseen, QUICK) == page  # after a kill: kept
        advance(desk, request)
        auditable(store, request)
        file, worn = certify(desk, request), released(desk, request).worn_digest
        assert report_of(store, request).read_bytes() == again
    said = verify.certificate(file.read_bytes(), keys.trusted(place / "issuer" / "key.pem.pub", "issuer"))
    audit = said.predicate.deletion.audit
    assert audit is not None
    assert audit.model == worn
    assert {(s.set, s.n) for s in audit.scores if s.metric == "probability"} == {
        ("forget", 3),
        ("retain", 16),
        ("holdout", 4),
    }
    assert all(s.baseline is not None for s in audit.scores)
    assert any(s.baseline != s.value for s in audit.scores if s.set == "forget")
    assert audit.verdict == read_report(page.parent).verdicts["edited"].verdict
    assert verify.reported(said, (page.parent / "report.json").read_bytes()).passed
    assert verify.entry(said, place).passed
    for text in (file.read_text(), again.decode()):
        assert not [r for r in rows() if r.id in text or r.prompt in text or f'"{r.answer}"' in text]
    assert from_json(again.decode()).masked


def test_rows_that_are_gone_cannot_be_asked(place: Path) -> None:
    with opened(place) as store:
        request = receive(store, ["person-4"], "record")
        auditable(store, request)
        advance(Desk(store, micro()), request)
        with pytest.raises(InputError, match="are destroyed"):
            auditable(store, request)
        assert report_of(store, request).exists() is False
        said = verify.certificate(
            certify(Desk(store, micro()), request).read_bytes(),
            keys.trusted(place / "issuer" / "key.pem.pub", "issuer"),
        )
    assert said.predicate.deletion.audit is None
    assert "No attack was made" in " ".join(said.predicate.deletion.not_tested)
