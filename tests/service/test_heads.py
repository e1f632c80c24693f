"""Heads in a store: a deletion is what the learner promises, is certified as that, and survives a stop anywhere."""

import shutil
from pathlib import Path
from random import Random
from typing import Any

import numpy as np
import pytest
from stores import PLAN, SCHOOL, WORDS, micro

from unteach.lm.heads import Head, Table
from unteach.registry import build, entries, find
from unteach.schema import InputError, Record
from unteach.service import heads, keys, verify
from unteach.service.predicate import Statement
from unteach.service.requests import ORDER, notes_of, receive, state_of
from unteach.service.states import packed, types_of, unpacked
from unteach.service.store import Settings, create, opened

LEARNERS: dict[str, dict[str, Any]] = {  # with what small data asks for
    "certifiedremoval": {}, "dckmeans": {"k": 2, "width": 2}, "descenttodelete": {}, "naivebayes": {"features": "gaussian"},
    "qkmeans": {"k": 3}, "ridge": {}, "sekhari": {"capacity": 9}, "sisafc": {}, "tvstability": {"batch": 4, "steps": 20},
}  # fmt: skip
GONE = ["row-03", "row-11"]


def rows(n: int = 30) -> list[Record]:
    dice = Random(7)
    asked = [" ".join(dice.choices(WORDS, k=2 + i % 5)) for i in range(n)]
    return [Record(f"row-{i:02d}", f"{q} {i}?", "yes", label=i % 2, subject=f"s{i // 3}") for i, q in enumerate(asked)]


