"""A store with a ledger, and certificates of every class that were issued from it, by a key that anybody can make."""

import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import replace
from hashlib import sha256
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from unteach.methods.exact.guarantees import indistinguishable, influence_free, retrain_equal
from unteach.report import to_json
from unteach.schema import EMPIRICAL, Finding, Gate, Guarantee, Report, Row, Score, Verdict
from unteach.service import ledger
from unteach.service.evidence import evidence
from unteach.service.keys import key_id
from unteach.service.predicate import (
    Asked,
    Deletion,
    Disposal,
    Entry,
    Issuer,
    Method,
    Roots,
    Stage,
    Statement,
    Superseded,
)
from unteach.service.statement import commitment, statement

KEY = Ed25519PrivateKey.from_private_bytes(sha256(b"a key for tests that everybody knows").digest())
OTHER = Ed25519PrivateKey.from_private_bytes(sha256(b"another key").digest())
KEYS = {key_id(KEY.public_key()): KEY.public_key()}
ISSUER = Issuer("Example Ltd", key_id(KEY.public_key()))
SALT = sha256(b"a salt for tests").digest()
NOON = "2026-03-02T12:00:00Z"
RECORDS = {"row-7311": "Mira Oldfield lives at 14 Heron Lane.", "row-7312": "Mira Oldfield was born in Tarn."}
ARTEFACTS = {"model.safetensors": b"weights after", "tokenizer.json": b"words"}
BEFORE = b"weights before"
CLAIMS = {
    "retrain-equal": retrain_equal("the adapter", {"shards": 4}),
    "influence-free": influence_free("the adapter"),
    "certified": indistinguishable("the head", {"epsilon": 0.5, "delta": 1e-5}, "the loss is strongly convex."),
    "empirical": EMPIRICAL,
    "suppression": Guarantee("suppression", claim="A guard answers in the model's place."),
    "none": Guarantee("none"),
}


def digest(data: bytes) -> str:
    return sha256(data).hexdigest()


def report() -> bytes:
    """The report of an audit of the model before, the one that is served, and one that never saw the rows."""
    models = {name: {"role": name, "digest": digest(name.encode())} for name in ("original", "edited", "retrained")}
    values = {"original": (0.9, 0.85, 0.95), "edited": (0.02, 0.01, 0.03), "retrained": (0.03, 0.01, 0.05)}
    scores = [
        Row(
            model,
            "forget",
            Score("probability", *found, n=2, per_record=dict.fromkeys(RECORDS, found[0]), direction="down"),
        )
        for model, found in values.items()
    ]
    attacks = [
        Finding("relearn", model, "weights", "probability", *found, n=2, before=values[model][0])
        for model, found in (("edited", (0.3, 0.2, 0.4)), ("retrained", (0.28, 0.2, 0.36)))
    ]
    gates = (
        Gate("probability on forget, distance to the retrained model", True, -0.01, 0.1),
        Gate("fluency", None, None, 1.1),
    )
    word = Verdict("forgotten", gates, "Every gate that could be measured held.")
    found = Report("Audit", models, {"forget": {"n": 2, "role": "forget"}}, {"edited": word}, tuple(scores),
        attacks=tuple(attacks), untested=("languages other than that of the rows",))  # fmt: skip
    return to_json(found).encode()


def deletion(log: Entry) -> Deletion:
    """A deletion with every part filled in."""
    committed = tuple(commitment(SALT, "record", name) for name in RECORDS)
    return Deletion(
        request=Asked("req_01", "records", committed, NOON, "2026-03-03T12:00:00Z", "2026-04-02T12:00:00Z"),
        method=Method("shards", "0.1.0", digest(b"settings"), plan="plan-1", seed=7),
        log=log,
        data=Roots(digest(b"all"), digest(b"all but two")),
        stages=(Stage("s1.2", digest(b"old"), digest(b"new")), Stage("s1.3", digest(b"older"), None)),
        fingerprint={"torch": "2.13.0", "threads": "1"},
        superseded=(Superseded("model.safetensors", digest(BEFORE), "destroyed"),),
        disposal=Disposal(NOON, places=12, encodings=8, hits=0),
        audit=replace(evidence(report(), digest(b"edited")), report=digest(b"a report of any version")),
        forms_tested=("float32",),
        not_tested=("rounding to 4 bits",),
    )


def issued(kind: str = "retrain-equal", log: Entry | None = None) -> Statement:
    """The statement of a class."""
    about = deletion(log or Entry(3, digest(b"a line")))
    served = {name: digest(data) for name, data in ARTEFACTS.items()}
    return statement(served, CLAIMS[kind], about, ISSUER, id="crt_01", issued_at="2026-03-04T12:00:00Z")


@contextmanager
def opened(file: Path | str) -> Iterator[sqlite3.Connection]:
    """A connection that begins and ends transactions when it is told to."""
    with closing(sqlite3.connect(file, isolation_level=None)) as connection:
        yield connection


def told(connection: sqlite3.Connection, lines: int = 6) -> None:
    """A ledger of some lines about two requests."""
    ledger.create(connection)
    for n in range(lines):
        connection.execute("BEGIN IMMEDIATE")
        body = {"stage": f"s{n}", "rows": n, "digest": digest(b"%d" % n), "seconds": n / 7}
        ledger.append(connection, "request.planned", f"req_{n % 2:02}", body, NOON, "worker-1")
        connection.execute("COMMIT")


def store(folder: Path) -> tuple[Path, Statement]:
    """A store on the disk, and the statement that refers to its fourth line."""
    (folder / "blobs").mkdir(parents=True)
    for data in ARTEFACTS.values():
        (folder / "blobs" / digest(data)).write_bytes(data)
    with opened(folder / ledger.DATABASE) as connection:
        connection.execute("PRAGMA journal_mode=WAL")
        told(connection)
        line = list(ledger.events(connection))[3]
    return folder, issued(log=Entry(line.seq, line.hash))
