"""What a deletion certificate says: an in-toto Statement v1 about the served artefacts, by their digests.

A certificate is a signed claim about a procedure and its measurements. The weights prove nothing: the same weights can come from
other data (Thudi et al. 2021, arXiv:2110.11891). People and records appear as commitments only, HMAC-SHA256 under
a salt that is destroyed with the request; after that nobody can tell whose they were, not even by guessing.
"""

import hmac
import re
from collections.abc import Mapping
from hashlib import sha256
from typing import Any, Literal

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from pydantic import TypeAdapter, ValidationError

from unteach.report.words import GUARANTEES
from unteach.schema import Guarantee, GuaranteeKind, InputError
from unteach.service import envelope
from unteach.service.canonical import Rejected, canonical, parse
from unteach.service.evidence import contradicted
from unteach.service.keys import key_id
from unteach.service.predicate import Claim, Deletion, Issuer, Predicate, Sha256, Statement, Subject

PAYLOAD = "application/vnd.in-toto+json"
PREDICATE: Literal["https://unteach.dev/deletion-certificate/v1"] = "https://unteach.dev/deletion-certificate/v1"
SALT = 32  # bytes
ALWAYS = (
    "What the base model was pretrained on. This speaks of the data that was trained on here, and of nothing before it.",
    "Copies outside the issuer's control: downloads, forks, backups of others, and models that were made from them.",
    "Whoever holds the model as it was before: the records can still be drawn from it, and a comparison of the two may show them.",
    "Proof from the weights alone: the same weights can come from other data. What is signed is how they were made and what was measured.",
)
BESIDE: Mapping[GuaranteeKind, str] = {
    "exact": "Records that were not named in the request, such as copies of the same text in other words.",
    "certified": "The case that an assumption which the claim names does not hold.",
    "empirical": "What the tests did not find. The deletion is approximate, and no test shows that nothing is left.",
    "suppression": "Removal. The weights still hold the records; whoever takes away what stands in front has them back.",
    "none": "The records themselves: nothing is claimed about what is left of them.",
}
TOO_MUCH = re.compile(r"\berased?\b|\berasure\b|\banonym", re.IGNORECASE)  # what no lower class may say of itself

SHAPE: TypeAdapter[Statement] = TypeAdapter(Statement)


def commitment(salt: bytes, kind: str, content: str) -> str:
    """HMAC-SHA256(salt, kind 00 content): tells nothing of the content once the salt is destroyed."""
    if len(salt) < SALT:
        raise InputError(f"a salt of {len(salt)} bytes can be guessed; draw {SALT} at random")
    return hmac.new(salt, f"{kind}\0{content}".encode("utf-8", "surrogatepass"), sha256).hexdigest()


def statement(
    subjects: Mapping[str, str],
    guarantee: Guarantee,
    deletion: Deletion,
    issuer: Issuer,
    *,
    id: str,
    issued_at: str,
    previous: str | None = None,
) -> Statement:
    """The certificate of a deletion; `subjects` maps the names of served artefacts to their SHA-256.

    The guarantee is written as given; the words around it follow from its kind alone.
    """
    claim = Claim(guarantee.kind, guarantee.level, guarantee.claim, dict(guarantee.numbers))
    name, said = GUARANTEES[guarantee.kind]
    beside = (*ALWAYS, BESIDE[guarantee.kind])
    predicate = Predicate(id, issued_at, issuer, claim, f"{name}: {said}", beside, deletion, previous)
    served = tuple(Subject(name, Sha256(digest)) for name, digest in sorted(subjects.items()))
    made = Statement("https://in-toto.io/Statement/v1", served, PREDICATE, predicate)
    return read(written(made), "the certificate")


def written(said: Statement) -> bytes:
    """The canonical bytes of a statement."""
    return canonical(_members(said))


def read(payload: bytes, what: str) -> Statement:
    """The statement in some bytes, if it has every member it should, no other, and no word beyond its class."""
    members = parse(payload, what)
    try:
        found = SHAPE.validate_json(payload)
    except ValidationError as wrong:
        first = wrong.errors(include_input=False, include_url=False, include_context=False)[0]
        place = ".".join(map(str, first["loc"]))[:100]
        raise Rejected(f"{what} is no deletion certificate of version 1 (see {place}); refuse it") from None
    if _members(found) != members:
        raise Rejected(f"{what} leaves out what a certificate has to say; refuse it")
    if len({s.name for s in found.subject}) < len(found.subject):
        raise Rejected(f"{what} names one artefact twice; refuse it")
    claim, said = found.predicate.guarantee, found.predicate.summary
    if claim.kind not in ("exact", "certified") and TOO_MUCH.search(f"{claim.level} {claim.claim} {said}"):
        raise Rejected(f"{what} claims more than its class '{claim.kind}' allows; refuse it")
    if (audit := found.predicate.deletion.audit) is not None and contradicted(audit):
        raise Rejected(f"{what} says of its audit what the numbers beside it do not; refuse it")
    return found


def _members(said: Statement) -> Any:
    return SHAPE.dump_python(said, mode="json", by_alias=True, warnings=False)


def sign(said: Statement, key: Ed25519PrivateKey) -> bytes:
    """The certificate as a file; the statement has to name the key that signs it."""
    if said.predicate.issuer.key_id != key_id(key.public_key()):
        raise InputError("the certificate names another key than the one that signs it; give the issuer's key id")
    return envelope.sign(written(read(written(said), "the certificate")), PAYLOAD, key)


def schema() -> dict[str, Any]:
    """The JSON Schema of a statement, for readers in other languages."""
    found = SHAPE.json_schema(by_alias=True, mode="serialization")
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", "$id": PREDICATE, **found}
