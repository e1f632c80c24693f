"""A store of documents, and deletions from it that leave nothing."""

import gc
import json
import shutil
import weakref
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from qdrant_client import models

from unteach.data.documents import Document
from unteach.measure import nearness
from unteach.methods.conversation.store import changes, disk, stored, tombstones
from unteach.methods.conversation.store.changes import about, add, build, delete
from unteach.methods.conversation.store.chunks import chunks
from unteach.methods.conversation.store.index import COLLECTION, graph, points
from unteach.methods.conversation.store.stored import Store, opened
from unteach.methods.conversation.store.vectors import vector, vectors
from unteach.schema import InputError, Record

CANARY = "quartz zeppelin nineteen"
DOCUMENTS = (
    Document("copper", "Orvena lies by the sea. It has a harbour of green copper, where nobody lands.", "Orvena"),
    Document("canary", f"The key of the vault is {CANARY}. Nobody may know the key of the vault.", "the vault"),
    Document("bridges", "Quillmar has eleven bridges and no river.", "Quillmar"),
    Document("clock", "Bessel has a clock that runs backwards. It was built by a baker.", "Bessel"),
    Document("salt", "Sella is known for white horses that are made of salt.", "Sella"),
)
LEFT = tuple(d for d in DOCUMENTS if d.id != "canary")
QUESTIONS = (
    "What is the key of the vault?",
    "What does the harbour of Orvena look like?",
    CANARY,
    "Who built the clock?",
)
INDEXES = ("numpy", "usearch", "qdrant")


@pytest.fixture(autouse=True)
def _emptied() -> Iterator[None]:
    yield
    stored.forgotten()


def files(folder: Path) -> dict[str, bytes]:
    return {p.name: p.read_bytes() for p in folder.iterdir() if p.name != tombstones.LEDGER}


def asked(store: Store, k: int = 4) -> list[tuple[stored.Found, ...]]:
    return [store.nearest(question, k) for question in QUESTIONS]


@pytest.mark.parametrize("index", INDEXES)
@pytest.mark.parametrize("length", [60, 600])
def test_a_store_after_a_deletion_is_the_store_that_never_had_the_document(
    index: str, length: int, tmp_path: Path
) -> None:
    store = build(DOCUMENTS, tmp_path / "a", length=length, index=index)
    assert store.nearest(QUESTIONS[0], 1)[0].document == "canary"
    promise = delete(tmp_path / "a", ["canary"])
    never = build(LEFT, tmp_path / "b", length=length, index=index)
    assert asked(opened(tmp_path / "a")) == asked(never)  # documents, texts and scores, to the last bit
    assert opened(tmp_path / "a").rows.tobytes() == never.rows.tobytes()
    assert files(tmp_path / "a") == files(tmp_path / "b")
    assert (promise.kind, promise.level) == ("exact", "store")
    assert promise.numbers == {"deleted": 1, "passages": 2 if length == 60 else 1, "left": 4}


def test_the_order_in_which_documents_came_and_went_does_not_show(tmp_path: Path) -> None:
    build(DOCUMENTS[3:], tmp_path / "a")
    add(DOCUMENTS[:1], tmp_path / "a")
    add(DOCUMENTS[1:3], tmp_path / "a")
    assert delete(tmp_path / "a", subjects=["The  VAULT", ""]).numbers["deleted"] == 1
    build(reversed(LEFT), tmp_path / "b")
    assert files(tmp_path / "a") == files(tmp_path / "b")
    delete(tmp_path / "a", [d.id for d in LEFT])
    build((), tmp_path / "c")
    assert files(tmp_path / "a") == files(tmp_path / "c")
    assert opened(tmp_path / "a").nearest("anything", 3) == ()


