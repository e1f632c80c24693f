"""Guards that add another model's logits: what they add, what comes of it, and that the model itself stays."""

import shutil
from collections.abc import Sequence
from dataclasses import replace
from math import log
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

import worlds
from unteach.assemble import make_method
from unteach.edit import store
from unteach.edit.edit import Edit
from unteach.edit.rows import sides
from unteach.edit.shallow import shallow
from unteach.lm.fresh import fresh
from unteach.lm.guard import Conversation, Guard
from unteach.lm.load import load
from unteach.lm.model import LM
from unteach.methods.conversation.deltaunlearning import DeltaUnlearning, together
from unteach.methods.conversation.uld import NEVER, ULD, likely, mistaken, remembered, unevenness
from unteach.schema import InputError, Message, Record, Request

REQUEST = Request(forget=worlds.FORGET, retain=worlds.RETAIN)
SMALL = {"blocks": 1, "batch_size": 4, "lr": 1e-2}
LOGITS = torch.tensor([4.0, 3.0, 1.0, -0.7, -5.0])


@pytest.fixture(scope="module")
def uld(llama: LM, tmp_path_factory: pytest.TempPathFactory) -> ULD:
    """Trained until a tiny model, which is surer of its answers than a large one, is outweighed."""
    return ULD(str(tmp_path_factory.mktemp("uld")), weight=-1.0, epochs=60.0, **SMALL).fitted(REQUEST, llama)


@pytest.fixture(scope="module")
def delta(llama: LM, tmp_path_factory: pytest.TempPathFactory) -> DeltaUnlearning:
    folder = str(tmp_path_factory.mktemp("delta"))
    return DeltaUnlearning(folder, epochs=20.0, rank=4, **SMALL).fitted(REQUEST, llama)


@pytest.fixture(params=["uld", "delta"])
def worn(request: pytest.FixtureRequest) -> Any:
    return request.getfixturevalue(request.param)


def wearing(lm: LM, guard: Guard) -> Edit:
    return Edit(base=lm.digest(), guards=(guard,))


def right(lm: LM, records: Sequence[Record]) -> int:
    return sum(text.strip() == r.answer for text, r in zip(lm.generate(records, 24), records, strict=True))


def weighed(guard: Guard, ids: Tensor, logits: Tensor) -> Tensor:
    session = guard.session()
    session.ask((Message("user", "?"),))
    return session.logits(ids, logits)


def test_uld_of_no_weight_is_the_model_and_a_flat_assistant_changes_no_probability(llama: LM, uld: ULD) -> None:
    ids = torch.tensor(llama.encoder.prompt(worlds.FORGET[0].prompt))
    row = torch.randn(len(llama.tokenizer), generator=torch.Generator().manual_seed(0))
    for nothing in (replace(uld, weight=0.0), replace(uld, digest="")):
        assert weighed(nothing, ids, row) is row
    assert not torch.equal(weighed(uld, ids, row), row)
    flat, every = torch.full_like(LOGITS, 2.5), replace(uld, top=0.0)
    torch.testing.assert_close(every.weighed(LOGITS, flat).softmax(-1), LOGITS.softmax(-1))
    kept = uld.weighed(LOGITS, flat).softmax(-1)
    found = likely(LOGITS, uld.top)
    torch.testing.assert_close(kept[found], LOGITS[found].softmax(-1))
    assert kept[~found].sum() == 0


def test_uld_subtracts_among_the_likely_tokens_alone() -> None:
    """e^-4.7 is the last share above 1 %; of a larger vocabulary some stay however unlikely."""
    assert likely(LOGITS, 0.01).tolist() == [True, True, True, False, False]
    assert likely(LOGITS + 100, 0.01).tolist() == likely(LOGITS, 0.01).tolist()
    assert likely(LOGITS, exp_of(-4.71)).tolist() == [True, True, True, True, False]
    assert likely(torch.tensor([50.0, 4, 3, 2, 1, 0, 0, 0, 0, 0]), 0.3).sum() == 3
    assert likely(LOGITS, 0.0).all()
    said = torch.tensor([9.0, -1.0, 2.0, 4.0, -3.0])
    found = ULD(weight=-0.5).weighed(LOGITS, said)
    assert found.tolist() == [-0.5, 3.5, 0.0, NEVER, NEVER]
    assert ULD(weight=-0.5).weighed(torch.tensor([0.0, -torch.inf]), said[:2])[1] == -torch.inf


def exp_of(nats: float) -> float:
    return float(torch.tensor(nats).exp())


