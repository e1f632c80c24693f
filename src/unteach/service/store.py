"""A store: what was trained on, sealed; what was made of it, by its hash; and what happened, in one database.

STORE/store.sqlite   where records lie (commitments only), nodes, releases, requests, the ledger
STORE/data, keys     the records, sealed, and a key for each subject
STORE/blobs          stages and merges, by the hash of their content
STORE/releases/N     what may be served; STORE/current names the one that is
"""

import fcntl
import json
import sqlite3
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from torch import Tensor

from unteach.lm.model import LM
from unteach.methods.exact.shards.nodes import Node
from unteach.methods.exact.shards.shardplan import ShardPlan
from unteach.methods.exact.shards.stage import Schooling
from unteach.report.atomic import folder, put
from unteach.schema import InputError, Record
from unteach.service import ledger
from unteach.service.blobs import Blobs
from unteach.service.vault import Vault

FORMAT = 1
ACTOR = "unteach"
TABLES = (
    "CREATE TABLE records (rid TEXT PRIMARY KEY, owner TEXT NOT NULL, risk INTEGER NOT NULL, alive INTEGER NOT NULL)",
    "CREATE TABLE nodes (id TEXT PRIMARY KEY, shard INTEGER, stage INTEGER, root TEXT, parent TEXT, trained INTEGER, "
    "blob TEXT NOT NULL, seconds REAL NOT NULL)",
    "CREATE TABLE releases (number INTEGER PRIMARY KEY, level TEXT NOT NULL, blob TEXT NOT NULL, nodes TEXT NOT NULL, "
    "root TEXT NOT NULL, created TEXT NOT NULL, retired TEXT)",
    "CREATE TABLE requests (id TEXT PRIMARY KEY, state TEXT NOT NULL, policy TEXT NOT NULL, received TEXT NOT NULL, "
    "rids TEXT NOT NULL, notes TEXT NOT NULL)",
)


@dataclass(frozen=True)
class Settings:
    """What a store was made with; nothing in it depends on the records."""

    base: str
    base_digest: str
    plan: ShardPlan
    school: Schooling
    weight: float = 1.0
    device: str = ""
    learner: str = ""  # of a head, with its options; without one the base itself is trained, in shards
    options: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, eq=False)
class Store:
    """An open store; one process writes at a time."""

    place: Path
    settings: Settings
    db: sqlite3.Connection = field(repr=False)
    vault: Vault
    blobs: Blobs

    @property
    def plan(self) -> ShardPlan:
        return self.settings.plan

    @contextmanager
    def change(self, kind: str, object: str, body: Mapping[str, Any]) -> Iterator[sqlite3.Connection]:
        """One transaction with its line in the ledger: both are there afterwards, or neither."""
        self.db.execute("BEGIN IMMEDIATE")
        try:
            yield self.db
            ledger.append(self.db, kind, object, body, now(), ACTOR)
            self.db.execute("COMMIT")
        except BaseException:
            self.db.execute("ROLLBACK")
            raise

    def alive(self) -> tuple[Record, ...]:
        """Every record that may be trained on, by id."""
        rows = self.db.execute("SELECT owner, rid FROM records WHERE alive = 1").fetchall()
        wanted = {rid for _, rid in rows}
        found = [r for owner in sorted({o for o, _ in rows}) for r in self.vault.get(owner) if self.rid(r.id) in wanted]
        return tuple(sorted(found, key=lambda r: r.id))

    def rid(self, id: str) -> str:
        """What stands for a record's id in the database."""
        return self.vault.commitment("record", id)

    def owners(self, rids: Iterable[str]) -> dict[str, str]:
        """The sealed files of some records."""
        found = dict(self.db.execute("SELECT rid, owner FROM records"))
        return {rid: found[rid] for rid in rids if rid in found}

    # The artefacts of stages, as a build wants them.

    def get(self, node: str, /) -> dict[str, Tensor] | None:
        """The tensors of a stage; None where it was not made, or its file is damaged."""
        row = self.db.execute("SELECT blob FROM nodes WHERE id = ?", (node,)).fetchone()
        return self.blobs.get(row[0]) if row else None

    def enter(self, node: Node, blob: str, seconds: float) -> None:
        """Note what a stage made, and how long it took."""
        about = (node.shard, node.stage, node.root, node.parent, node.trained, blob, seconds)
        with self.change("trained", node.id, {"blob": blob, "records": node.trained}) as db:
            db.execute("INSERT OR REPLACE INTO nodes VALUES (?, ?, ?, ?, ?, ?, ?, ?)", (node.id, *about))

    def blob_of(self, node: str) -> str:
        """The hash of what a stage made."""
        return str(self.db.execute("SELECT blob FROM nodes WHERE id = ?", (node,)).fetchone()[0])

    def current(self) -> Path:
        """The folder of the release that is served."""
        return self.place / "releases" / (self.place / "current").read_text(encoding="utf-8").strip()

    def close(self) -> None:
        self.db.close()


