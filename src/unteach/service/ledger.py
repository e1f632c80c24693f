"""What happened, in order: events chained by their hashes, written in the transaction that made them true.

hash_n = SHA-256(JCS([prev_n, seq, ts, actor, kind, object, body])), prev_n = hash_(n-1). An event that is changed, moved or
taken out of the middle breaks the chain. The chain alone cannot tell that its tail was cut off, nor that it was written
anew from the start; checkpoints can, which sign the head and lie in a second place.
"""

import re
import sqlite3
from collections.abc import Iterator, Mapping
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from hashlib import sha256
from json import JSONEncoder
from pathlib import Path
from typing import Any

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

from unteach.report.atomic import folder, put
from unteach.schema import InputError
from unteach.service import envelope
from unteach.service.canonical import DIGEST, MOMENT, SAFE, TOKEN, Rejected, canonical, parse
from unteach.service.keys import key_id

DATABASE = "store.sqlite"  # its file in the folder of a store
START = "0" * 64
CHECKPOINT = "application/vnd.unteach.ledger-checkpoint.v1+json"
COLUMNS = "prev, seq, ts, actor, kind, object, body, hash"
WRITER = JSONEncoder(ensure_ascii=False, separators=(",", ":"))  # of text and whole numbers it makes what JCS does
STATEMENTS = (
    "CREATE TABLE IF NOT EXISTS events (seq INTEGER PRIMARY KEY, ts TEXT NOT NULL, actor TEXT NOT NULL, "
    "kind TEXT NOT NULL, object TEXT NOT NULL, body TEXT NOT NULL, prev TEXT NOT NULL UNIQUE, hash TEXT NOT NULL)",
    "CREATE TRIGGER IF NOT EXISTS events_stay BEFORE UPDATE ON events "
    "BEGIN SELECT RAISE(ABORT, 'an event is never changed'); END",
    "CREATE TRIGGER IF NOT EXISTS events_remain BEFORE DELETE ON events "
    "BEGIN SELECT RAISE(ABORT, 'an event is never deleted'); END",
)

Line = tuple[str, int, str, str, str, str, str, str]


@dataclass(frozen=True)
class Head:
    """The last event: its number and its hash."""

    seq: int = 0
    hash: str = START


@dataclass(frozen=True)
class Event:
    """One line: who did what to which object, when. The body holds counts, digests and names."""

    seq: int
    ts: str
    actor: str
    kind: str
    object: str
    body: Mapping[str, Any] = field(repr=False)
    prev: str
    hash: str


@dataclass(frozen=True)
class Checkpoint:
    """A head that was signed, and when."""

    head: Head
    ts: str


def create(connection: sqlite3.Connection) -> None:
    """The table of events, in the caller's transaction where there is one."""
    for statement in STATEMENTS:
        connection.execute(statement)


def append(
    connection: sqlite3.Connection, kind: str, object: str, body: Mapping[str, Any], ts: str, actor: str
) -> Event:
    """Write one event in the transaction that the caller opened (BEGIN IMMEDIATE); commit and rollback are the caller's.

    Text never comes in: words are names without spaces, and longer ones are refused.
    """
    if not connection.in_transaction:
        raise RuntimeError("an event is written in the transaction of the change that it tells of; open one first")
    _timed(ts)
    for name, value in {"actor": actor, "kind": kind, "object": object, "body": body}.items():
        if not _plain(value):
            raise InputError(f"the {name} of an event holds text; give names, digests and numbers")
    last = head(connection)
    written = canonical(body).decode()
    told = (last.hash, last.seq + 1, ts, actor, kind, object, written)
    row = (*told, _hash(*told))
    connection.execute(f"INSERT INTO events ({COLUMNS}) VALUES (?, ?, ?, ?, ?, ?, ?, ?)", row)
    return Event(last.seq + 1, ts, actor, kind, object, dict(body), last.hash, row[-1])


@contextmanager
def writing(store: Path) -> Iterator[sqlite3.Connection]:
    """One transaction in the database of a store, for a line that no change of the store goes with."""
    file = store / DATABASE if store.is_dir() else store
    if not file.is_file():
        raise InputError(f"{store}: there is no store; name its folder or its {DATABASE}")
    with closing(sqlite3.connect(file, isolation_level=None, timeout=30)) as connection:
        connection.execute("BEGIN IMMEDIATE")
        try:
            yield connection
            connection.execute("COMMIT")
        except BaseException:
            connection.execute("ROLLBACK")
            raise


def head(connection: sqlite3.Connection) -> Head:
    """The last event as it stands, unchecked."""
    row = connection.execute("SELECT seq, hash FROM events ORDER BY seq DESC LIMIT 1").fetchone()
    return Head(*row) if row else Head()


