"""Check a certificate and a ledger on a machine that has neither the model nor a trainer.

Three depths: the signature and the form; the artefacts and the ledger in a store; the training itself, run again. The first two
check what was said and kept, the last what was done. None of them asks the model: that is an audit.
"""

import secrets
import sqlite3
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass
from hashlib import file_digest
from pathlib import Path
from urllib.parse import quote

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

from unteach.schema import InputError
from unteach.service import envelope, ledger
from unteach.service.canonical import Rejected
from unteach.service.predicate import Statement
from unteach.service.statement import PAYLOAD, read

BLOBS = "blobs"  # where a store keeps its artefacts, each under its SHA-256

Keys = Mapping[str, Ed25519PublicKey]
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


def entry(said: Statement, store: Path) -> Check:
    """Whether the ledger holds the line that a certificate refers to."""
    with connected(store) as connection:
        return _tried("entry", lambda: _entry(said, connection))


def artefacts(said: Statement, blobs: Path) -> Check:
    """Whether what is served lies in the store as it was signed, and what was destroyed does not."""
    return _tried("artefacts", lambda: _artefacts(said, blobs))


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


def _entry(said: Statement, connection: sqlite3.Connection) -> str:
    wanted, request = said.predicate.deletion.log, said.predicate.deletion.request.id
    for event in ledger.events(connection):
        if (event.seq, event.hash, event.object) == (wanted.seq, wanted.hash, request):
            return f"line {event.seq} of the ledger tells of {request}"
    raise Rejected(f"the ledger has no line {wanted.seq} as the certificate names it; it belongs to another store")


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
