"""Certificates that every verifier must take, and such as every verifier must refuse: `python tests/service/vectored.py`.

They are signed by a key whose private half anybody can make, so they certify nothing.
"""

import json
from base64 import b64encode
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from issued import CLAIMS, ISSUER, KEY, NOON, OTHER, digest, issued

from unteach.service import envelope, revocation
from unteach.service.canonical import canonical
from unteach.service.revocation import Revocations
from unteach.service.statement import PAYLOAD, schema, sign, written

PLACE = Path(__file__).parent / "vectors"
SCHEMA = Path(envelope.__file__).parent / "schema" / "deletion-certificate-v1.schema.json"
REVOCATIONS = SCHEMA.with_name("revocations-v1.schema.json")
LATER = "2026-05-06T07:08:09Z"
Said = dict[str, Any]


def edited(edit: Callable[[Said], object], kind: str = "retrain-equal") -> bytes:
    """A statement that its issuer signed though it should not be."""
    said: Said = json.loads(written(issued(kind)))
    edit(said)
    return envelope.sign(canonical(said), PAYLOAD, KEY)


def _whole() -> Said:
    return json.loads(sign(issued(), KEY))


def _signature(**members: str) -> bytes:
    whole = _whole()
    return canonical({**whole, "signatures": [{**whole["signatures"][0], **members}]})


def _stray_bit(text: str) -> str:
    """The same bytes in base64, with a bit set that nothing reads."""
    letters = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/"
    bare = text.rstrip("=")
    return bare[:-1] + letters[letters.index(bare[-1]) + 1] + "=" * (len(text) - len(bare))


def envelopes() -> Mapping[str, bytes]:
    """Refused for the envelope: its form, its signature, its key."""
    good, whole = sign(issued(), KEY), _whole()
    inner = written(issued())
    (signature,) = whole["signatures"]
    theirs = json.loads(envelope.sign(inner, PAYLOAD, OTHER))
    spaced = json.dumps(json.loads(inner)).encode()
    return {
        "empty": b"",
        "cut": good[:-1],
        "trailing-newline": good + b"\n",
        "byte-order-mark": b"\xef\xbb\xbf" + good,
        "indented": json.dumps(whole, indent=1).encode(),
        "keys-in-another-order": json.dumps(dict(reversed(whole.items())), separators=(",", ":")).encode(),
        "key-twice": good.replace(b'"payloadType"', b'"payload":"","payloadType"', 1),
        "extra-member": canonical({**whole, "note": "x"}),
        "no-signature": canonical({**whole, "signatures": []}),
        "two-signatures": canonical({**whole, "signatures": [signature] * 2}),
        "another-payload-type": canonical({**whole, "payloadType": "application/json"}),
        "base64-without-padding": _signature(sig=signature["sig"].rstrip("=")),
        "base64-stray-bits": _signature(sig=_stray_bit(signature["sig"])),
        "base64-for-urls": _signature(sig=signature["sig"].replace("+", "-").replace("/", "_")),
        "signature-of-another-key": _signature(sig=theirs["signatures"][0]["sig"]),
        "unknown-key-id": _signature(keyid="0" * 64),
        "signed-without-its-type": _signature(sig=b64encode(KEY.sign(inner)).decode()),
        "altered-payload": canonical({**whole, "payload": b64encode(inner.replace(b"req_01", b"req_02")).decode()}),
        "signed-by-another": envelope.sign(inner, PAYLOAD, OTHER),
        "payload-not-canonical": envelope.sign(spaced, PAYLOAD, KEY),
        "payload-key-twice": envelope.sign(inner.replace(b'"_type"', b'"_type":"","_type"', 1), PAYLOAD, KEY),
        "payload-with-nan": envelope.sign(inner.replace(b'"shards":4', b'"shards":NaN'), PAYLOAD, KEY),
    }


def statements() -> Mapping[str, bytes]:
    """Signed as they should be, and refused for what they say; the JSON Schema refuses their payload too."""
    return {
        "another-statement-type": edited(lambda s: s.update(_type="https://in-toto.io/Statement/v0.1")),
        "another-predicate-type": edited(lambda s: s.update(predicateType="https://slsa.dev/provenance/v1")),
        "no-subject": edited(lambda s: s.update(subject=[])),
        "subject-without-digest": edited(lambda s: s["subject"][0].update(digest={})),
        "digest-in-capitals": edited(lambda s: s["subject"][0].update(digest={"sha256": "A" * 64})),
        "no-guarantee": edited(lambda s: s["predicate"].pop("guarantee")),
        "unknown-class": edited(lambda s: s["predicate"]["guarantee"].update(kind="proven")),
        "number-as-text": edited(lambda s: s["predicate"]["guarantee"].update(numbers={"epsilon": "0.5"})),
        "no-limits": edited(lambda s: s["predicate"].update(not_covered=[])),
        "extra-claim": edited(lambda s: s["predicate"].update(gdpr_compliant=True)),
        "no-commitments": edited(lambda s: s["predicate"]["deletion"]["request"].update(commitments=[])),
        "plain-ids": edited(lambda s: s["predicate"]["deletion"]["request"].update(commitments=["row-7311"])),
        "request-id-with-spaces": edited(lambda s: s["predicate"]["deletion"]["request"].update(id="Mira Oldfield")),
        "local-time": edited(lambda s: s["predicate"].update(issued_at="2026-03-02 12:00")),
        "line-zero": edited(lambda s: s["predicate"]["deletion"]["log"].update(seq=0)),
        "negative-hits": edited(lambda s: s["predicate"]["deletion"]["disposal"].update(hits=-1)),
        "unknown-state": edited(lambda s: s["predicate"]["deletion"]["superseded"][0].update(state="gone")),
        "missing-member": edited(lambda s: s["predicate"].pop("previous")),
        "audit-without-report": edited(lambda s: s["predicate"]["deletion"]["audit"].pop("report")),
        "another-verdict": edited(lambda s: s["predicate"]["deletion"]["audit"].update(verdict="clean")),
        "score-by-row": edited(lambda s: s["predicate"]["deletion"]["audit"]["scores"][0].update(per_record={"a": 1})),
        "another-role": edited(lambda s: s["predicate"]["issuer"].update(role="auditor")),
    }


