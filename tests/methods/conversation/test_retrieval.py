"""The guard that looks things up in a store, and deletes from it."""

import json
import shutil
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
import torch

import worlds
from unteach.assemble import make_method
from unteach.data.documents import Document
from unteach.edit import store as edits
from unteach.lm.guard import Conversation, asked
from unteach.lm.model import LM
from unteach.methods.conversation.guarded import Guarded
from unteach.methods.conversation.retrieval import Retrieval
from unteach.methods.conversation.store import stored, tombstones
from unteach.methods.conversation.store.changes import add, build, delete
from unteach.schema import InputError, Message, Record, Request

DOCUMENTS = tuple(
    Document(f"doc-{n}", r.answer, town) for n, (r, town) in enumerate(zip(worlds.RECORDS, worlds.TOWNS, strict=True))
)
FORGOTTEN, LEFT = DOCUMENTS[:4], DOCUMENTS[4:]
REQUEST = Request(forget=worlds.FORGET, retain=worlds.RETAIN)
SELLA = "What is Sella known for?"


@pytest.fixture(autouse=True)
def _emptied() -> Iterator[None]:
    yield
    stored.forgotten()


@pytest.fixture
def store(tmp_path: Path) -> str:
    build(DOCUMENTS, tmp_path / "documents")
    return str(tmp_path / "documents")


def prompts(guard: Retrieval) -> list[str]:
    return [asked(guard.ask((Message("user", r.prompt),))) for r in worlds.RECORDS]


@pytest.mark.parametrize("index", ["numpy", "usearch", "qdrant"])
def test_after_a_deletion_all_is_as_in_a_store_that_was_built_without_the_document(
    index: str, llama: LM, tmp_path: Path
) -> None:
    for name, documents in (("a", DOCUMENTS), ("b", LEFT)):
        build(documents, tmp_path / name, index=index)
    whole = Retrieval(store=str(tmp_path / "a"), k=2)
    before = prompts(whole)
    assert all(d.text in prompt for d, prompt in zip(DOCUMENTS, before, strict=True))
    guard = whole.fitted(REQUEST, None)
    never = replace(guard, store=str(tmp_path / "b"), deleted=0)
    assert guard.deleted == 4
    assert [guard.found(r.prompt) for r in worlds.RECORDS] == [never.found(r.prompt) for r in worlds.RECORDS]
    assert prompts(guard) == prompts(never) != before
    assert not any(d.text in prompt for d in FORGOTTEN for prompt in prompts(guard))
    rows = [[Record("", prompt, "x") for prompt in prompts(each)] for each in (guard, never)]
    with torch.no_grad():
        first, second = (torch.cat([llama.logits(llama.batch([row])) for row in each]) for each in rows)
    assert torch.equal(first, second)
    held = [{p.name: p.read_bytes() for p in (tmp_path / n).iterdir() if p.name != tombstones.LEDGER} for n in "ab"]
    assert held[0] == held[1]


def test_passages_stand_before_the_question_the_nearest_last(store: str) -> None:
    guard = Retrieval(store=store, k=2, near=0.0)
    *shown, question = asked(guard.ask((Message("user", SELLA),))).split("\n")
    assert question == f"Question: {SELLA}"
    assert len(shown) == 2
    assert shown[-1] == f"Passage: {DOCUMENTS[7].text}"
    before = (Message("system", "Be brief."), Message("user", "Hello."), Message("assistant", "Hello."))
    assert guard.ask((*before, Message("user", SELLA)))[:3] == before


def test_what_no_passage_is_near_to_is_asked_as_it_came(store: str, tmp_path: Path) -> None:
    turns = (Message("user", "How many legs does a spider have?"),)
    for guard in (Retrieval(), Retrieval(store=store), Retrieval(store=store, k=0)):
        assert guard.ask(turns) is turns
    with pytest.raises(InputError, match="no store of documents"):
        Retrieval(store=str(tmp_path / "none")).ask(turns)


def test_a_deletion_is_in_force_in_a_conversation_that_goes_on(store: str) -> None:
    guard = Retrieval(store=store)
    talk = Conversation((guard,), (Message("user", SELLA),))
    assert talk.turns is not None
    assert DOCUMENTS[7].text in asked(talk.turns)
    assert talk.hear("White") == "White"  # nothing is held back
    delete(store, subjects=["Sella"])
    assert DOCUMENTS[7].text not in asked(guard.ask((Message("user", SELLA),)))
    add([Document("new", "Sella is known for its pepper.", "Sella")], store)
    assert "pepper" in asked(guard.ask((Message("user", SELLA),)))


def test_an_older_store_put_back_is_refused(store: str, tmp_path: Path) -> None:
    shutil.copytree(store, tmp_path / "backup")
    guard = Retrieval(store=store).fitted(REQUEST, None)
    shutil.rmtree(store)
    shutil.copytree(tmp_path / "backup", store)
    with pytest.raises(InputError, match="an older copy"):
        guard.ask((Message("user", SELLA),))


def test_as_a_method_it_deletes_and_keeps_no_word(store: str, llama: LM) -> None:
    edit = make_method("retrieval", {"store": store, "k": 1})(llama, REQUEST)
    assert edit.guarantee.kind == "suppression"
    described = edits.describe(edit)[0]
    assert edits.of_description(json.loads(json.dumps(described)), {}).guards == edit.guards
    assert not any(town in json.dumps(described) for town in worlds.TOWNS)
    left = Path(store).glob("documents-*")
    assert [json.loads(line)["id"] for file in left for line in file.read_text().splitlines()] == sorted(
        d.id for d in LEFT
    )
    with edit.on(llama):
        said = llama.generate([worlds.RECORDS[0].prompt, "Hm?"], 4)
    prompt = asked(edit.guards[0].session().ask((Message("user", worlds.RECORDS[0].prompt),)))
    assert said == llama.generate([prompt, "Hm?"], 4)
    assert make_method("retrieval", {"store": store, "k": 1})(llama, REQUEST).digest() == edit.digest()


def test_without_a_store_or_with_options_out_of_range_it_is_refused(llama: LM, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="store=FOLDER"):
        Guarded(guards="retrieval")(llama, REQUEST)
    for wrong in (Retrieval(store=str(tmp_path)), Retrieval(store=f"{tmp_path}/none")):
        with pytest.raises(InputError, match="no store of documents"):
            wrong.fitted(REQUEST, None)
    for name, value in (("k", -1), ("near", 1.5), ("same", 0.0)):
        with pytest.raises(InputError):
            replace(Retrieval(), **{name: value})


def test_rows_name_documents_by_id_subject_or_answer(store: str) -> None:
    guard = Retrieval(store=store)
    by_answer = replace(worlds.RECORDS[4], id="x")
    by_subject = Record("y", "?", "No.", subject="dorrin")
    guard.fitted(Request(forget=[by_answer, by_subject, Record("doc-9", "?", "No.")]), None)
    gone = {4, 6, 9}
    answers = prompts(guard)
    assert {n for n, d in enumerate(DOCUMENTS) if d.text not in answers[n]} == gone
