"""Check a certificate and a ledger on a machine that has neither the model nor a trainer.

Three depths: the signature and the form; the artefacts and the ledger in a store; the training itself, run again. The first two
check what was said and kept, the last what was done. None of them asks the model: that is an audit.
"""

import secrets
import sqlite3
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass
from hashlib import file_digest, sha256
from pathlib import Path
from urllib.parse import quote

from unteach.schema import InputError
from unteach.service import envelope, ledger, revocation
from unteach.service.canonical import Rejected
from unteach.service.envelope import Keys
from unteach.service.evidence import evidence
from unteach.service.predicate import Statement
from unteach.service.statement import PAYLOAD, read

BLOBS = "blobs"  # where a store keeps its artefacts, each under its SHA-256

Rebuild = Callable[[Sequence[str]], Mapping[str, str]]  # stages by id, trained again: the SHA-256 of what each made


@dataclass(frozen=True)
class Check:
    """One thing that was checked, whether it holds, and what was found."""

    name: str
    passed: bool
    said: str


def certificate(data: bytes, keys: Keys, what: str = "the certificate") -> Statement:
    """What a certificate says, if one of the keys signed exactly this file; else `Rejected`."""
    payload, signer = envelope.opened(data, PAYLOAD, keys, what)
    found = read(payload, what)
    if found.predicate.issuer.key_id != signer:
        raise Rejected(f"{what} names another key than the one that signed it; refuse it")
    return found


def chain(store: Path, checkpoints: Path | None = None, keys: Keys | None = None) -> Check:
    """Whether the ledger of a store holds from its first line and, by the checkpoints, to its last signed one."""
    with connected(store) as connection:
        return _tried("ledger", lambda: _chain(connection, checkpoints, keys or {}))


def entry(said: Statement, store: Path, certificate: str = "") -> Check:
    """Whether the ledger holds the line that a certificate refers to, and none that takes it back.

    `certificate` is the SHA-256 of its file.
    """
    with connected(store) as connection:
        return _tried("entry", lambda: _entry(said, connection, certificate))


def unrevoked(said: Statement, certificate: str, listed: bytes, keys: Keys, what: str) -> Check:
    """Whether its issuer's list of revocations leaves a certificate (the SHA-256 of its file) standing."""
    return _tried(
        "revocations", lambda: revocation.standing(said, certificate, revocation.read(listed, keys, what), what)
    )


def artefacts(said: Statement, blobs: Path) -> Check:
    """Whether what is served lies in the store as it was signed, and what was destroyed does not."""
    return _tried("artefacts", lambda: _artefacts(said, blobs))


def reported(said: Statement, content: bytes, what: str = "the report") -> Check:
    """Whether a report is the one that the evidence of a certificate was drawn from, and says the same."""
    return _tried("evidence", lambda: _reported(said, content, what))


def rebuilt(said: Statement, rebuild: Rebuild, *, spot: bool) -> Check:
    """Train the stages of a certificate again (with `spot`, one of them, drawn at random) and compare what they made."""
    return _tried("rebuild", lambda: _rebuilt(said, rebuild, spot))


@contextmanager
def connected(store: Path) -> Iterator[sqlite3.Connection]:
    """The database of a store (its folder, or the file), open for reading only."""
    file = store / ledger.DATABASE if store.is_dir() else store
    if not file.is_file():
        raise InputError(f"{store}: there is no store; name its folder or its {ledger.DATABASE}")
    try:
        connection = sqlite3.connect(f"file:{quote(str(file.resolve()))}?mode=ro", uri=True)
    except sqlite3.Error:
        raise InputError(f"{file}: cannot be opened; name a store that you may read") from None
    with closing(connection):
        yield connection


def _tried(name: str, check: Callable[[], str]) -> Check:
    try:
        return Check(name, True, check())
    except Rejected as found:
        return Check(name, False, str(found))


def _chain(connection: sqlite3.Connection, checkpoints: Path | None, keys: Keys) -> str:
    last = ledger.check(connection)
    said = f"{last.seq} lines hold, the last is {last.hash}"
    if checkpoints is None:
        return f"{said}; without checkpoints nobody can tell whether the end was cut off"
    if not checkpoints.is_dir():
        raise InputError(f"{checkpoints}: there is no such folder; name the one with the checkpoints")
    newest = ledger.anchored(connection, checkpoints, keys)
    return f"{said}; line {newest.head.seq} was signed at {newest.ts}"


def _entry(said: Statement, connection: sqlite3.Connection, certificate: str) -> str:
    wanted, request, found = said.predicate.deletion.log, said.predicate.deletion.request.id, False
    for event in ledger.events(connection):
        found = found or (event.seq, event.hash, event.object) == (wanted.seq, wanted.hash, request)
        if (event.kind, event.object) == (revocation.EVENT, certificate):
            raise Rejected(f"line {event.seq} of the ledger says that the certificate was revoked; do not rely on it")
    if not found:
        raise Rejected(f"the ledger has no line {wanted.seq} as the certificate names it; it belongs to another store")
    return f"line {wanted.seq} of the ledger tells of {request}"


def _artefacts(said: Statement, blobs: Path) -> str:
    for subject in said.subject:
        file = blobs / subject.digest.sha256
        if not file.is_file():
            raise Rejected(
                f"{subject.name} is not in the store: it was replaced since, or this is another store; ask for the newest certificate"
            )
        with file.open("rb") as content:
            if file_digest(content, "sha256").hexdigest() != subject.digest.sha256:
                raise Rejected(f"{subject.name} in the store is not what was signed; take it out of service")
    destroyed = [s for s in said.predicate.deletion.superseded if s.state == "destroyed"]
    for old in destroyed:
        if (blobs / old.sha256).exists():
            raise Rejected(f"{old.name} was to be destroyed and is still in the store; destroy it")
    return f"{len(said.subject)} lie in the store as they were signed, {len(destroyed)} that were destroyed do not"


def _reported(said: Statement, content: bytes, what: str) -> str:
    audit = said.predicate.deletion.audit
    if audit is None:
        raise InputError("the certificate rests on no audit, so no report belongs to it; leave --report out")
    if sha256(content).hexdigest() != audit.report:
        raise Rejected(f"{what} is not the report that the certificate names; ask its issuer for that one")
    if evidence(content, audit.model, what) != audit:
        raise Rejected(
            f"{what} says something else than the certificate that was drawn from it; refuse the certificate"
        )
    return (
        f"{what} is the report that was signed, and says the same: {len(audit.scores)} scores, {len(audit.gates)} gates"
    )


def _rebuilt(said: Statement, rebuild: Rebuild, spot: bool) -> str:
    made = {s.id: s.after for s in said.predicate.deletion.stages if s.after is not None}
    if not made:
        raise InputError("the certificate names no stage of training, so there is none to run again; leave this out")
    chosen = [secrets.choice(sorted(made))] if spot else sorted(made)
    again = rebuild(chosen)
    for stage in chosen:
        if again.get(stage) != made[stage]:
            raise Rejected(f"stage {stage}, trained again, made something else than was signed; refuse the certificate")
    return f"{len(chosen)} of {len(made)} stages were trained again and made the same bytes"