def readers() -> Mapping[str, bytes]:
    """Signed as they should be, and refused for what no schema can say."""
    failed, turned = {"passed": False}, {"low": 0.9, "high": 0.1}
    too_much = {"claim": "The records are erased and the model is anonymous."}
    return {
        "issuer-names-another-key": edited(lambda s: s["predicate"]["issuer"].update(key_id="0" * 64)),
        "subject-twice": edited(lambda s: s["subject"].append(s["subject"][0])),
        "forgotten-against-a-gate": edited(lambda s: s["predicate"]["deletion"]["audit"]["gates"][0].update(failed)),
        "gate-held-unmeasured": edited(lambda s: s["predicate"]["deletion"]["audit"]["gates"][1].update(passed=True)),
        "interval-upside-down": edited(lambda s: s["predicate"]["deletion"]["audit"]["scores"][0].update(turned)),
        "suppression-called-erased": edited(lambda s: s["predicate"]["guarantee"].update(too_much), "suppression"),
        "measured-called-anonymous": edited(lambda s: s["predicate"].update(summary="Now anonymous."), "empirical"),
    }


def checkpoint() -> bytes:
    """Signed by the right key, as something else than a certificate."""
    return envelope.sign(canonical({"hash": "0" * 64, "seq": 0, "ts": NOON}), "application/json", KEY)


def listed(*kinds: str) -> Revocations:
    """A list that takes back the certificates of some classes, one after another."""
    found = Revocations(revocation.KIND, ISSUER, NOON, ())
    for kind, reason in zip(kinds, revocation.REASONS, strict=False):
        said = issued(kind)
        found = revocation.revoke(said, digest(sign(said, KEY)), reason, LATER, KEY, found)
    return found


def _list(edit: Callable[[Said], object]) -> bytes:
    """A list that its issuer signed though it should not be."""
    said: Said = json.loads(revocation._payload(listed("none", "certified")))
    edit(said)
    return envelope.sign(canonical(said), revocation.PAYLOAD, KEY)


def revocations() -> Mapping[str, bytes]:
    """Lists to take, and lists to refuse: `envelope` for how they are signed, `list` by the schema too, `reader` without it."""
    good = revocation.sign(listed("none", "certified"), KEY)
    payload = revocation._payload(listed("none", "certified"))
    return {
        "valid/empty": revocation.sign(listed(), KEY),
        "valid/one": revocation.sign(listed("none"), KEY),
        "valid/several": revocation.sign(listed("none", "certified", "empirical", "suppression"), KEY),
        "invalid/envelope.cut": good[:-1],
        "invalid/envelope.trailing-newline": good + b"\n",
        "invalid/envelope.signed-by-another": envelope.sign(payload, revocation.PAYLOAD, OTHER),
        "invalid/envelope.certificate": sign(issued(), KEY),
        "invalid/envelope.signed-as-a-certificate": envelope.sign(payload, PAYLOAD, KEY),
        "invalid/list.another-type": _list(lambda s: s.update(_type="https://unteach.dev/revocations/v2")),
        "invalid/list.no-issuer": _list(lambda s: s.pop("issuer")),
        "invalid/list.no-moment": _list(lambda s: s.pop("issued_at")),
        "invalid/list.reason-in-free-words": _list(lambda s: s["revoked"][0].update(reason="Mira Oldfield is back")),
        "invalid/list.certificate-by-name": _list(lambda s: s["revoked"][0].update(certificate="crt_01")),
        "invalid/list.local-time": _list(lambda s: s["revoked"][0].update(revoked_at="2026-05-06 07:08")),
        "invalid/list.extra-member": _list(lambda s: s["revoked"][0].update(note="x")),
        "invalid/reader.issuer-names-another-key": _list(lambda s: s["issuer"].update(key_id="0" * 64)),
        "invalid/reader.certificate-twice": _list(lambda s: s["revoked"].append(s["revoked"][0])),
        "invalid/reader.revoked-after-it-was-signed": _list(lambda s: s.update(issued_at=NOON)),
    }


def files() -> Mapping[Path, bytes]:
    """Every vector, the public key, and the schema, by their paths."""
    kinds = {"envelope": {**envelopes(), "checkpoint": checkpoint()}, "statement": statements(), "reader": readers()}
    found = {
        PLACE / "invalid" / f"{kind}.{name}.json": data for kind, made in kinds.items() for name, data in made.items()
    }
    found |= {PLACE / "valid" / f"{kind}.json": sign(issued(kind), KEY) for kind in CLAIMS}
    found[PLACE / "issuer.pub"] = KEY.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
    found |= {PLACE / "revocations" / f"{name}.json": data for name, data in revocations().items()}
    found[REVOCATIONS] = (json.dumps(revocation.schema(), indent=1) + "\n").encode()
    found[SCHEMA] = (json.dumps(schema(), indent=1) + "\n").encode()
    return found


if __name__ == "__main__":
    for path, data in files().items():
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)
