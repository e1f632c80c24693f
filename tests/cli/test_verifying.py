"""Certificates and ledgers are checked from the command line; the exit code says which way it went."""

import json
import sqlite3
from contextlib import closing
from pathlib import Path
from shutil import copytree
from typing import NamedTuple

import pytest
from driven import run, went_well

from unteach.schema import EMPIRICAL
from unteach.service import keys, ledger
from unteach.service.predicate import Asked, Deletion, Entry, Issuer, Method
from unteach.service.statement import commitment, sign, statement

NOON = "2026-03-02T12:00:00Z"
DIGEST = "3d1d5cd2ba4e0b3c1a3e5d3e4ff4c4d6d3f2d2f2b6b0d5f1c8f6c8a9a7b5c3d1"


class Issued(NamedTuple):
    certificate: Path
    key: Path
    store: Path
    checkpoints: Path


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Issued:
    """A store whose ledger has two lines, and a certificate of what it tells."""
    place = tmp_path_factory.mktemp("issued")
    store, file = place / "store", place / "certificate.json"
    key = keys.new(place / "issuer")
    (store / "blobs").mkdir(parents=True)
    with closing(sqlite3.connect(store / ledger.DATABASE, isolation_level=None)) as connection:
        ledger.create(connection)
        for kind in ("request.received", "request.released"):
            connection.execute("BEGIN IMMEDIATE")
            last = ledger.append(connection, kind, "req_01", {"rows": 1}, NOON, "worker-1")
            connection.execute("COMMIT")
        ledger.checkpoint(connection, place / "checkpoints", key, NOON)
    asked = Asked("req_01", "records", (commitment(bytes(32), "record", "row-1"),), NOON, NOON)
    about = Deletion(asked, Method("simnpo", "0.1.0", DIGEST), Entry(last.seq, last.hash), not_tested=("jailbreaks",))
    (store / "blobs" / DIGEST).write_bytes(b"not what the name says")
    issuer = Issuer("Example Ltd", keys.key_id(key.public_key()))
    said = statement({"model.safetensors": DIGEST}, EMPIRICAL, about, issuer, id="crt_01", issued_at=NOON)
    file.write_bytes(sign(said, key))
    return Issued(file, place / "issuer.pub", store, place / "checkpoints")


def test_a_certificate_is_verified_and_an_altered_one_refused(made: Issued, tmp_path: Path) -> None:
    ran = went_well("verify", made.certificate, "--key", made.key)
    assert "class: empirical. Measured:" in ran.out
    assert "not covered: What the base model was pretrained on." in ran.out
    assert "not tested: jailbreaks" in ran.out
    assert "holds: signature. Example Ltd signed this" in ran.out
    altered = tmp_path / "altered.json"
    altered.write_bytes(made.certificate.read_bytes() + b"\n")
    ran = run("verify", altered, "--key", made.key)
    assert (ran.code, ran.out.startswith("FAILS: signature. altered.json is not in canonical form")) == (1, True)
    assert "class:" not in ran.out
    keys.new(tmp_path / "other")
    ran = run("verify", made.certificate, "--key", tmp_path / "other.pub")
    assert (ran.code, "not among the given ones" in ran.out) == (1, True)


def test_the_answer_is_json_too(made: Issued, tmp_path: Path) -> None:
    found = json.loads(went_well("verify", made.certificate, "--key", made.key, "--json").out)
    assert found["verified"] is True
    assert [c["name"] for c in found["checks"]] == ["signature"]
    assert found["certificate"]["predicate"]["guarantee"]["kind"] == "empirical"
    (tmp_path / "cut.json").write_bytes(made.certificate.read_bytes()[:-1])
    ran = run("verify", tmp_path / "cut.json", "--key", made.key, "--json")
    found = json.loads(ran.out)
    assert (ran.code, found["verified"], found["certificate"]) == (1, False, None)


def test_a_store_is_looked_through(made: Issued) -> None:
    ran = run("verify", made.certificate, "--key", made.key, "--store", made.store)
    assert ran.code == 1
    assert "FAILS: artefacts. model.safetensors in the store is not what was signed" in ran.out
    assert "holds: entry. line 2 of the ledger tells of req_01" in ran.out


def test_a_ledger_is_verified_and_one_that_was_cut_is_refused(made: Issued, tmp_path: Path) -> None:
    ran = went_well("verify", "--log", made.store)
    assert "without checkpoints nobody can tell whether the end was cut off" in ran.out
    words = ("--checkpoints", made.checkpoints, "--key", made.key)
    assert f"line 2 was signed at {NOON}" in went_well("verify", "--log", made.store, *words).out
    other = copytree(made.store, tmp_path / "store")
    with closing(sqlite3.connect(other / ledger.DATABASE, isolation_level=None)) as connection:
        connection.execute("DROP TRIGGER events_remain")
        connection.execute("DELETE FROM events WHERE seq = 2")
    assert went_well("verify", "--log", other)
    ran = run("verify", "--log", other / ledger.DATABASE, *words)
    assert (ran.code, "line 2 was signed, and the ledger does not hold it" in ran.out) == (1, True)


