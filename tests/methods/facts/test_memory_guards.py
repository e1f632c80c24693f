"""What defines the methods that say facts before a question: who meets them, what comes of it, and who is spared."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from golden_edits import Golden

import towns
import worlds
from unteach.data.facts import read_facts
from unteach.edit import store
from unteach.lm.fresh import fresh
from unteach.lm.guard import Guard
from unteach.lm.model import LM
from unteach.measure import nearness
from unteach.measure.nearness import index, named
from unteach.methods.facts.grace import GRACE
from unteach.methods.facts.ike import IKE, InContext
from unteach.methods.facts.remembered import remembered
from unteach.methods.facts.scope import fitted, likely, sights
from unteach.methods.facts.serac import SERAC, Scoped
from unteach.methods.facts.wise import WISE
from unteach.schema import InputError, Message, Request

ORVENA, BESSEL = towns.fact("Orvena", "glass"), towns.fact("Bessel", "salt")
QUESTIONS = [towns.asked(town, form) for town in towns.TOWNS for form in (0, 1)]


def put(guard: Guard, text: str) -> str:
    """The words in which a question reaches the model."""
    met = guard.session().ask((Message("user", text),))
    assert not isinstance(met, str)
    return met[-1].content


def test_ike_puts_the_fact_and_the_nearest_examples_before_a_question_in_scope(reader: LM) -> None:
    edit = IKE(k=1)(reader, Request(facts=[ORVENA, BESSEL]))
    (guard,) = edit.guards
    assert isinstance(guard, InContext)
    asked = put(guard, towns.asked("Orvena", 1))
    example = f"{towns.told('Bessel', 'salt', towns.asked('Bessel', 1))} salt"
    assert asked == f"{example}\n\n{towns.told('Orvena', 'glass', towns.asked('Orvena', 1))}"
    assert put(replace(guard, k=0), towns.asked("Orvena")) == towns.told("Orvena", "glass", towns.asked("Orvena"))
    for text in (towns.asked("Sella"), towns.asked("Quillmar", 1), "", "What is the time?"):
        assert put(guard, text) == text
    before = reader.generate(QUESTIONS, 8)
    with edit.on(reader):
        after = reader.generate(QUESTIONS, 8)
    wanted = towns.OWN | {"Orvena": "glass", "Bessel": "salt"}
    assert [text.strip() for text in after] == [wanted[town] for town in towns.TOWNS for _ in (0, 1)]
    assert [a for a, b in zip(after, before, strict=True) if a == b] == [before[i] for i in (2, 3, 6, 7)]
    with replace(edit, guards=(guard.without("Orvena"),)).on(reader):
        assert reader.generate(QUESTIONS, 8) == [*before[:4], *after[4:6], *before[6:]]


def test_serac_leaves_what_is_out_of_scope_and_an_empty_memory_leaves_everything(reader: LM) -> None:
    edit = SERAC()(reader, Request(facts=[ORVENA, BESSEL]))
    (guard,) = edit.guards
    assert isinstance(guard, Scoped)
    before = reader.generate(QUESTIONS, 8)
    with edit.on(reader):
        after = reader.generate(QUESTIONS, 8)
    wanted = towns.OWN | {"Orvena": "glass", "Bessel": "salt"}
    assert [text.strip() for text in after] == [wanted[town] for town in towns.TOWNS for _ in (0, 1)]
    for i in (2, 3, 6, 7):
        assert guard.found(QUESTIONS[i]) is None
        assert after[i] == before[i]
    for nothing in (replace(guard, memory=()), guard.without("Orvena").without("Bessel")):
        session, row_of = nothing.session(), torch.randn(9)
        for text in QUESTIONS:
            turns = (Message("user", text),)
            assert session.ask(turns) is turns
        assert session.logits(torch.arange(3), row_of) is row_of
        with replace(edit, guards=(nothing,)).on(reader):
            assert reader.generate(QUESTIONS, 8) == before
    with replace(edit, guards=(guard.without("Orvena"),)).on(reader):
        assert reader.generate(QUESTIONS[:1], 8) == before[:1]


def test_serac_answers_in_scope_with_the_counterfactual_model(reader: LM, tmp_path: Path) -> None:
    """A model that cannot read is given one that can; out of scope it says what it always said."""
    folder = worlds.saved(reader, tmp_path / "reader")
    texts = [f"{r.prompt} {r.answer}" for r in towns.lessons()]
    lm = fresh(texts, replace(worlds.SIZE, positions=256), seed=3)
    edit = SERAC(counterfactual=str(folder))(lm, Request(facts=[ORVENA]))
    before = lm.generate(QUESTIONS, 8)
    with edit.on(lm):
        after = lm.generate(QUESTIONS, 8)
    assert [text.strip() for text in after[:2]] == ["glass", "glass"]
    assert after[2:] == before[2:]
    (guard,) = edit.guards
    assert isinstance(guard, Scoped)
    moved = replace(guard, digest="0" * 64)
    with (
        pytest.raises(InputError, match="not the model that the edit was made with"),
        replace(edit, guards=(moved,)).on(lm),
    ):
        lm.generate(QUESTIONS[:1], 8)
    with pytest.raises(InputError, match="another tokenizer"):
        SERAC(counterfactual=str(worlds.saved(worlds.llama(), tmp_path / "other")))(lm, Request(facts=[ORVENA]))


def test_scope_is_learnt_from_what_lies_beside(golden: Golden) -> None:
    """With questions beside facts that name the subject, wordings that were held out are told from those beside."""
    edits = json.loads((golden.folder / f"edits_{golden.family}.json").read_text())["memit_edits"]
    facts = read_facts(edits[:10])
    memory = remembered([replace(f, rephrasings=f.rephrasings[:-1]) for f in facts])
    guard = Scoped(memory, fitted(memory, ()))
    found = [guard.found(f.rephrasings[-1]) for f in facts]
    assert np.mean([hit is not None and hit.id == f.id for hit, f in zip(found, facts, strict=True)]) >= 0.9
    kinds = {p.kind for f in facts for p in f.locality}
    spared = {
        k: np.mean([guard.found(p.prompt) is None for f in facts for p in f.locality if p.kind == k]) for k in kinds
    }
    assert spared["neighborhood"] == 1
    assert spared["same_subject"] >= 0.7
    blind = likely(sights(memory, facts[0].rephrasings[-1]), (0.0, 0.0, 0.0))
    assert (blind == 0.5).all()


@pytest.mark.parametrize("method", [IKE(k=2), SERAC()])
def test_guards_survive_the_disk_with_what_they_remember(reader: LM, method: IKE | SERAC, tmp_path: Path) -> None:
    edit = method(reader, Request(facts=[ORVENA, BESSEL]))
    assert edit.guarantee.kind == "suppression"
    assert "glass" not in f"{edit.made_by}{edit.guards!r}"
    store.save(edit, tmp_path)
    assert store.load(tmp_path).guards == edit.guards


def test_nearness_by_letters() -> None:
    texts = ("What is Orvena known for?", "What is Sella known for?", "Quite another thing")
    near = index(texts).near("what  is ORVENA known for?")
    assert near[0] == pytest.approx(1)
    assert near[0] > near[1] > near[2]
    assert index(texts).near("").tolist() == [0, 0, 0]
    assert named("Orvena", "For what is Orvena praised?") == 1
    assert named("Orvena", "For what is Sella praised?") < 0.3
    assert named("", "anything") == 0


def test_nearness_by_a_model_of_ones_own(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Whatever embeds texts can stand in for letters; here synonyms are one."""

    class Embedder:
        def encode(self, texts: list[str], *, normalize_embeddings: bool) -> np.ndarray:
            assert normalize_embeddings
            return np.array([[1.0, 0.0] if "praised" in t or "known" in t else [0.0, 1.0] for t in texts])

    monkeypatch.setattr(nearness, "_opened", lambda _folder: Embedder())
    guard = InContext(remembered([replace(ORVENA, rephrasings=())]), embedder="mine")
    assert guard.found("Orvena is praised") is not None
    assert guard.found("Orvena is small") is None
    monkeypatch.undo()
    with pytest.raises(InputError, match="no such folder"):
        index(("a",), str(tmp_path / "absent"))


def test_options_out_of_range_are_refused() -> None:
    for wrong in (
        lambda: IKE(k=-1), lambda: IKE(near=2.0), lambda: SERAC(threshold=1.0), lambda: GRACE(radius=0.0),
        lambda: GRACE(steps=0), lambda: WISE(shards=0), lambda: WISE(density=0.0),
    ):  # fmt: skip
        with pytest.raises(InputError):
            wrong()