def events(connection: sqlite3.Connection) -> Iterator[Event]:
    """Every event from the first, each checked against the one before; the first bad line raises `Rejected`."""
    for prev, seq, ts, actor, kind, object, body, hash_ in _lines(connection):
        yield Event(seq, ts, actor, kind, object, parse(body.encode(), f"line {seq} of the ledger"), prev, hash_)


def _lines(connection: sqlite3.Connection) -> Iterator[Line]:
    prev, seq, rows = START, 0, None
    while True:
        try:
            rows = rows or connection.execute(f"SELECT {COLUMNS} FROM events ORDER BY seq")
            row = rows.fetchone()
        except (sqlite3.Error, ValueError):  # ValueError: names in the file that are no text
            raise Rejected(f"the ledger cannot be read after line {seq}: its file is damaged; restore it") from None
        if row is None:
            return
        seq += 1
        stands = tuple(map(type, row)) == (str, int, *(str,) * 6) and row[:2] == (prev, seq)
        if not stands or _hash(*row[:-1]) != row[-1]:
            raise Rejected(f"the ledger breaks at line {seq}: it was altered, moved or taken out; restore it")
        prev = row[-1]
        yield row


def check(connection: sqlite3.Connection) -> Head:
    """The head of a chain that holds from its first event; else `Rejected`, which names the first bad line."""
    last = Head()
    for _, seq, *_, hash_ in _lines(connection):
        last = Head(seq, hash_)
    return last


def checkpoint(
    connection: sqlite3.Connection,
    place: Path,
    key: Ed25519PrivateKey,
    ts: str,
    earlier: Mapping[str, Ed25519PublicKey] | None = None,
) -> Path:
    """Sign the head and write it into a folder, which should lie on another machine or volume.

    First the chain and all checkpoints that lie there are checked, so that no ledger that was cut is ever signed.
    `earlier` are the keys that signed before this one.
    """
    _timed(ts)
    keys = {**(earlier or {}), key_id(key.public_key()): key.public_key()}
    last = check(connection)
    if any(folder(place).glob("*.json")):
        anchored(connection, place, keys)
    payload = canonical({"hash": last.hash, "seq": last.seq, "ts": ts})
    return put(place / f"{last.seq:012d}.json", envelope.sign(payload, CHECKPOINT, key))


def anchored(connection: sqlite3.Connection, place: Path, keys: Mapping[str, Ed25519PublicKey]) -> Checkpoint:
    """The newest checkpoint in a folder, once every one of them is found in the chain; else `Rejected`."""
    hashes = {0: START, **{seq: hash_ for _, seq, *_, hash_ in _lines(connection)}}
    newest = None
    for path in sorted(place.glob("*.json")):
        newest = _signed(path, keys)
        if hashes.get(newest.head.seq) != newest.head.hash:
            raise Rejected(
                f"{path.name}: line {newest.head.seq} was signed, and the ledger does not hold it: its end was cut off "
                "or it was written anew; restore it"
            )
    if newest is None:
        raise Rejected(f"{place}: there is no checkpoint, so that a ledger that was cut cannot be told; find them")
    return newest


def _signed(path: Path, keys: Mapping[str, Ed25519PublicKey]) -> Checkpoint:
    payload, _ = envelope.opened(path.read_bytes(), CHECKPOINT, keys, path.name)
    found = parse(payload, path.name)
    if not isinstance(found, dict) or set(found) != {"hash", "seq", "ts"}:
        raise Rejected(f"{path.name} is no checkpoint of a ledger; take it out of the folder")
    seq, hash_, ts = found["seq"], found["hash"], found["ts"]
    good = type(seq) is int and isinstance(hash_, str) and re.fullmatch(DIGEST, hash_) and isinstance(ts, str)
    if not good or path.stem != f"{seq:012d}":
        raise Rejected(f"{path.name} says another line than its name; take the folder as it was written")
    return Checkpoint(Head(seq, hash_), ts)


def _hash(prev: str, seq: int, ts: str, actor: str, kind: str, object: str, body: str) -> str:
    return sha256(WRITER.encode([prev, seq, ts, actor, kind, object, body]).encode()).hexdigest()


def _timed(ts: str) -> None:
    if not re.fullmatch(MOMENT, ts):
        raise InputError("the time of an event is not ISO 8601 in UTC; give one such as 2026-03-02T14:05:00Z")


def _plain(value: Any) -> bool:
    """Whether a value can hold no sentence of a record: numbers, and words of a narrow alphabet."""
    if isinstance(value, Mapping):
        return all(map(_plain, value)) and all(map(_plain, value.values()))
    if isinstance(value, list | tuple):
        return all(map(_plain, value))
    if isinstance(value, str):
        return re.fullmatch(TOKEN, value) is not None
    return value is None or isinstance(value, bool | float) or (isinstance(value, int) and abs(value) <= SAFE)