def test_a_revoked_certificate_no_longer_verifies(made: Issued, tmp_path: Path) -> None:
    listed, store = tmp_path / "revocations.json", copytree(made.store, tmp_path / "store")
    (store / "blobs" / DIGEST).unlink()
    checked = ("verify", made.certificate, "--key", made.key)
    words = ("revoke", made.certificate, "--key", made.key.with_suffix(""), "--list", listed)
    for wrong, says in (
        (("--reason", "because"), "choose mistaken, returned"),
        (("--reason", "key", "--log", tmp_path), "no store"),
    ):
        ran = run(*words, *wrong)
        assert (ran.code, says in ran.last, listed.exists()) == (2, True, False)
    assert "revoked: crt_01; " in went_well(*words, "--reason", "returned", "--log", store).out
    went_well(*checked)  # the signature stays what it was
    ran = run(*checked, "--revocations", listed)
    assert ran.code == 1
    assert "FAILS: revocations. crt_01 was revoked at " in ran.out
    assert "the records came back into what is served; do not rely on it" in ran.out
    assert "line 3 of the ledger says that the certificate was revoked" in run(*checked, "--store", store).out
    ran = run(*words, "--reason", "key")
    assert (ran.code, "is on the list already" in ran.last) == (2, True)
    altered = tmp_path / "altered.json"
    altered.write_bytes(listed.read_bytes().replace(b"payloadType", b"payload-type"))
    assert "FAILS: revocations. altered.json" in run(*checked, "--revocations", altered).out
    keys.new(tmp_path / "other")
    ran = run(
        "revoke", made.certificate, "--key", tmp_path / "other", "--list", tmp_path / "new.json", "--reason", "key"
    )
    assert (ran.code, "not among the given ones" in ran.last) == (2, True)


def test_the_key_of_a_revocation_may_have_a_passphrase(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    key = keys.new(tmp_path / "issuer", b"open sesame")
    asked = Asked("req_01", "records", (commitment(bytes(32), "record", "row-1"),), NOON, NOON)
    about = Deletion(asked, Method("simnpo", "0.1.0", DIGEST), Entry(1, DIGEST))
    for n in (1, 2):
        said = statement(
            {"model": DIGEST}, EMPIRICAL, about, Issuer("Example Ltd", keys.key_id(key.public_key())), id=f"crt_{n}",
            issued_at=NOON,
        )  # fmt: skip
        (tmp_path / f"{n}.json").write_bytes(sign(said, key))
    words = ("--key", tmp_path / "issuer", "--list", tmp_path / "list.json", "--reason", "mistaken")
    assert "needs a passphrase" in run("revoke", tmp_path / "1.json", *words).last
    monkeypatch.setenv("UNTEACH_PASSPHRASE", "open sesame")
    went_well("revoke", tmp_path / "1.json", *words)
    ran = run("verify", tmp_path / "2.json", "--key", tmp_path / "issuer.pub", "--revocations", tmp_path / "list.json")
    assert (ran.code, "holds: revocations. not among the 1 revoked ones as of " in ran.out) == (0, True)
    assert "now holds 2" in went_well("revoke", tmp_path / "2.json", *words).out


@pytest.mark.parametrize(
    ("words", "says"),
    [
        ([], "nothing to verify"),
        (["@certificate"], "--key"),
        (["@none", "--key", "@key"], "cannot be read"),
        (["@certificate", "--key", "@none"], "cannot be read"),
        (["@certificate", "--key", "@certificate"], "not a"),
        (["@certificate", "--key", "@key", "--store", "@none"], "no such folder"),
        (["--log", "@none"], "there is no store"),
        (["--log", "@store", "--checkpoints", "@checkpoints"], "--key"),
        (["--log", "@store", "--checkpoints", "@none", "--key", "@key"], "no such folder"),
        (["@certificate", "--key", "@key", "--checkpoints", "@checkpoints"], "--log"),
        (["--log", "@store", "--store", "@store"], "--store"),
        (["--log", "@store", "--report", "@none"], "--report is about a certificate"),
        (["--log", "@store", "--revocations", "@none"], "--revocations is about a certificate"),
        (["@certificate", "--key", "@key", "--revocations", "@none"], "list of revocations"),
        (["@certificate", "--key", "@key", "--report", "@none"], "name a report.json"),
        (["@certificate", "--key", "@key", "--report", "@certificate"], "rests on no audit"),
    ],
)
def test_what_cannot_be_used_is_one_sentence(made: Issued, words: list[str], says: str) -> None:
    places = {**made._asdict(), "none": made.store / "none"}
    ran = run("verify", *(places[w[1:]] if w.startswith("@") else w for w in words))
    assert ran.code == 2
    assert says in ran.last
    assert ran.out == ""
