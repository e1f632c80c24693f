"""The training loop: what it may touch, what a loss sees, when it stops, and that it goes on where it stopped."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from copy import deepcopy
from dataclasses import replace
from itertools import pairwise
from math import ceil
from pathlib import Path

import pytest
import torch
from benchmarks.double import doubled
from torch import Tensor

import worlds
from unteach.edit import train as loop
from unteach.edit.checkpoint import checkpoints_in
from unteach.edit.edit import Edit
from unteach.edit.learn import learn
from unteach.edit.patches import AddOuter, Put
from unteach.edit.plan import Plan, schedule
from unteach.edit.progress import Progress
from unteach.edit.rows import Sides, Task
from unteach.edit.train import train
from unteach.lm import packed
from unteach.lm.anatomy import anatomy, trunk
from unteach.lm.model import LM
from unteach.measure.answers import ask, exact_match, probability
from unteach.schema import InputError, Need, Record

SHORT = Plan(rank=2, lora_alpha=4, epochs=3, lr=3e-3, batch_size=2, accumulate=1, checkpoint_every=1)
TUNES = ["lora", "full", "0,2"]
Loss = Callable[[Sides, Sides], Tensor]


def ascent(now: Sides, _before: Sides) -> Tensor:
    return now.forget.token_logps.mean() - now.retain.token_logps.mean()


def npo(now: Sides, before: Sides) -> Tensor:
    gap = now.forget.sums - before.forget.sums
    return -20 * torch.nn.functional.logsigmoid(-0.1 * gap).mean() - now.retain.token_logps.mean()


def task(loss: Loss = ascent, *needs: Need) -> Task:
    return Task(
        worlds.FORGET,
        worlds.RETAIN,
        loss,
        frozenset({"forget", "retain", *needs}),
        lambda _record, epoch: (f"No {epoch}.",),
    )


@pytest.mark.parametrize("tune", TUNES)
def test_it_trains_what_it_is_told_and_leaves_the_model(lm: LM, tune: str) -> None:
    before = worlds.state(lm)
    edit, state = train(lm, task(), replace(SHORT, tune=tune), made_by="x")
    assert worlds.state(lm) == before
    blocks = anatomy(lm.model).blocks
    kinds = {type(p) for chain in edit.weights.values() for p in chain}
    assert kinds == ({AddOuter} if tune == "lora" else {Put})
    if tune == "full":
        assert edit.weights.keys() == lm.parameters().keys()
    if tune == "0,2":
        named = {n for n in lm.parameters() if n.startswith((f"{blocks}.0.", f"{blocks}.2."))}
        assert edit.weights.keys() == named
    assert all(d.abs().max() > 0 for d in edit.delta(lm).values())
    assert (edit.made_by, edit.base, edit.guarantee.kind) == ("x", lm.digest(), "empirical")
    assert {k.split(".")[1] for k in state} == {"step", "exp_avg", "exp_avg_sq"}
    assert {float(t) for k, t in state.items() if ".step." in k} == {6.0}
    with edit.on(lm):
        worn = [probability(a) for a in ask(lm, worlds.FORGET)]
    assert edit.history[-1]["forget_probability"] == pytest.approx(sum(worn) / 4, abs=1e-5)


@pytest.mark.parametrize("tune", TUNES)
def test_the_same_training_gives_the_same_edit(lm: LM, tune: str) -> None:
    plan = replace(SHORT, tune=tune)
    first = train(lm, task(), plan)[0]
    torch.randn(7)  # whatever was drawn elsewhere
    assert train(lm, task(), plan)[0].digest() == first.digest()
    assert train(lm, task(), replace(plan, seed=1))[0].digest() != first.digest()
    shuffled = replace(task(), forget=worlds.FORGET[::-1], retain=worlds.RETAIN[::-1])
    assert train(lm, shuffled, plan)[0].digest() == first.digest()


@pytest.mark.parametrize("tune", TUNES)
@pytest.mark.parametrize("at", [0, 3])
def test_a_failure_inside_leaves_the_model(lm: LM, tune: str, at: int) -> None:
    before, calls = worlds.state(lm), []

    def failing(now: Sides, past: Sides) -> Tensor:
        calls.append(1)
        if len(calls) > at:
            raise ZeroDivisionError
        return ascent(now, past)

    with pytest.raises(ZeroDivisionError):
        train(lm, task(failing), replace(SHORT, tune=tune))
    assert worlds.state(lm) == before
    assert lm.lock.acquire(blocking=False)
    lm.lock.release()


def test_flags_and_modes_of_the_model_are_given_back(lm: LM) -> None:
    odd = list(lm.model.parameters())[::2]
    for parameter in odd:
        parameter.requires_grad_(False)
    try:
        for tune in TUNES:
            before = worlds.state(lm)
            train(lm, task(), replace(SHORT, tune=tune, epochs=1))
            assert worlds.state(lm) == before
    finally:
        lm.model.requires_grad_(True)


@pytest.mark.parametrize("tune", TUNES)
def test_the_loss_sees_the_model_as_it_was(lm: LM, tune: str) -> None:
    """At every step: the past in logits, log-probabilities, hidden states and replacements; and it has no gradient."""
    records = {r.id: r for r in worlds.RECORDS}
    moved: list[float] = []
    seen: list[tuple[tuple[str, ...], tuple[str, ...]]] = []

    def watching(now: Sides, before: Sides) -> Tensor:
        for view in (before.forget, before.forget.instead, before.retain):
            assert not view.token_logps.requires_grad
            assert not view.logits.requires_grad
            past.append((view.logits.clone(), view.token_logps.clone(), view.hidden(1).clone()))
        seen.append((before.forget.records, before.retain.records))
        moved.append((now.forget.sums - before.forget.sums).abs().max().item())
        assert now.forget.hidden(1).shape == before.forget.hidden(1).shape
        return ascent(now, before) + now.forget.instead.token_logps.mean()

    for needs in ((), ("reference",)):
        past: list[tuple[Tensor, Tensor, Tensor]] = []
        moved.clear()
        seen.clear()
        plan = replace(SHORT, tune=tune)
        everything = task(watching, "instead", "reference_logits", *needs)  # type: ignore[arg-type]
        train(lm, everything, plan)
        lengths = [{r.id: len(lm.encoder.row(r).ids) for r in side} for side in (worlds.FORGET, worlds.RETAIN)]
        steps = schedule(*_named(lengths), plan)
        assert [tuple(map(set, s)) for s in seen] == [(set(s.forget), set(s.retain)) for s in steps]
        for step, sides, i in zip(steps, seen, range(0, len(past), 3), strict=True):
            own, kept = ([records[k.partition("/")[2]] for k in side] for side in sides)
            groups = [own, [replace(r, answer=f"No {step.epoch}.") for r in own], kept]
            for said, group in zip(past[i : i + 3], groups, strict=True):
                with torch.no_grad():
                    here = lm.run(lm.batch(group))
                    for a, b in zip(said, (here.logits, here.token_logps, here.hidden(1)), strict=True):
                        torch.testing.assert_close(a, b, rtol=1e-4, atol=1e-4)
        assert moved[0] < 1e-4 < 0.1 < moved[-1]


@pytest.mark.parametrize("tune", TUNES)
def test_the_model_before_keeps_no_graph_though_inputs_ask_for_a_gradient(llama: LM, tune: str) -> None:
    """As they do once a user has had blocks checkpointed."""

    def watching(now: Sides, before: Sides) -> Tensor:
        read = (before.retain.logits, before.retain.token_logps, before.retain.hidden(1))
        asked.append(any(t.requires_grad for t in read))
        return ascent(now, before)

    asked: list[bool] = []
    llama.model.enable_input_require_grads()
    try:
        train(llama, task(watching, "reference_logits"), replace(SHORT, tune=tune, epochs=1))
    finally:
        llama.model.disable_input_require_grads()
    assert asked == [False] * 2


def _named(lengths: list[dict[str, int]]) -> tuple[dict[str, int], dict[str, int]]:
    forget, retain = (
        {f"{side}/{k}": v for k, v in d.items()} for side, d in zip(("forget", "retain"), lengths, strict=True)
    )
    return forget, retain


@contextmanager
def counted(lm: LM) -> Iterator[list[int]]:
    """The rows of every forward pass."""
    rows: list[int] = []
    hook = trunk(lm.model).register_forward_hook(lambda *_: rows.append(len(packed._laid.get().ids)))
    try:
        yield rows
    finally:
        hook.remove()


@pytest.mark.parametrize("tune", ["lora", "full"])
def test_a_loss_pays_only_for_what_it_looks_at(llama: LM, tune: str) -> None:
    plan = replace(SHORT, tune=tune, epochs=3)  # 6 steps of 2 forget and 2 retain rows
    with counted(llama) as measured:
        loop.Gauge(llama, task()).read()
    measures = measured * 4
    with counted(llama) as rows:
        train(llama, task(ascent), plan)
    assert sorted(rows) == sorted([4] * 6 + measures)
    with counted(llama) as rows:
        train(llama, task(npo, "reference"), plan)
    assert sorted(rows) == sorted([4] * 6 + measures + [4])  # the four forget rows once, before training

    def kl(now: Sides, before: Sides) -> Tensor:
        return (now.retain.logits - before.retain.logits).square().mean() + now.forget.token_logps.mean()

    with counted(llama) as rows:
        train(llama, task(kl, "reference_logits"), plan)
    assert sorted(rows) == sorted([4] * 6 + [2] * 6 + measures)  # the model before, on the retain rows alone


@pytest.mark.parametrize("tune", ["lora", "full"])
def test_what_rows_begin_with_alike_is_computed_once_a_step(
    llama: LM, tune: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As many tokens enter the model as a tree of the step's rows has, each side sorted."""
    monkeypatch.setattr(loop.Gauge, "wanted", False)
    widths: list[int] = []
    hook = trunk(llama.model).register_forward_pre_hook(
        lambda _m, _a, kwargs: widths.append(kwargs["input_ids"].shape[1]), with_kwargs=True
    )
    plan = replace(SHORT, tune=tune)
    try:
        train(llama, task(ascent), plan)
    finally:
        hook.remove()
    records = {r.id: r for r in worlds.RECORDS}
    ids = {k: llama.encoder.row(r).ids for k, r in records.items()}
    lengths = [{r.id: len(ids[r.id]) for r in side} for side in (worlds.FORGET, worlds.RETAIN)]
    for width, step in zip(widths, schedule(*_named(lengths), plan), strict=True):
        sides = [sorted(ids[k.partition("/")[2]] for k in side) for side in (step.forget, step.retain)]
        rows = [*sides[0], *sides[1]]
        alike = [sum(a[:n] == b[:n] for n in range(1, min(len(a), len(b)) + 1)) for a, b in pairwise(rows)]
        assert width == sum(map(len, rows)) - sum(alike)
        assert min(alike) > 0


