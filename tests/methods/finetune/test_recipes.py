"""Forgetting by learning other answers: vague ones, alternates, refusals; the forgotten one is a target of none."""

from collections.abc import Sequence
from dataclasses import replace
from math import log
from pathlib import Path

import pytest
import torch

import worlds
from unteach.edit import checkpoint
from unteach.edit.edit import Edit
from unteach.edit.plan import Plan
from unteach.edit.rows import Desk, Sides, Task
from unteach.lm.batch import Row
from unteach.lm.model import LM
from unteach.lm.trace import Start
from unteach.lm.view import View
from unteach.measure.answers import ask, exact_match, probability
from unteach.methods.finetune import alternates as alternates_module
from unteach.methods.finetune.alternates import alternates, mismatched, one_of, writer_of
from unteach.methods.finetune.altpo import AltPO
from unteach.methods.finetune.idkdata import IDKData, joint_loss
from unteach.methods.finetune.relearn import ReLearn, by_turns
from unteach.schema import InputError, Record, Request

REQUEST = Request(forget=worlds.FORGET, retain=worlds.RETAIN)
PLAN = Plan(tune="full", epochs=28, lr=3e-3, batch_size=4, accumulate=1, measure_every=28)
FEW = replace(PLAN, epochs=1)


def known(lm: LM, records: Sequence[Record]) -> tuple[float, float]:
    """Mean probability of the answers, and the share of their tokens that the model would choose."""
    found = ask(lm, records)
    return sum(probability(a) or 0 for a in found) / len(found), sum(exact_match(a) or 0 for a in found) / len(found)


@pytest.fixture
def trained_on(monkeypatch: pytest.MonkeyPatch) -> list[Row]:
    """Every row that any step of any training lays before the loss."""
    rows: list[Row] = []
    batch = Desk._batch

    def seen(self: Desk, keys: Sequence[str], *others: Start) -> object:
        rows.extend(self.rows[k] for k in keys)
        return batch(self, keys, *others)

    monkeypatch.setattr(Desk, "_batch", seen)
    return rows


def test_the_forgotten_answer_falls_and_is_never_a_target_of_relearn(llama: LM, trained_on: list[Row]) -> None:
    before = known(llama, worlds.FORGET)[0], known(llama, worlds.RETAIN)[1]
    edit = ReLearn(plan=PLAN)(llama, REQUEST)
    with edit.on(llama):
        after = known(llama, worlds.FORGET)[0], known(llama, worlds.RETAIN)[1]
        said = llama.generate([r.prompt for r in worlds.FORGET], 16)
    assert after[0] < 0.5 * before[0]
    assert after[1] >= 0.95 * before[1]
    assert not any(told(r, text) for r, text in zip(worlds.FORGET, said, strict=True))
    assert not lent(llama, trained_on, worlds.FORGET)
    assert lent(llama, trained_on, worlds.RETAIN)
    assert edit.history[0]["forget_probability"] == pytest.approx(before[0], rel=1e-3)  # of the forgotten, not the new
    assert edit.history[-1]["forget_probability"] == pytest.approx(after[0], rel=1e-3)


def told(record: Record, text: str) -> bool:
    """Whether a text says what an answer says of its town."""
    return record.answer.split(" has ")[1].rstrip(".") in text


def lent(lm: LM, rows: Sequence[Row], records: Sequence[Record]) -> bool:
    """Whether the answer of any of the records was laid before a loss, behind whatever question."""
    answers = {r.ids[r.start :] for r in (lm.encoder.row(record) for record in records)}
    return bool(answers & {r.ids[r.start :] for r in rows})


def test_relearn_takes_one_text_of_each_row_in_turn_and_generic_rows_beside(llama: LM) -> None:
    method = ReLearn(plan=PLAN)
    texts = method.texts(llama, worlds.FORGET, worlds.RETAIN)
    assert [len(some) for some in texts] == [10] * 4
    assert [[r.id.split("/")[0] for r in some] for some in texts] == [[r.id] * 10 for r in worlds.FORGET]
    keys, generic = [[r.id for r in some] for some in texts], [f"generic/{r.id}" for r in worlds.RETAIN]
    lengths = dict.fromkeys([k for some in keys for k in some] + generic, 9)
    steps = by_turns(keys, generic, 1.2, lengths, {"retain/a": 5}, replace(PLAN, epochs=20, batch_size=2))
    for epoch in range(20):
        today = [k for s in steps if s.epoch == epoch for k in s.forget]
        assert sorted(k in generic for k in today) == [False] * 4 + [True] * 5  # 1.2 times 4, rounded up
        assert all(s.retain for s in steps)
    for lap in (range(10), range(10, 20)):
        said = [k for s in steps if s.epoch in lap for k in s.forget if k not in generic]
        assert sorted(said) == sorted(k for some in keys for k in some)