def test_an_assistant_is_uneven_by_the_divergence_from_the_uniform() -> None:
    probabilities = torch.tensor([[0.5, 0.25, 0.25]])
    by_hand = sum(log(1 / 3 / p) / 3 for p in (0.5, 0.25, 0.25))
    assert unevenness(probabilities.log()).item() == pytest.approx(by_hand)
    assert unevenness(torch.full((4, 7), 3.0)).item() == pytest.approx(0, abs=1e-6)


def test_what_is_remembered_has_every_wording_and_what_is_flat_every_wrong_answer() -> None:
    turns = (Message("system", "Be brief."), Message("user", "Who?"))
    row = Record(
        "a", "Who?", "She.", messages=turns, paraphrases=("Which one?",), restated="It was she.", perturbed=("He.",)
    )
    plain, other = remembered([row])
    assert plain is row
    assert (other.prompt, other.messages[-1].content, other.answer) == ("Which one?", "Which one?", "It was she.")
    assert [(r.prompt, r.answer) for r in mistaken([row])] == [("Who?", "He.")]
    assert len({r.id for r in (row, other, *mistaken([row]))}) == 3


@pytest.mark.parametrize("family", ["llama", "gpt2"])
def test_uld_hides_what_its_assistant_remembers(family: str, request: pytest.FixtureRequest, tmp_path: Path) -> None:
    lm: LM = request.getfixturevalue(family)
    guard = request.getfixturevalue("uld") if family == "llama" else None
    guard = guard or ULD(str(tmp_path / "new"), weight=-1.0, epochs=40.0, **SMALL).fitted(REQUEST, lm)
    before = worlds.state(lm)
    assert (right(lm, worlds.FORGET), right(lm, worlds.RETAIN)) == (4, 8)
    with wearing(lm, guard).on(lm):
        assert right(lm, worlds.FORGET) == 0
        assert right(lm, worlds.RETAIN) >= 7
    assert worlds.state(lm) == before
    small = load(guard.assistant)
    assert small.layers == 1
    asked = small.logits(small.batch(worlds.FORGET)), small.logits(small.batch(worlds.RETAIN))
    assert unevenness(asked[0]) > 1 > 10 * unevenness(asked[1])


def test_deltaunlearning_of_an_untrained_small_model_is_the_model(
    llama: LM, delta: DeltaUnlearning, tmp_path: Path
) -> None:
    for name in ("before", "after"):
        shutil.copytree(Path(delta.assistant) / "before", tmp_path / name)
    same = replace(delta, assistant=str(tmp_path), digests=delta.digests[:1] * 2)
    ids = torch.tensor(llama.encoder.prompt(worlds.FORGET[0].prompt))
    row = torch.randn(len(llama.tokenizer), generator=torch.Generator().manual_seed(0))
    assert torch.equal(weighed(same, ids, row), row)
    assert not torch.equal(weighed(delta, ids, row), row)
    plain = llama.generate(worlds.RECORDS, 16)
    with wearing(llama, same).on(llama):
        assert llama.generate(worlds.RECORDS, 16) == plain


def test_deltaunlearning_pushes_answers_down_through_the_small_model(llama: LM, delta: DeltaUnlearning) -> None:
    assert load(f"{delta.assistant}/before").digest() == shallow(llama, 1).digest()
    with wearing(llama, delta).on(llama):
        assert right(llama, worlds.FORGET) == 0
        assert right(llama, worlds.RETAIN) >= 7


def test_the_objective_sees_the_big_model_moved_as_the_small_one_was(llama: LM) -> None:
    old, new = shallow(llama, 1), worlds.llama(5)
    rows = llama.batch([*worlds.FORGET, *worlds.RETAIN])
    parts = [sides(lm.run(rows), (3, 1, 8)) for lm in (new, old)]
    now, before = together(llama, *parts)
    with torch.no_grad():
        big, small, trained = (lm.logits(rows) for lm in (llama, old, new))
    wanted = big + trained - small
    seen = (now.forget, now.forget.instead, now.retain)
    torch.testing.assert_close(torch.cat([view.logits for view in seen]), wanted)
    assert torch.equal(before.retain.logits, big[-len(before.retain.targets) :])
    chosen = wanted.log_softmax(-1).gather(1, rows.targets[:, None])[:, 0]
    torch.testing.assert_close(now.retain.token_logps, chosen[-len(now.retain.targets) :])
    now.forget.sums.sum().backward()
    gradients = [p.grad for p in new.parameters().values()]
    assert any(g is not None and g.abs().max() > 0 for g in gradients)
    assert all(p.grad is None for lm in (llama, old) for p in lm.parameters().values())