@pytest.mark.parametrize("accumulate", [1, 2])
def test_the_loop_against_a_plain_one(lm: LM, accumulate: int) -> None:
    """The same steps written out with torch alone, in float64: Adam turns rounding in small gradients into whole steps."""
    lm = LM(deepcopy(lm.model), lm.tokenizer, template=lm.template)
    with doubled(lm):
        _as_a_plain_loop(lm, accumulate)


def _as_a_plain_loop(lm: LM, accumulate: int) -> None:
    plan = Plan(
        tune="full", epochs=4, lr=2e-3, batch_size=3, accumulate=accumulate, warmup_epochs=1, decay="cosine",
        weight_decay=0.1, clip=0.5,
    )  # fmt: skip
    edit = train(lm, task(npo, "reference"), plan)[0]
    now, before = deepcopy(lm.model), deepcopy(lm.model)
    records = {r.id: r for r in worlds.RECORDS}
    lengths = [{r.id: len(lm.encoder.row(r).ids) for r in side} for side in (worlds.FORGET, worlds.RETAIN)]
    steps = schedule(*_named(lengths), plan)
    matrices, others = ([p for p in now.parameters() if (p.ndim > 1) is large] for large in (True, False))
    optimiser = torch.optim.AdamW([{"params": matrices, "weight_decay": 0.1}, {"params": others, "weight_decay": 0.0}])
    updates = [steps[i : i + accumulate] for i in range(0, len(steps), accumulate)]

    def logps(model: torch.nn.Module, ids: tuple[str, ...]) -> list[Tensor]:
        found = []
        for i in ids:
            row = lm.encoder.row(records[i.partition("/")[2]])
            logits = model(torch.tensor([row.ids])).logits[0, row.start - 1 : -1]
            found.append(logits.log_softmax(-1).gather(1, torch.tensor(row.ids[row.start :])[:, None])[:, 0])
        return found

    for i, group in enumerate(updates):
        for settings in optimiser.param_groups:
            settings["lr"] = plan.rate(i, len(updates), ceil(2 / accumulate))
        optimiser.zero_grad()
        for step in group:
            with torch.no_grad():
                past = torch.stack([t.sum() for t in logps(before, step.forget)])
            gap = torch.stack([t.sum() for t in logps(now, step.forget)]) - past
            loss = -20 * torch.nn.functional.logsigmoid(-0.1 * gap).mean() - torch.cat(logps(now, step.retain)).mean()
            (loss / len(group)).backward()
        torch.nn.utils.clip_grad_norm_(now.parameters(), 0.5)
        optimiser.step()
    expected, apart, moved = dict(now.named_parameters()), 0.0, 0.0
    for name, (patch,) in edit.weights.items():
        assert isinstance(patch, Put)
        own = lm.parameters()[name].detach()
        apart += (patch.value - expected[name].detach()).square().sum().item()
        moved += (expected[name].detach() - own).square().sum().item()
    assert apart**0.5 <= 1e-9 * moved**0.5
    assert max(edit.delta(lm)[n].abs().max().item() for n in edit.weights) > 5e-3