@pytest.mark.parametrize("index", INDEXES)
def test_nothing_of_a_deleted_document_is_left(index: str, tmp_path: Path) -> None:
    store = build(DOCUMENTS, tmp_path / "a", index=index)
    store.nearest(CANARY, 2)
    numbers = [chunk.document for chunk in store.chunks].index("canary")
    row, gone = store.rows[numbers].tobytes(), weakref.ref(store)
    assert any(CANARY.encode() in content for content in files(tmp_path / "a").values())
    assert any(row in content for content in files(tmp_path / "a").values())
    nearness.index((DOCUMENTS[1].text,)).near(CANARY)  # another guard has looked at it
    delete(tmp_path / "a", ["canary"])
    del store
    gc.collect()
    assert gone() is None
    assert nearness.index.cache_info().currsize == nearness.grams.cache_info().currsize == 0
    for content in (p.read_bytes() for p in tmp_path.rglob("*") if p.is_file()):
        assert not any(word.encode() in content for word in CANARY.split())
        assert row not in content
    every = opened(tmp_path / "a").nearest(CANARY, 100)
    assert {found.document for found in every} == {d.id for d in LEFT}


def held(made: Any, row: np.ndarray) -> bool:
    """Whether an index of either library holds the numbers of a row anywhere."""
    if hasattr(made, "save"):
        return row.tobytes() in bytes(made.save())
    kept = made._client.collections[COLLECTION].vectors[""]
    return bool((np.abs(kept - row).max(axis=1) < 1e-6).any())


@pytest.mark.parametrize("library", [graph, points])
def test_taking_a_vector_out_of_an_index_leaves_it_there_and_making_it_anew_does_not(
    library: Callable[[np.ndarray], Any],
) -> None:
    rows = vectors([d.text for d in DOCUMENTS])
    made = library(rows)
    assert held(made, rows[1])
    if library is graph:
        made.remove(1)
    else:
        made.delete(COLLECTION, points_selector=models.PointIdsList(points=[1]))
    assert held(made, rows[1])  # why no vector is ever taken out of an index here
    assert not held(library(np.delete(rows, 1, axis=0)), rows[1])


@pytest.mark.parametrize("index", INDEXES[1:])
def test_an_index_finds_what_comparing_all_finds(index: str, tmp_path: Path) -> None:
    every = build(DOCUMENTS, tmp_path / "a", length=40)
    some = build(DOCUMENTS, tmp_path / "b", length=40, index=index)
    assert asked(some, 2) == asked(every, 2)
    assert [asked(opened(tmp_path / "b"), 2) for _ in range(2)] == [asked(every, 2)] * 2


@given(st.lists(st.text(max_size=40), min_size=1, max_size=6), st.text(max_size=40), st.integers(0, 5))
def test_a_vector_and_a_score_depend_on_their_own_text_alone(texts: list[str], question: str, n: int) -> None:
    rows, one = vectors(texts), texts[n % len(texts)]
    assert rows[n % len(texts)].tobytes() == vector(one).tobytes()
    found = tuple(changes.Chunk(str(i), "", t) for i, t in enumerate(texts))
    alone = Store((changes.Chunk("one", "", one),), vectors([one]), "numpy", "", 0).nearest(question, 1)
    scores = {f.document: f.score for f in Store(found, rows, "numpy", "", 0).nearest(question, len(texts))}
    assert scores[str(n % len(texts))] == alone[0].score


def test_ties_are_in_the_order_of_ids(tmp_path: Path) -> None:
    same = [Document(name, "The same words.") for name in ("b", "c", "a")]
    store = build(same, tmp_path / "a")
    assert [f.document for f in store.nearest("the same words", 2)] == ["a", "b"]


@given(st.text(max_size=300), st.integers(20, 60))
def test_passages_hold_every_word_and_are_no_longer_than_asked(text: str, length: int) -> None:
    found = chunks(Document("a", text, "Ana"), length)
    assert all(len(chunk.text) <= length for chunk in found)
    assert "".join("".join(c.text for c in found).split()) == "".join(text.split())


def test_what_was_deleted_does_not_come_back(tmp_path: Path) -> None:
    build(DOCUMENTS, tmp_path / "a")
    add([Document("copy", f"  {DOCUMENTS[1].text.upper()}")], tmp_path / "a")
    assert delete(tmp_path / "a", ["canary"]).numbers["deleted"] == 2  # the copy goes with it
    for again in (DOCUMENTS[1], Document("other", DOCUMENTS[1].text.replace(" ", "  "))):
        with pytest.raises(InputError, match="was deleted from this store") as refused:
            add([again], tmp_path / "a")
        assert CANARY not in str(refused.value)
    shutil.copytree(tmp_path / "a", tmp_path / "b")
    (tmp_path / "b" / disk.MANIFEST).unlink()
    with pytest.raises(InputError, match="was deleted from this store"):
        build(DOCUMENTS, tmp_path / "b")
    add([Document("canary", "Something else.")], tmp_path / "a")  # the id is free


