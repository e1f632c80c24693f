"""Certificates that their issuer takes back, in one signed list.

A signature stays good for ever, so that a certificate no longer holds has to be said elsewhere: in a list that the issuer
signs with the same key, and that whoever verifies asks the issuer for. It names certificates by the SHA-256 of their files.
The reasons are words of a fixed list, so that nothing of a record comes in.
"""

from dataclasses import dataclass, replace
from datetime import datetime
from typing import Annotated, Any, ClassVar, Literal

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from pydantic import ConfigDict, Field, TypeAdapter, ValidationError

from unteach.schema import InputError
from unteach.service import envelope
from unteach.service.canonical import Rejected, canonical, parse
from unteach.service.envelope import Keys
from unteach.service.keys import key_id
from unteach.service.predicate import STRICT, Digest, Issuer, Moment, Statement, Token

PAYLOAD = "application/vnd.unteach.revocations.v1+json"
KIND: Literal["https://unteach.dev/revocations/v1"] = "https://unteach.dev/revocations/v1"
EVENT = "revoked"  # what a ledger calls it
Reason = Literal["mistaken", "returned", "untrusted", "key"]
REASONS: dict[Reason, str] = {
    "mistaken": "it says what is not so",
    "returned": "the records came back into what is served",
    "untrusted": "the issuer no longer vouches for how it was made",
    "key": "somebody else may have signed with the key",
}


@dataclass(frozen=True)
class Revoked:
    """A certificate, by its id and the SHA-256 of its file; since when it no longer holds, and why."""

    id: Token
    certificate: Digest
    revoked_at: Moment
    reason: Reason


@dataclass(frozen=True)
class Revocations:
    """Every certificate that an issuer took back, as of a moment."""

    __pydantic_config__: ClassVar[ConfigDict] = STRICT
    kind: Annotated[Literal["https://unteach.dev/revocations/v1"], Field(alias="_type")]
    issuer: Issuer
    issued_at: Moment
    revoked: tuple[Revoked, ...]


SHAPE: TypeAdapter[Revocations] = TypeAdapter(Revocations)


def revoke(
    said: Statement, certificate: str, reason: str, ts: str, key: Ed25519PrivateKey, earlier: Revocations | None = None
) -> Revocations:
    """The list with one more certificate, which its own issuer takes back; `certificate` is the SHA-256 of its file."""
    why = next((r for r in REASONS if r == reason), None)
    if why is None:
        raise InputError(f"there is no such reason; choose {', '.join(REASONS)}")
    issuer = said.predicate.issuer
    if issuer.key_id != key_id(key.public_key()):
        raise InputError("the certificate was signed by another key; only the key that signed it can take it back")
    listed = earlier or Revocations(KIND, issuer, ts, ())
    if certificate in {r.certificate for r in listed.revoked}:
        raise InputError(f"{said.predicate.id} is on the list already; there is nothing to do")
    if _moment(ts) < _moment(listed.issued_at):
        raise InputError("the list was signed later than now; set the clock of this machine right")
    more = Revoked(said.predicate.id, certificate, ts, why)
    return replace(listed, issued_at=ts, revoked=(*listed.revoked, more))


def sign(listed: Revocations, key: Ed25519PrivateKey) -> bytes:
    """The list as a file; it has to name the key that signs it."""
    if listed.issuer.key_id != key_id(key.public_key()):
        raise InputError("the list names another key than the one that signs it; give the issuer's key")
    return envelope.sign(_payload(listed), PAYLOAD, key)


def read(data: bytes, keys: Keys, what: str = "the list of revocations") -> Revocations:
    """What a list says, if one of the keys signed exactly this file; else `Rejected`."""
    payload, signer = envelope.opened(data, PAYLOAD, keys, what)
    members = parse(payload, what)
    try:
        found = SHAPE.validate_json(payload)
    except ValidationError:
        raise Rejected(f"{what} is no list of revocations of version 1; ask the issuer for one") from None
    if canonical(members) != _payload(found):
        raise Rejected(f"{what} leaves out what a list of revocations has to say; refuse it")
    if found.issuer.key_id != signer:
        raise Rejected(f"{what} names another key than the one that signed it; refuse it")
    if len({r.certificate for r in found.revoked}) < len(found.revoked):
        raise Rejected(f"{what} names one certificate twice; refuse it")
    if any(_moment(r.revoked_at) > _moment(found.issued_at) for r in found.revoked):
        raise Rejected(f"{what} was signed before what it tells of; refuse it")
    return found


def standing(said: Statement, certificate: str, listed: Revocations, what: str = "the list of revocations") -> str:
    """A sentence where the list leaves a certificate standing; else `Rejected`."""
    if listed.issuer.key_id != said.predicate.issuer.key_id:
        raise Rejected(f"{what} is of another issuer than the certificate; ask the certificate's issuer for his")
    for r in listed.revoked:
        if r.certificate == certificate:
            raise Rejected(f"{r.id} was revoked at {r.revoked_at}: {REASONS[r.reason]}; do not rely on it")
    return f"not among the {len(listed.revoked)} revoked ones as of {listed.issued_at}; what was revoked later is not there"


def schema() -> dict[str, Any]:
    """The JSON Schema of a list, for readers in other languages."""
    found = SHAPE.json_schema(by_alias=True, mode="serialization")
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", "$id": KIND, **found}


def _payload(listed: Revocations) -> bytes:
    return canonical(SHAPE.dump_python(listed, mode="json", by_alias=True, warnings=False))


def _moment(ts: str) -> datetime:
    return datetime.fromisoformat(ts)