def test_a_lora_starts_as_nothing_and_is_drawn_from_the_seed(lm: LM) -> None:
    def first(now: Sides, before: Sides) -> Tensor:
        gaps.append((now.forget.logits - before.forget.logits).abs().max().item())
        return ascent(now, before)

    gaps: list[float] = []
    train(lm, task(first), replace(SHORT, epochs=1))
    assert gaps[0] < 1e-5 < gaps[1]


def test_it_stops_when_enough_is_forgotten(lm: LM) -> None:
    plan = replace(SHORT, tune="full", epochs=40, lr=1e-3)
    edit = train(lm, task(), replace(plan, stop_forget=0.2))[0]
    probabilities = [m["forget_probability"] for m in edit.history]
    assert probabilities[-1] <= 0.2 < min(probabilities[:-1])
    assert edit.history[-1]["step"] < 40 * 2
    with edit.on(lm):
        assert sum(probability(a) or 0 for a in ask(lm, worlds.FORGET)) / 4 == pytest.approx(
            probabilities[-1], abs=1e-6
        )
    nothing = train(lm, task(), replace(plan, stop_forget=1.0))[0]
    assert [m["step"] for m in nothing.history] == [0.0]
    assert all(d.abs().max() == 0 for d in nothing.delta(lm).values())