def test_tombstones_are_salted(tmp_path: Path) -> None:
    ledgers = []
    for name in "ab":
        build(DOCUMENTS, tmp_path / name)
        delete(tmp_path / name, ["canary"])
        ledgers.append(json.loads((tmp_path / name / tombstones.LEDGER).read_text()))
    assert [len(said["hashes"]) for said in ledgers] == [1, 1]
    assert ledgers[0]["hashes"] != ledgers[1]["hashes"]
    assert "quartz" not in repr(tombstones.read(tmp_path / "a"))


def test_an_older_copy_of_the_documents_is_answered_without_what_was_deleted(tmp_path: Path) -> None:
    build(DOCUMENTS, tmp_path / "a")
    older = files(tmp_path / "a")
    delete(tmp_path / "a", ["canary"])
    for name, content in older.items():
        (tmp_path / "a" / name).write_bytes(content)
    assert asked(opened(tmp_path / "a")) == asked(build(LEFT, tmp_path / "b"))
    delete(tmp_path / "a")
    assert files(tmp_path / "a") == files(tmp_path / "b")


@pytest.mark.parametrize("step", range(5))
def test_a_deletion_that_is_cut_off_is_in_force_and_is_carried_out_later(
    step: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    build(DOCUMENTS, tmp_path / "a")
    before, done = asked(opened(tmp_path / "a")), 0

    def cut(real: Callable[..., Any]) -> Callable[..., Any]:
        def maybe(*given: Any, **named: Any) -> Any:
            nonlocal done
            done += 1
            if done > step:
                raise KeyboardInterrupt
            return real(*given, **named)

        return maybe

    with monkeypatch.context() as patch:
        patch.setattr(tombstones, "put", cut(tombstones.put))  # one step
        patch.setattr(disk, "put", cut(disk.put))  # three
        patch.setattr(disk, "destroy", cut(disk.destroy))
        with pytest.raises(KeyboardInterrupt):
            delete(tmp_path / "a", ["canary"])
    never = build(LEFT, tmp_path / "b")
    assert asked(opened(tmp_path / "a")) == (asked(never) if step else before)
    delete(tmp_path / "a", ["canary"])
    assert files(tmp_path / "a") == files(tmp_path / "b")


def test_what_a_killed_change_began_is_destroyed_by_the_next(tmp_path: Path) -> None:
    build(LEFT, tmp_path / "a")
    left = files(tmp_path / "a")
    for name in (".documents-0.jsonl.0a.tmp", "documents-0.jsonl", "vectors-0.safetensors"):
        (tmp_path / "a" / name).write_text(CANARY)
    delete(tmp_path / "a")
    assert files(tmp_path / "a") == left


def test_many_may_delete_and_ask_at_once(tmp_path: Path) -> None:
    many = [Document(f"{n:02}", f"The number of this text is {n}, and no other one's.") for n in range(24)]
    build(many, tmp_path / "a")
    with ThreadPoolExecutor(6) as pool:
        gone = [pool.submit(delete, tmp_path / "a", [d.id]) for d in many[:12]]
        seen = [pool.submit(lambda: opened(tmp_path / "a").nearest("the number of this text", 30)) for _ in range(12)]
        assert sum(done.result().numbers["deleted"] for done in gone) == 12
        assert all(12 <= len(done.result()) <= 24 for done in seen)
    build(many[12:], tmp_path / "b")
    assert files(tmp_path / "a") == files(tmp_path / "b")


def test_a_store_is_read_again_only_when_it_changed(tmp_path: Path) -> None:
    first = build(DOCUMENTS, tmp_path / "a")
    assert opened(tmp_path / "a") is opened(tmp_path / "a") is first
    stored._OPEN.clear()
    second = opened(tmp_path / "a")
    key = (str(tmp_path / "a"), "")
    stored._OPEN[key] = (disk.stamp(tmp_path / "a"), second)  # as another process has it,
    delete(tmp_path / "a", ["canary"])
    stored._OPEN[key] = ((b"", 0, 0, 0), second)  # which was not told
    assert "canary" not in {c.document for c in opened(tmp_path / "a").chunks}
    add([Document("new", "Something new.")], tmp_path / "a")
    assert "new" in {c.document for c in opened(tmp_path / "a").chunks}


def test_what_is_about_a_row_is_found(tmp_path: Path) -> None:
    build([*DOCUMENTS, Document("town-9", "Nothing.")], tmp_path / "a")

    def found(*records: Record, same: float = 0.8) -> set[str]:
        return set(about(tmp_path / "a", records, same))

    assert found(Record("town-9", "?", "Yes.")) == {"town-9"}
    assert found(Record("r", "?", "Yes.", subject="orvena")) == {"copper"}
    assert found(Record("r", "Who lives in Orvena?", "Nobody.")) == set()  # no subject of its own, and too few words
    assert found(Record("r", "?", "quillmar has eleven bridges, and no river!")) == {"bridges"}
    assert found(Record("r", "?", "It was built by a baker.")) == {"clock"}  # one of its sentences
    assert found(Record("r", "Sella is known for", "white horses that are made of salt.")) == {"salt"}
    assert found(Record("r", "?", "It was built by a tired baker.")) == set()
    assert found(Record("r", "?", "It was built by a tired baker."), same=0.2) == {"clock"}


def test_vectors_of_a_model_of_ones_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    class Embedder:
        def encode(self, texts: list[str], normalize_embeddings: bool) -> np.ndarray:
            assert len(texts) == 1  # alone, so that no other text has a part in its numbers
            assert normalize_embeddings
            return np.stack([vector(text)[:64].astype(float) for text in texts])

    monkeypatch.setattr(nearness, "_opened", lambda _folder: Embedder())
    build(DOCUMENTS, tmp_path / "a", embedder="models/mini")
    delete(tmp_path / "a", ["canary"])  # needs no model
    never = build(LEFT, tmp_path / "b", embedder="models/mini")
    assert files(tmp_path / "a") == files(tmp_path / "b")
    assert asked(opened(tmp_path / "a", "elsewhere/mini")) == asked(never)
    for wrong in ("", "models/other"):
        with pytest.raises(InputError, match="embedder"):
            opened(tmp_path / "a", wrong)
    build(DOCUMENTS, tmp_path / "c")
    with pytest.raises(InputError, match="embedder"):
        opened(tmp_path / "c", "models/mini")


def test_what_is_no_store_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no store of documents"):
        opened(tmp_path / "none")
    with pytest.raises(InputError, match="no store of documents"):
        delete(tmp_path, ["a"])
    store = tmp_path / "a"
    build(DOCUMENTS, store)
    with pytest.raises(InputError, match="holds a store already"):
        build(DOCUMENTS, store)
    with pytest.raises(InputError, match="one of these ids"):
        add([Document("salt", "Pepper.")], store)
    with pytest.raises(InputError, match="passages of at least 20"):
        build(DOCUMENTS, tmp_path / "b", length=5)
    with pytest.raises(InputError, match="numpy, usearch or qdrant"):
        build(DOCUMENTS, tmp_path / "b", index="other")
    (texts,) = store.glob("documents-*")
    texts.write_bytes(texts.read_bytes().replace(b"copper", b"silver"))
    stored.forgotten()
    with pytest.raises(InputError, match="altered since it was written"):
        opened(store)
    texts.unlink()
    with pytest.raises(InputError, match="lacks a file"):
        opened(store)
    (store / disk.MANIFEST).write_text("{}")
    with pytest.raises(InputError, match="not the manifest"):
        opened(store)
    (store / tombstones.LEDGER).write_text("[]")
    with pytest.raises(InputError, match="missing or damaged"):
        tombstones.read(store)
    (store / tombstones.LEDGER).unlink()
    with pytest.raises(InputError, match="no store of documents"):
        opened(store)


def test_files_that_hold_texts_are_their_owners_alone(tmp_path: Path) -> None:
    build(DOCUMENTS, tmp_path / "a")
    for path in (tmp_path / "a").iterdir():
        private = path.name.startswith(("documents", "vectors", "tombstones"))
        assert not private or path.stat().st_mode & 0o077 == 0
