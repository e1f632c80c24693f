"""A request from its arrival to its certificate, on a small store."""

import json
from collections.abc import Sequence
from pathlib import Path

import pytest
from stores import micro, rows

from unteach.edit.store import load as load_edit
from unteach.methods.exact.shards.nodes import missing
from unteach.schema import InputError
from unteach.service import keys, ledger, verify
from unteach.service.certifying import certify
from unteach.service.deletion import Desk, advance, train
from unteach.service.requests import notes_of, open_requests, receive, state_of, subject_ids
from unteach.service.store import Store, opened


def deleted(place: Path, ids: Sequence[str], policy: str = "record") -> tuple[str, dict]:
    with opened(place) as store:
        desk = Desk(store, micro())
        request = receive(store, ids, policy)
        advance(desk, request)
        certify(desk, request)
        return request, notes_of(store, request)


def nodes(place: Path) -> dict[str, str]:
    with opened(place) as store:
        return dict(store.db.execute("SELECT id, blob FROM nodes").fetchall())


def test_a_deletion_leaves_what_a_clean_build_of_the_rest_makes(place: Path) -> None:
    before = nodes(place)
    request, notes = deleted(place, ["person-1", "person-9"])
    with opened(place) as store:
        assert state_of(store, request) == "certified"
        desk = Desk(store, micro())
        left = store.alive()
        assert {r.id for r in left} == {r.id for r in rows()} - {"person-1", "person-9"}
        build = desk.build(left)
        again = {n.id: store.blob_of(n.id) for chain in build.values() for n in chain}
        store.db.execute("DELETE FROM nodes")  # a clean build of the same store
        assert len(missing(build, store)) == len(again)
        train(desk)
        assert {n: store.blob_of(n) for n in again} == again
        served = store.db.execute("SELECT blob, level FROM releases WHERE retired IS NULL").fetchone()
        assert served == (notes["blob"], "retrain-equal")
    assert set(notes["touched"]) == set(before) - set(again)
    assert notes["trained"] == notes["records"] <= notes["whole"]
    # Where rows lie is drawn for each store: two may lie at the beginnings of all shards, and nothing is saved then.
    assert notes["records"] == notes["whole"] or len(notes["touched"]) < len(before)


def test_what_the_rows_fed_is_destroyed(place: Path) -> None:
    with opened(place) as store:
        first = store.current()
        old = {b for (b,) in store.db.execute("SELECT blob FROM releases")}
    _, notes = deleted(place, [r.id for r in rows() if r.subject == "subject-2"])
    assert not first.exists()
    assert old <= set(notes["destroyed"])
    assert not [b for b in notes["destroyed"] if (place / "blobs" / b).exists()]
    with opened(place) as store:
        assert store.current().is_dir()
        owner = store.vault.commitment("subject", "subject-2")
        assert not store.vault.holds(owner)
        assert len(list((place / "keys").iterdir())) == 1 + 5
        edit = load_edit(store.current())
        assert (edit.guarantee.kind, edit.guarantee.level) == ("exact", "retrain-equal")


def test_a_release_that_never_read_the_rows_is_served_before_anything_is_trained(place: Path) -> None:
    with opened(place) as store:
        desk = Desk(store, micro())
        before = nodes_of(store)
        request = receive(store, ["person-4"], "record")
        advance(desk, request, until="swapped")
        assert nodes_of(store) == before
        edit = load_edit(store.current())
        level, used = store.db.execute("SELECT level, nodes FROM releases WHERE retired IS NULL").fetchone()
        assert level == edit.guarantee.level == "influence-free"
        assert not set(json.loads(used)) & set(notes_of(store, request)["touched"])
        assert open_requests(store) == [request]
        advance(desk, request)
        assert load_edit(store.current()).guarantee.level == "retrain-equal"


def nodes_of(store: Store) -> set[str]:
    return {n for (n,) in store.db.execute("SELECT id FROM nodes")}


def test_requests_that_were_priced_side_by_side_leave_no_stage_that_either_fed(place: Path) -> None:
    with opened(place) as store:
        desk = Desk(store, micro())
        requests = [receive(store, [i], "record") for i in ("person-1", "person-10")]
        for request in requests:
            advance(desk, request, until="planned")
        for request in requests:
            advance(desk, request)
        clean = {n.id for chain in desk.build(store.alive()).values() for n in chain}
        assert nodes_of(store) == clean
        served = {b for (b,) in store.db.execute("SELECT blob FROM releases WHERE retired IS NULL")}
        assert {f.name for f in (place / "blobs").iterdir()} == served | {store.blob_of(n) for n in clean}