@pytest.fixture(scope="module")
def shelf(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """A store of each learner."""
    place = tmp_path_factory.mktemp("heads")
    for name, options in LEARNERS.items():
        settings = Settings("micro", micro().digest(), PLAN, SCHOOL, learner=name, options=options)
        store = create(place / name, settings, rows())
        heads.fit(store, micro())
        store.close()
    return {name: place / name for name in LEARNERS}


def copied(shelf: dict[str, Path], name: str, to: Path) -> Path:
    return Path(shutil.copytree(shelf[name], to / name))


def deleted(place: Path) -> Statement:
    with opened(place) as store:
        request = receive(store, GONE, "record")
        heads.advance(store, request, say=lambda _: None)
        file = heads.certify(store, request)
    return verify.certificate(file.read_bytes(), keys.trusted(place / "issuer" / "key.pem.pub", "issuer"))


def blob(place: Path) -> str:
    with opened(place) as store:
        return str(store.db.execute("SELECT blob FROM releases WHERE retired IS NULL").fetchone()[0])


def table(ids: list[str]) -> Table:
    return heads._table(micro(), [r for r in rows() if r.id in ids])


def alike(one: Any, other: Any) -> bool:
    (form, tensors), (again, others) = packed(one), packed(other)
    return form == again and all(t.equal(others[n]) for n, t in tensors.items())


def test_every_learner_of_heads_is_here() -> None:
    found = [e.name for e in entries("learner") if find("learner", e.name).fit.__annotations__["data"] is Table]
    assert sorted(LEARNERS) == sorted(found)


@pytest.mark.parametrize("name", LEARNERS)
def test_a_state_is_kept_and_read_again_to_the_last_bit(name: str) -> None:
    learner = build("learner", name, LEARNERS[name])
    state = learner.fit(table([r.id for r in rows()]))
    form, tensors = packed(state)
    assert alike(unpacked(form, tensors, types_of(type(learner))), state)
    with pytest.raises(InputError, match="of another version"):
        unpacked(form, tensors, {})


@pytest.mark.parametrize("name", LEARNERS)
def test_a_head_is_deleted_from_as_its_learner_promises(name: str, shelf: dict[str, Path], tmp_path: Path) -> None:
    place = copied(shelf, name, tmp_path)
    before, said, after = blob(place), deleted(place), blob(place)
    learner = build("learner", name, LEARNERS[name])
    left = [r.id for r in rows() if r.id not in GONE]
    whole = learner.fit(table([r.id for r in rows()]))
    _, promise = learner.delete(whole, GONE)
    about = said.predicate.guarantee
    assert (about.kind, about.level) == (promise.kind, promise.level)
    assert {"records": 2.0, "duplicates": 0.0, "derived": 0.0}.items() <= about.numbers.items()
    assert set(promise.numbers) <= set(about.numbers)
    assert {s.name: s.digest.sha256 for s in said.subject} == {"head": after}
    assert said.predicate.deletion.method.name == name
    with opened(place) as store:
        head = heads.served(store.current())
    if promise.kind == "exact":
        assert alike(head, learner.release(learner.fit(table(left))))
    elif promise.kind == "certified":
        assert before != after
    assert all(
        c.passed for c in (verify.artefacts(said, place / "blobs"), verify.entry(said, place), verify.chain(place))
    )


def test_the_features_of_a_row_are_those_of_the_row_alone() -> None:
    """In a batch, a longer row beside it could move them; so what a deleted row was like would stay in the others."""
    every, few = table([r.id for r in rows()]), table(["row-00", "row-05"])
    assert np.array_equal(every.only(few.ids).x, few.x)


@pytest.mark.parametrize("at", ORDER[1:-1])
def test_a_deletion_that_was_stopped_goes_on(at: str, shelf: dict[str, Path], tmp_path: Path) -> None:
    whole, place = copied(shelf, "ridge", tmp_path / "whole"), copied(shelf, "ridge", tmp_path)
    deleted(whole)
    with opened(place) as store:
        request = receive(store, GONE, "record")
        heads.advance(store, request, until=at, say=lambda _: None)
    with opened(place) as store:
        heads.advance(store, request, say=lambda _: None)
        heads.certify(store, request)
        assert state_of(store, request) == "certified"
    assert blob(place) == blob(whole)


@pytest.mark.parametrize("name", ["ridge", "certifiedremoval"])
@pytest.mark.parametrize("step", ["_keep", "publish"])
def test_the_rows_are_taken_out_once_though_the_store_was_killed_in_between(
    step: str, name: str, shelf: dict[str, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    place = copied(shelf, name, tmp_path)

    def killed(*_: object) -> None:
        raise KeyboardInterrupt

    with opened(place) as store:
        request = receive(store, GONE, "record")
        with monkeypatch.context() as broken:
            broken.setattr(heads, step, killed)
            with pytest.raises(KeyboardInterrupt):
                heads.advance(store, request, say=lambda _: None)
        assert state_of(store, request) == "fenced"
        was = heads._kept(store)
        assert (request in was[1]) == (step == "publish")
    with opened(place) as store:
        heads.advance(store, request, say=lambda _: None)
        now = heads._kept(store)
        assert step == "_keep" or alike(now[0], was[0])  # of certified removal a second deletion would have cost more
        assert sorted(now[0].table.ids) == [r.id for r in rows() if r.id not in GONE]


def test_nothing_of_the_rows_can_be_read_in_the_store(shelf: dict[str, Path], tmp_path: Path) -> None:
    place = copied(shelf, "certifiedremoval", tmp_path)
    sealed = {f.name: f.read_bytes() for f in (place / "keys" / "state").iterdir()}
    with opened(place) as store:
        x = store.vault.kept("state")[1]
        assert x
        noise = heads._kept(store)[0].noise.tobytes()
    deleted(place)
    assert not {f.name for f in (place / "keys" / "state").iterdir()} & set(sealed)
    secret = [*(r.prompt.encode() for r in rows()), *(t.numpy().tobytes() for t in x.values() if t.numel() > 8), noise]
    for file in (f for f in place.rglob("*") if f.is_file()):
        content = file.read_bytes()
        assert not any(one in content for one in secret), file.name
    with opened(place) as store:
        request = notes_of(store, "R000001")
        assert isinstance(heads.served(store.current()), Head)
        assert not [b for b in request["destroyed"] if (place / "blobs" / b).exists()]
        assert {r.id for r in store.alive()} == {r.id for r in rows()} - set(GONE)


def test_what_learns_otherwise_is_refused() -> None:
    for name in ("erase", "ngram", "sisa"):
        with pytest.raises(InputError, match="does not learn a head from labelled rows"):
            heads.learns_heads(name, {})
    with pytest.raises(InputError, match="penalty"):
        heads.learns_heads("ridge", {"penalty": "0"})