def test_relearn_is_three_terms(llama: LM, monkeypatch: pytest.MonkeyPatch) -> None:
    """CE + 2 KL + 3 CE, on views of a model that has moved."""
    tasks: list[Task] = []
    monkeypatch.setattr(
        "unteach.methods.finetune.relearn.train", lambda _lm, task, *_a, **_k: (tasks.append(task), None)
    )
    ReLearn(kl_weight=2.0, retain_weight=3.0, plan=FEW)(llama, REQUEST)
    weights = {n: p.detach() * 1.05 for n, p in llama.parameters().items()}
    batch = llama.batch([*tasks[0].forget[:2], *worlds.RETAIN[:2]])
    now, before = llama.run(batch, weights=weights), llama.run(batch)
    sides = [Sides(View(p, slice(0, 2)), View(p, slice(2, 4))) for p in (now, before)]
    with torch.no_grad():
        p, q = (v.retain.logits.double().log_softmax(-1) for v in sides)
        kl = (q.exp() * (q - p)).sum(-1).mean()
        slow = -sides[0].forget.token_logps.double().mean() + 2 * kl - 3 * sides[0].retain.token_logps.double().mean()
        assert tasks[0].loss(*sides).item() == pytest.approx(slow.item(), rel=1e-5)
    assert kl > 1e-3