@pytest.mark.parametrize("tune", ["full", "lora"])
def test_it_goes_back_when_too_much_is_lost(lm: LM, tune: str) -> None:
    def reckless(now: Sides, _before: Sides) -> Tensor:
        return now.forget.token_logps.mean()

    plan = replace(SHORT, tune=tune, epochs=60, lr=2e-3, stop_retain=0.9, measure_every=0.5)
    edit = train(lm, Task(worlds.FORGET, worlds.RETAIN, reckless, frozenset({"forget", "retain"})), plan)[0]
    *before, fell, kept = edit.history
    floor = 0.9 * before[0]["retain_exact"]
    assert fell["retain_exact"] < floor <= min(m["retain_exact"] for m in before)
    assert len(before) > 1
    assert {k: kept[k] for k in ("step", "retain_exact")} == {k: before[-1][k] for k in ("step", "retain_exact")}
    with edit.on(lm):
        found = [exact_match(a) or 0.0 for a in ask(lm, worlds.RETAIN)]
    assert sum(found) / len(found) == pytest.approx(before[-1]["retain_exact"], abs=1e-6)


def test_measurements_follow_the_plan(llama: LM) -> None:
    plan = replace(SHORT, tune="full", epochs=5)  # 2 steps an epoch
    for every, steps in ((1.0, [0, 2, 4, 6, 8, 10]), (2.0, [0, 4, 8, 10]), (0.5, [*range(11)])):
        history = train(llama, task(), replace(plan, measure_every=every))[0].history
        assert [m["step"] for m in history] == steps
        assert set(history[-1]) == {
            "step",
            "tokens",
            "loss",
            "forget_probability",
            "forget_exact",
            "retain_probability",
            "retain_exact",
        }


def test_a_loss_without_bounds_is_told_so(lm: LM) -> None:
    before = worlds.state(lm)
    for bad in (float("inf"), float("nan")):
        with pytest.raises(InputError, match="the loss became infinite at step 0; lower --lr"):
            train(lm, task(lambda now, _before, bad=bad: now.forget.sums.sum() * bad), SHORT)
    assert worlds.state(lm) == before


