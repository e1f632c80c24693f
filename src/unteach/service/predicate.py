"""The parts of a deletion certificate, as types. Every member is always written, and none beside them is read."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Annotated, ClassVar, Literal

from pydantic import ConfigDict, Field

from unteach.schema import Direction, GuaranteeKind, Scope, VerdictWord
from unteach.service.canonical import DIGEST, MOMENT, TOKEN

Digest = Annotated[str, Field(pattern=DIGEST, min_length=64, max_length=64)]
Token = Annotated[str, Field(pattern=TOKEN)]
Moment = Annotated[str, Field(pattern=MOMENT)]
Line = Annotated[str, Field(min_length=1, max_length=2000, pattern=r"^[^\x00-\x1f\x7f]+$")]
Count = Annotated[int, Field(ge=0)]
STRICT = ConfigDict(extra="forbid", strict=True, json_schema_serialization_defaults_required=True)


@dataclass(frozen=True)
class Sha256:
    """A digest by its algorithm."""

    sha256: Digest


@dataclass(frozen=True)
class Subject:
    """One served artefact: a file of the weights, the tokenizer, an adapter, a quantised export."""

    name: Token
    digest: Sha256


@dataclass(frozen=True)
class Issuer:
    """Who signs, with which key, in which role."""

    name: Line
    key_id: Digest
    role: Literal["issuer"] = "issuer"


@dataclass(frozen=True)
class Asked:
    """The request: an opaque id, commitments to its records, and when it came and took effect."""

    id: Token
    scope: Scope
    commitments: Annotated[tuple[Digest, ...], Field(min_length=1)]
    received_at: Moment
    effective_at: Moment
    due_at: Moment | None = None


@dataclass(frozen=True)
class Method:
    """The method, its version, and the digest of all its settings; the plan of the training where it has one."""

    name: Token
    version: Token
    settings: Digest
    plan: Token | None = None
    seed: int | None = None


@dataclass(frozen=True)
class Roots:
    """Merkle roots of the training data, before and after."""

    before: Digest
    after: Digest


@dataclass(frozen=True)
class Stage:
    """One stage of training that changed: its id and what it made, before and after (None: it was not there)."""

    id: Token
    before: Digest | None
    after: Digest | None


@dataclass(frozen=True)
class Superseded:
    """An artefact that is no longer served, and what became of it."""

    name: Token
    sha256: Digest
    state: Literal["kept", "retired", "destroyed"]


@dataclass(frozen=True)
class Disposal:
    """When the key of the request was destroyed, and how often its text was found in a search afterwards."""

    key_destroyed_at: Moment | None = None
    places: Count = 0
    encodings: Count = 0
    hits: Count = 0


@dataclass(frozen=True)
class Measured:
    """One score of the audited model on one set, beside the model before and one that was trained without the rows."""

    set: Line
    metric: Token
    value: float | None
    low: float | None
    high: float | None
    n: Count
    direction: Direction
    baseline: float | None
    reference: float | None


@dataclass(frozen=True)
class Attacked:
    """One attack on the audited model: what the attacker holds, what came of it, and the same without the attack.

    `baseline` is the same attack on the model before, `reference` that on one that was trained without the rows.
    """

    attack: Token
    holds: Line
    measure: Line
    value: float | None
    low: float | None
    high: float | None
    n: Count
    before: float | None
    baseline: float | None
    reference: float | None


@dataclass(frozen=True)
class Tested:
    """One gate of the verdict: what was compared with which threshold, and whether it held (None: not measured)."""

    name: Line
    value: float | None
    threshold: float | None
    passed: bool | None


@dataclass(frozen=True)
class Audited:
    """What an audit says of one model, by its digest, and the SHA-256 of the report that says it row by row."""

    report: Digest
    model: Digest
    verdict: VerdictWord | None
    scores: tuple[Measured, ...]
    gates: tuple[Tested, ...]
    attacks: tuple[Attacked, ...]
    untested: tuple[Line, ...]


@dataclass(frozen=True)
class Entry:
    """A line of the ledger: the last event of the request before this certificate."""

    seq: Annotated[int, Field(ge=1)]
    hash: Digest


@dataclass(frozen=True)
class Deletion:
    """What was done, by digests, commitments and numbers."""

    request: Asked
    method: Method
    log: Entry
    data: Roots | None = None
    stages: tuple[Stage, ...] = ()
    fingerprint: Mapping[Token, Line] = field(default_factory=dict)
    superseded: tuple[Superseded, ...] = ()
    disposal: Disposal | None = None
    audit: Audited | None = None
    forms_tested: tuple[Line, ...] = ()
    not_tested: tuple[Line, ...] = ()


@dataclass(frozen=True)
class Claim:
    """The guarantee as it was given."""

    kind: GuaranteeKind
    level: Annotated[str, Field(max_length=200)]
    claim: Annotated[str, Field(max_length=4000)]
    numbers: Mapping[Token, float]


@dataclass(frozen=True)
class Predicate:
    """A certificate: its claim in fixed words, what it does not cover, and what was done."""

    id: Token
    issued_at: Moment
    issuer: Issuer
    guarantee: Claim
    summary: Line
    not_covered: Annotated[tuple[Line, ...], Field(min_length=5)]
    deletion: Deletion
    previous: Digest | None = None


@dataclass(frozen=True)
class Statement:
    """An in-toto Statement v1: a predicate about subjects."""

    __pydantic_config__: ClassVar[ConfigDict] = STRICT
    kind: Annotated[Literal["https://in-toto.io/Statement/v1"], Field(alias="_type")]
    subject: Annotated[tuple[Subject, ...], Field(min_length=1)]
    predicate_type: Annotated[Literal["https://unteach.dev/deletion-certificate/v1"], Field(alias="predicateType")]
    predicate: Predicate