def test_the_duplicates_of_a_request_are_deleted_with_it(place: Path) -> None:
    _, notes = deleted(place, ["person-0"], "exact")
    assert (notes["duplicates"], notes["derived"]) == (1, 0)
    with opened(place) as store:
        assert not {"person-0", "twin"} & {r.id for r in store.alive()}


def test_the_certificate_is_checked_by_whoever_has_the_public_key(place: Path) -> None:
    request, notes = deleted(place, ["person-3"])
    trust = keys.trusted(place / "issuer" / "key.pem.pub", "issuer")
    said = verify.certificate((place / "certificates" / f"{request}.json").read_bytes(), trust)
    assert said.predicate.guarantee.kind == "exact"
    assert said.predicate.guarantee.numbers == {
        "records": 1,
        "duplicates": 0,
        "derived": 0,
        "trained": notes["trained"],
    }
    assert said.predicate.deletion.forms_tested == ()
    assert said.predicate.deletion.not_tested[0].startswith("Other rows that say the same: none were looked for")
    assert said.predicate.deletion.data is not None
    assert said.predicate.deletion.data.before != said.predicate.deletion.data.after
    assert verify.entry(said, place).passed
    assert verify.artefacts(said, place / "blobs").passed
    assert verify.chain(place, place / "checkpoints", trust).passed
    assert "person-3" not in (place / "certificates" / f"{request}.json").read_text()
    (place / "blobs" / notes["blob"]).write_bytes(b"other")
    assert not verify.artefacts(said, place / "blobs").passed


def test_a_damaged_stage_is_made_again_and_never_served(place: Path) -> None:
    found = nodes(place)
    for n, blob in enumerate(found.values()):
        file = place / "blobs" / blob
        content = bytearray(file.read_bytes())
        if n % 3 == 0:
            content[len(content) // 2] ^= 1
            file.write_bytes(content)
        elif n % 3 == 1:
            file.write_bytes(content[:-7])
        else:
            file.unlink()
    with opened(place) as store:
        assert all(store.get(n) is None for n in found)
        train(Desk(store, micro()))
        assert dict(store.db.execute("SELECT id, blob FROM nodes").fetchall()) == found
        assert all(store.get(n) is not None for n in found)


def test_a_full_disk_loses_nothing(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_args: object, **_more: object) -> None:
        raise OSError(28, "No space left on device", "blob")

    with opened(place) as store:
        request = receive(store, ["person-7"], "record")
        with monkeypatch.context() as broken:
            broken.setattr("unteach.service.blobs.put", full)
            with pytest.raises(OSError, match="No space"):
                advance(Desk(store, micro()), request)
        state = state_of(store, request)
        assert state in ("fenced", "swapped")
        advance(Desk(store, micro()), request)
        assert ledger.check(store.db).seq > 0


def test_what_cannot_be_is_refused(place: Path) -> None:
    with opened(place) as store:
        desk = Desk(store, micro())
        for ids, why in ((["nobody"], "1 of 1 ids"), (["person-1", "person-1"], "1 of 2 ids"), ([], "0 of 0")):
            with pytest.raises(InputError, match=why):
                receive(store, ids)
        with pytest.raises(InputError, match="no record of the store bears"):
            subject_ids(store, "nobody")
        assert subject_ids(store, "subject-0") == ["person-0", "person-1", "person-2"]
        request = receive(store, [r.id for r in rows()])
        with pytest.raises(InputError, match="nothing would be left"):
            advance(desk, request)
        assert state_of(store, request) == "refused"
        assert open_requests(store) == []  # and so the next `unteach delete` does not stumble over it
        with pytest.raises(InputError, match="another process"), opened(place):
            pass
    with pytest.raises(InputError, match="there is no store"), opened(place / "data"):
        pass


def test_nothing_in_the_store_says_what_a_record_said(place: Path) -> None:
    deleted(place, ["person-2"])
    secret = [r for r in rows() if r.id in ("person-2", "person-5")]
    for file in (f for f in place.rglob("*") if f.is_file()):
        content = file.read_bytes()
        for record in secret:
            for text in (record.prompt, record.id, record.subject):
                assert text.encode() not in content, file.name