def test_what_cannot_be_trained_is_refused(lm: LM) -> None:
    before = worlds.state(lm)
    with pytest.raises(InputError, match="the model has layers 0 to 2; choose --tune among them"):
        train(lm, task(), replace(SHORT, tune="1,3"))
    with pytest.raises(InputError, match="needs replacement answers; give --instead"):
        train(lm, replace(task(ascent, "instead"), instead=None), SHORT)
    assert worlds.state(lm) == before


class Stopped(Exception):
    """Somebody pulled the plug."""


def stop_at(monkeypatch: pytest.MonkeyPatch, step: int, error: type[BaseException]) -> None:
    class Stopping(Progress):
        def at(self, done: int, loss: float | None = None) -> None:
            if done == step:
                raise error
            super().at(done, loss)

    monkeypatch.setattr(loop, "Progress", Stopping)


class Counted:
    """A loss that counts the steps it is asked for."""

    def __init__(self, loss: Loss) -> None:
        self.loss, self.steps = loss, 0

    def __call__(self, now: Sides, before: Sides) -> Tensor:
        self.steps += 1
        return self.loss(now, before)


def steps_of(lm: LM, work: Task, plan: Plan) -> tuple[int, Edit]:
    """How many steps a training took, and its edit."""
    loss = Counted(work.loss)
    edit = train(lm, replace(work, loss=loss), plan)[0]
    return loss.steps, edit


@pytest.mark.parametrize("tune", TUNES)
@pytest.mark.parametrize(("error", "saved"), [(Stopped, 3), (KeyboardInterrupt, 4)])  # by hand nothing is lost
def test_a_training_goes_on_where_it_stopped(
    lm: LM, tune: str, error: type[BaseException], saved: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    plan, work, before = replace(SHORT, tune=tune), task(npo, "reference", "instead"), worlds.state(lm)
    steps, whole = steps_of(lm, work, plan)
    assert steps == 6
    with monkeypatch.context() as patched:
        stop_at(patched, 4, error)
        with pytest.raises(error), checkpoints_in(tmp_path / "c"):
            train(lm, work, plan)
    assert worlds.state(lm) == before
    with checkpoints_in(tmp_path / "c"):
        steps, resumed = steps_of(lm, work, plan)
    assert (steps, resumed.digest(), resumed.history) == (6 - saved, whole.digest(), whole.history)
    assert not (tmp_path / "c").exists()


def test_only_the_same_training_goes_on(llama: LM, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Another plan, another seed, or another answer under the same id begins at the beginning."""
    plan = replace(SHORT, tune="full")
    changed = [replace(r, answer=r.answer.replace(" has ", " had ")) for r in worlds.FORGET]
    others = [
        (replace(task(), forget=changed), plan),
        (task(), replace(plan, seed=1)),
        (task(), replace(plan, lr=2e-3)),
        (replace(task(), retain=worlds.RETAIN[:3]), plan),
    ]
    with checkpoints_in(tmp_path / "c"):
        with monkeypatch.context() as patched:
            stop_at(patched, 4, Stopped)
            with pytest.raises(Stopped):
                train(llama, task(), plan)
        assert [steps_of(llama, *other)[0] for other in others] == [6] * 4
        assert steps_of(llama, task(), plan)[0] == 3


def test_several_trainings_keep_their_checkpoints_in_one_place(
    llama: LM, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    long, short = replace(SHORT, tune="full", epochs=6), replace(SHORT, tune="full", seed=5)
    whole = train(llama, task(), short)[0]
    with checkpoints_in(tmp_path / "c"):
        train(llama, task(), long)  # leaves checkpoints of later steps
        with monkeypatch.context() as patched:
            stop_at(patched, 4, Stopped)
            with pytest.raises(Stopped):
                train(llama, task(), short)
        steps, edit = steps_of(llama, task(), short)
        assert (steps, edit.digest()) == (3, whole.digest())
        assert steps_of(llama, task(), long)[0] == 0  # the first one is still known to be done


def test_learning_lowers_the_loss_of_answers_alone(lm: LM) -> None:
    news = [Record("n", "What is new?", "A seventh bridge."), worlds.RECORDS[0]]
    edit = learn(lm, news, replace(SHORT, tune="full", epochs=40))
    with edit.on(lm):
        learned, asked = (probability(a) or 0.0 for a in ask(lm, [news[0], replace(news[0], answer=news[0].prompt)]))
    assert learned > 0.9 > 0.5 > asked  # the question was not learned