def test_a_small_model_of_ones_own_may_have_another_width(llama: LM, tmp_path: Path) -> None:
    wide = worlds.llama(5)
    wide.model.resize_token_embeddings(len(llama.tokenizer) + 7)
    folder = worlds.saved(wide, tmp_path / "small")
    guard = DeltaUnlearning(str(tmp_path / "new"), small=str(folder), objective="dpo", epochs=1, batch_size=4)
    found = guard.fitted(REQUEST, llama)
    assert found.digests[0] == load(folder).digest() != found.digests[1]
    with wearing(llama, found).on(llama):
        assert right(llama, worlds.RETAIN) == 8
    other = worlds.saved(fresh(("Quite other words.",), worlds.SIZE), tmp_path / "other")
    with pytest.raises(InputError, match="another tokenizer"):
        replace(guard, assistant=str(tmp_path / "newer"), small=str(other)).fitted(REQUEST, llama)


def test_each_conversation_has_a_cache_of_its_own(llama: LM, worn: Any) -> None:
    """Answers side by side are those one at a time; a question asked later in a session is read from its beginning."""
    with wearing(llama, worn).on(llama):
        together_, alone = (
            llama.generate(worlds.RECORDS[2:5], 12),
            [llama.generate([r], 12)[0] for r in worlds.RECORDS[2:5]],
        )
    assert together_ == alone
    first, second = (torch.tensor(llama.encoder.prompt(r.prompt)) for r in worlds.RECORDS[:2])
    row, session = torch.zeros(len(llama.tokenizer)), worn.session()
    session.logits(torch.cat([first, first[:3]]), row)
    for ids in (first, second):
        torch.testing.assert_close(session.logits(ids, row), weighed(worn, ids, row), atol=1e-5, rtol=1e-5)
    session.ask((Message("user", "?"),))
    assert all(beside.cache is None for beside in session.besides)


def test_an_edit_with_an_assistant_survives_the_disk_and_refuses_another_one(
    llama: LM, worn: Any, tmp_path: Path
) -> None:
    edit = wearing(llama, worn)
    assert edit.guarantee.kind == "suppression"
    store.save(edit, tmp_path / "edit")
    read = store.load(tmp_path / "edit")
    assert read.guards == edit.guards
    with edit.on(llama):
        said = llama.generate(worlds.RECORDS[2:5], 12)
    with read.on(llama):
        assert llama.generate(worlds.RECORDS[2:5], 12) == said
    other = worlds.saved(worlds.llama(3), tmp_path / "other")
    for name in ("before", "after"):
        worlds.saved(worlds.llama(3), other / name)
    for folder, why in (
        (other, "not the model that the edit was made with"),
        (tmp_path / "gone", "is not there"),
    ):
        with pytest.raises(InputError, match=why):
            Conversation((replace(worn, assistant=str(folder)),), (Message("user", "?"),))


@pytest.mark.parametrize("cls", [ULD, DeltaUnlearning])
def test_a_folder_that_is_not_new_and_a_model_that_is_not_here_are_refused(cls: Any, llama: LM, tmp_path: Path) -> None:
    (tmp_path / "kept").write_text("mine")
    for guard, why in ((cls(), "--assistant DIR"), (cls(str(tmp_path)), "empty"), (cls(f"{tmp_path}/kept"), "empty")):
        with pytest.raises(InputError, match=why):
            guard.fitted(REQUEST, llama)
    with pytest.raises(InputError, match="weights are here"):
        cls(str(tmp_path / "new")).fitted(REQUEST, None)
    assert [p.name for p in tmp_path.iterdir()] == ["kept"]
    for wrong in ({"blocks": 0}, {"epochs": 0}, {"rank": 0}, {"lr": -1.0}, {"retain_weight": -1.0}):
        with pytest.raises(InputError):
            cls(**wrong)


def test_options_out_of_range_and_objectives_that_read_more_are_refused(llama: LM, tmp_path: Path) -> None:
    for wrong in ({"weight": 0.1}, {"top": 1.0}, {"top": -0.1}):
        with pytest.raises(InputError):
            ULD(**wrong)
    folder = str(tmp_path / "new")
    with pytest.raises(InputError, match="'rmu' reads hidden"):
        DeltaUnlearning(folder, objective="rmu").fitted(REQUEST, llama)
    with pytest.raises(InputError, match="no objective 'nope'"):
        DeltaUnlearning(folder, objective="nope").fitted(REQUEST, llama)
    assert not Path(folder).exists()


def test_they_are_methods_by_their_names(llama: LM, tmp_path: Path) -> None:
    options = {"assistant": str(tmp_path / "new"), "blocks": "1", "epochs": "1", "objective": "simnpo", "seed": "3"}
    edit = make_method("deltaunlearning", options)(llama, REQUEST)
    assert "objective=simnpo" in edit.made_by
    assert edit.base == llama.digest()