def create(place: Path, settings: Settings, records: Sequence[Record]) -> Store:
    """A new store with sealed records; the plan's key is the store's own, whatever the settings say."""
    if place.exists() and any(place.iterdir()):
        raise InputError(f"{place}: this folder is not empty; name a new one, or `unteach delete` from the store in it")
    vault = Vault.new(folder(place))
    by_owner: dict[str, list[Record]] = {}
    for record in records:
        by_owner.setdefault(vault.owner(record), []).append(record)
    for owner, mine in by_owner.items():
        vault.put(owner, mine)
    db = _connect(place / ledger.DATABASE)
    db.execute("BEGIN IMMEDIATE")
    for statement in TABLES:
        db.execute(statement)
    ledger.create(db)
    rows = [(vault.commitment("record", r.id), vault.owner(r), r.risk, 1) for r in records]
    db.executemany("INSERT INTO records VALUES (?, ?, ?, ?)", rows)
    ledger.append(db, "created", "store", {"records": len(rows), "subjects": len(by_owner)}, now(), ACTOR)
    db.execute("COMMIT")
    described = asdict(settings) | {"format": FORMAT}
    described["plan"].pop("key")
    put(place / "store.json", json.dumps(described, indent=1).encode())  # last: without it there is no store
    db.close()
    return _opened(place)


@contextmanager
def opened(place: Path) -> Iterator[Store]:
    """A store to change; a second process is refused while the first one works."""
    if not (place / "store.json").is_file():
        raise InputError(f"{place}: there is no store; `unteach train MODEL --data FILE --out {place}` makes one")
    with (place / "lock").open("a") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise InputError(f"{place}: another process works on this store; wait for it") from None
        store = _opened(place)
        try:
            store.blobs.sweep()
            store.vault.sweep()
            yield store
        finally:
            store.close()


def looked_into(place: Path) -> Store:
    """A store beside the process that changes it: what it holds can be read, and blobs, which never change, be written."""
    return _opened(place)


def _opened(place: Path) -> Store:
    try:
        said = json.loads((place / "store.json").read_text(encoding="utf-8"))
        if said.pop("format") != FORMAT:
            raise InputError(f"{place}: made by another version; open it with that one")
        vault = Vault(place)
        plan = ShardPlan(**said.pop("plan"), key=vault.plan_key)
        settings = Settings(**said | {"plan": plan, "school": Schooling(**said.pop("school"))})
    except (ValueError, TypeError, KeyError):
        raise InputError(f"{place / 'store.json'}: damaged; put it back from a backup") from None
    return Store(place, settings, _connect(place / ledger.DATABASE), vault, Blobs(place / "blobs"))


def _connect(file: Path) -> sqlite3.Connection:
    db = sqlite3.connect(file, isolation_level=None, timeout=30)
    for pragma in ("journal_mode = WAL", "synchronous = FULL", "secure_delete = ON", "foreign_keys = ON"):
        db.execute(f"PRAGMA {pragma}")
    return db


def now() -> str:
    """This moment, as the ledger writes it."""
    return datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def check_base(store: Store, lm: LM) -> None:
    """Refuse a base that is not the one the store was trained on."""
    if lm.digest() != store.settings.base_digest:
        raise InputError(
            f"{store.settings.base}: not the base that this store was trained on; give that one with --base"
        )