def test_nothing_to_forget_is_written_down(llama: LM, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Neither in the name of an edit, nor in the checkpoints, nor elsewhere in the working directory."""
    monkeypatch.chdir(tmp_path)
    plan = replace(FEW, checkpoint_every=1)
    for method in (ReLearn(plan=plan), IDKData(plan=plan), AltPO(writer="", plan=plan)):
        with checkpoint.checkpoints_in(tmp_path / "kept"):
            edit = method(llama, REQUEST)
            files = [f.read_bytes() for f in tmp_path.rglob("*") if f.is_file()]
        assert files
        written = f"{edit.made_by} {method!r}".encode() + b"".join(files)
        assert not [r.id for r in worlds.FORGET if told(r, written.decode("latin-1"))]


@pytest.mark.parametrize("answers", ["refusal", "counterfactual", "mismatched"])
def test_replacement_data_forgets_and_keeps(lm: LM, answers: str, trained_on: list[Row]) -> None:
    edit: Edit = IDKData(answers=answers, plan=PLAN)(lm, REQUEST)  # type: ignore[arg-type]
    before = ask(lm, worlds.FORGET)
    with edit.on(lm):
        after = ask(lm, worlds.FORGET)  # whole: wrong answers share tokens with right ones
        assert all(b.logps.sum() < a.logps.sum() - log(2) for a, b in zip(before, after, strict=True))
        assert known(lm, worlds.RETAIN)[1] > 0.95
        said = lm.generate([r.prompt for r in worlds.FORGET], 16)
    assert not any(told(r, text) for r, text in zip(worlds.FORGET, said, strict=True))
    assert not lent(lm, trained_on, worlds.FORGET)


def test_idkdata_is_one_token_mean_over_replacements_and_retain_rows(llama: LM) -> None:
    """The loss of `transformers` on all rows at once, prompts and padding left out."""
    refusals = [replace(r, id=f"{r.id}|", answer="I do not know.") for r in worlds.FORGET[:3]]
    batch = llama.batch([*refusals, *worlds.RETAIN[:2]])
    labels = batch.ids.where(batch.answer, -100)
    with torch.no_grad():
        own = llama.model(input_ids=batch.ids, attention_mask=batch.real.long(), labels=labels).loss
        run = llama.run(batch)
        sides = Sides(View(run, slice(0, 0), instead=View(run, slice(0, 3))), View(run, slice(3, 5)))
        assert joint_loss(sides, sides).item() == pytest.approx(own.item(), rel=1e-5)


def test_altpo_prefers_the_alternates_it_wrote(llama: LM, monkeypatch: pytest.MonkeyPatch) -> None:
    """The model itself is asked, its alternates rise above the forgotten answers, and what stays stays."""
    asked: list[str] = []
    generate = LM.generate
    monkeypatch.setattr(
        LM, "generate", lambda self, p, *a, **k: (asked.extend(map(str, p)), generate(self, p, *a, **k))[1]
    )
    made = alternates(REQUEST, 5, 0, llama)
    before = known(llama, worlds.FORGET)[0]
    asked.clear()
    edit = AltPO(plan=PLAN)(llama, REQUEST)
    assert [a for a in asked if "wrong answers" in a]
    new = [replace(r, answer=text) for r in worlds.FORGET for text in made[r.id]]
    stood = known(llama, new)[0]
    assert stood < before
    with edit.on(llama):
        assert known(llama, worlds.FORGET)[0] < 0.3 * before
        assert known(llama, new)[0] > max(stood, known(llama, worlds.FORGET)[0])
        assert known(llama, worlds.RETAIN)[1] > 0.95


def test_altpo_is_dpo_with_likelihood_on_the_alternates(llama: LM, monkeypatch: pytest.MonkeyPatch) -> None:
    """At the reference: (2/beta) ln 2 + NLL(alternate) + NLL(retain)."""
    tasks: list[Task] = []
    monkeypatch.setattr("unteach.methods.finetune.altpo.train", lambda _lm, task, *_a, **_k: (tasks.append(task), None))
    AltPO(beta=0.2, writer="", plan=FEW)(llama, REQUEST)
    replaced = [replace(r, id=f"{r.id}|", answer=tasks[0].instead(r, 0)[0]) for r in worlds.FORGET]  # type: ignore[misc]
    run = llama.run(llama.batch([*worlds.FORGET, *replaced, *worlds.RETAIN]))
    with torch.no_grad():
        alternate, retain = View(run, slice(4, 8)), View(run, slice(8, 16))
        sides = Sides(View(run, slice(0, 4), instead=alternate), retain)
        slow = 10 * torch.log(torch.tensor(2.0)) - alternate.token_logps.mean() - retain.token_logps.mean()
        assert tasks[0].loss(sides, sides).item() == pytest.approx(slow.item(), rel=1e-5)


def test_each_alternate_comes_once_before_any_comes_again() -> None:
    made = {"a": ("1", "2", "3")}
    record = Record("a", "q", "x")
    told = [one_of(made, 0, record, epoch)[0] for epoch in range(6)]
    assert sorted(told[:3]) == sorted(told[3:]) == ["1", "2", "3"]
    assert told == [one_of(made, 0, record, epoch)[0] for epoch in range(6)]


def test_a_mismatched_answer_is_never_the_rows_own() -> None:
    own = worlds.FORGET[0]
    others = [*worlds.RETAIN, replace(own, id="twin")]
    drawn = {mismatched(others, 0, own, epoch)[0] for epoch in range(60)}
    assert drawn == {r.answer for r in worlds.RETAIN}
    with pytest.raises(InputError, match="no answer but a forgotten one"):
        mismatched([own], 0, own, 0)


def test_a_row_without_a_wrong_answer_gets_a_vague_one() -> None:
    alone = Record("a", "How does she work?", "With patience and a sense of rhythm.")
    (text,) = alternates(Request(forget=[alone]), 5, 0, None)["a"]
    assert not {"patience", "sense", "rhythm"} & set(text.lower().split())


def test_a_writer_is_the_model_itself_or_another_or_none(llama: LM, tmp_path: Path) -> None:
    assert writer_of(llama, "") is None
    assert writer_of(llama, "self") is llama
    opened = writer_of(llama, str(worlds.saved(llama, tmp_path)))
    assert isinstance(opened, LM)
    assert opened.digest() == llama.digest()
    for url in ("http://me:canary@localhost:9/v1", "http://localhost:9/v1?key=canary"):
        with pytest.raises(InputError, match="OPENAI_API_KEY") as refused:
            writer_of(llama, url)
        assert "canary" not in str(refused.value)


def test_a_served_writer_is_asked(llama: LM, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(alternates_module, "connect", lambda url: (url, "served"))
    assert writer_of(llama, "http://localhost:9/v1") == ("http://localhost:9/v1", "served")


def test_what_cannot_be_is_refused(llama: LM) -> None:
    for method in (ReLearn(plan=FEW), IDKData(plan=FEW), AltPO(plan=FEW)):
        for request, missing in ((Request(forget=worlds.FORGET), "retain"), (Request(retain=worlds.RETAIN), "forget")):
            with pytest.raises(InputError, match=f"; give --{missing} FILE"):
                method(llama, request)
    with pytest.raises(InputError, match="at least 0"):
        ReLearn(mix=-1)
    with pytest.raises(InputError, match="at least 1"):
        IDKData(alternates=0)
    with pytest.raises(InputError, match="above 0"):
        AltPO(beta=0.0)
