"""Training of a part: down-projections alone, blocks that run once a row, masks, stops of one's own, numbers that are carried."""

from dataclasses import replace
from pathlib import Path

import pytest
import torch
from torch import Tensor

import worlds
from unteach.edit import rows as desk
from unteach.edit import train as loop
from unteach.edit.checkpoint import checkpoints_in
from unteach.edit.cost import cost
from unteach.edit.edit import Edit
from unteach.edit.patches import Put
from unteach.edit.plan import Plan, Step, alternating, schedule
from unteach.edit.rows import Sides, Task
from unteach.edit.train import train
from unteach.edit.trainable import trainable
from unteach.lm.anatomy import anatomy, blocks
from unteach.lm.model import LM
from unteach.lm.trace import Start
from unteach.schema import InputError, Need

PLAN = Plan(tune="down:1-2", epochs=3, lr=3e-3, batch_size=2, accumulate=1)


def ascent(now: Sides, _before: Sides) -> Tensor:
    return now.forget.token_logps.mean() - now.retain.token_logps.mean()


def steered(now: Sides, before: Sides) -> Tensor:
    """The forget states to 0, the retain states where they were."""
    gap = now.retain.hidden(1) - before.retain.hidden(1)
    return now.forget.hidden(1).square().mean() + gap.square().mean()


def task(loss: object = ascent, *needs: Need, **more: object) -> Task:
    return Task(worlds.FORGET, worlds.RETAIN, loss, frozenset({"forget", "retain", *needs}), **more)  # type: ignore[arg-type]


def put(edit: Edit) -> dict[str, Tensor]:
    found = {}
    for name, (patch,) in edit.weights.items():
        assert isinstance(patch, Put)
        found[name] = patch.value
    return found


def test_down_trains_the_down_projections_of_its_blocks(lm: LM) -> None:
    place = anatomy(lm.model)
    edit = train(lm, task(), PLAN)[0]
    starts = tuple(f"{place.blocks}.{n}.{place.mlp_out}." for n in (1, 2))
    assert edit.weights.keys() == {n for n in lm.parameters() if n.startswith(starts)}
    with pytest.raises(InputError, match="the model has layers 0 to 2"):
        train(lm, task(), replace(PLAN, tune="down:3"))


STARTS = {
    "full": Start(), "lora": Start(), "1-2": Start(1), "0,2": Start(), "down:2": Start(2, inside=True),
    "down:0-1": Start(inside=True),
}  # fmt: skip


@pytest.mark.parametrize(("tune", "first"), STARTS.items())
def test_what_enters_where_training_begins_is_known(lm: LM, tune: str, first: Start) -> None:
    with trainable(lm, replace(PLAN, tune=tune)) as parts:
        assert parts.first == first


@pytest.mark.parametrize("tune", ["1-2", "down:1-2"])
def test_what_lies_below_what_is_trained_runs_once_a_row(lm: LM, monkeypatch: pytest.MonkeyPatch, tune: str) -> None:
    monkeypatch.setattr(loop.Gauge, "wanted", False)
    ran = dict.fromkeys(range(3), 0)
    for i, block in enumerate(blocks(lm.model)):
        inner = next(iter(block.children()))
        monkeypatch.setattr(inner, "forward", _counting(inner.forward, ran, i))
    for loss, needs in ((ascent, ()), (steered, ("hidden",))):
        ran |= dict.fromkeys(ran, 0)
        train(lm, task(loss, *needs), replace(PLAN, tune=tune))  # 2 steps an epoch, 3 epochs
        rows = [ran[i] for i in range(3)]
        assert 0 < rows[0] <= 4 + 2  # once for each batch of rows not seen before
        assert rows[1] == rows[0] if tune.startswith("down:") else rows[1] >= 6
        assert rows[2] == (0 if needs else 6)  # nothing above what is read


def _counting(forward: object, ran: dict[int, int], i: int) -> object:
    def counted(*args: object, **kwargs: object) -> object:
        ran[i] += 1
        return forward(*args, **kwargs)  # type: ignore[operator]

    return counted


@pytest.mark.parametrize(("loss", "needs"), [(ascent, ()), (steered, ("hidden",))])
def test_what_is_kept_of_the_lower_blocks_is_what_they_say(
    lm: LM, loss: object, needs: tuple[Need, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    kept = put(train(lm, task(loss, *needs), PLAN)[0])
    monkeypatch.setattr(desk, "MOST_BYTES", 1)
    crowded = put(train(lm, task(loss, *needs), PLAN)[0])
    monkeypatch.setattr(LM, "enter", lambda *_: None)
    anew = put(train(lm, task(loss, *needs), PLAN)[0])
    for name, value in anew.items():
        moved = (value - lm.parameters()[name]).norm()
        assert bool(moved > 0) == (loss is ascent or ".1." in name)  # nothing above what is read
        assert (kept[name] - value).norm() <= 1e-3 * moved
        assert (crowded[name] - value).norm() <= 1e-3 * moved


def test_what_is_masked_stays_bit_for_bit(lm: LM) -> None:
    name = next(n for n in sorted(train(lm, task(), PLAN)[0].weights) if n.endswith(".weight"))
    weight = lm.parameters()[name].detach()
    keep = torch.arange(weight.shape[0])[:, None] % 2 == 0
    masked = {n: keep if n == name else torch.zeros_like(p, dtype=torch.bool) for n, p in lm.parameters().items()}
    plan = replace(PLAN, weight_decay=0.0)
    edit = put(train(lm, replace(task(), keep={n: masked[n] for n in train(lm, task(), plan)[0].weights}), plan)[0])
    assert torch.equal(edit[name][1::2], weight[1::2])
    assert (edit[name][::2] != weight[::2]).any(1).all()
    assert all(torch.equal(value, lm.parameters()[n]) for n, value in edit.items() if n != name)


def test_a_task_may_say_that_it_is_enough(llama: LM) -> None:
    asked: list[int] = []

    def enough() -> str:
        asked.append(1)
        return "done" if len(asked) == 3 else ""

    history = train(llama, task(enough=enough), PLAN)[0].history
    assert [h["step"] for h in history] == [0, 2, 4]  # asked before the first step and after each epoch
    at_once = train(llama, task(enough=lambda: "done"), PLAN)[0]
    assert [h["step"] for h in at_once.history] == [0]
    assert all(torch.equal(value, llama.parameters()[n]) for n, value in put(at_once).items())


def test_what_a_loss_carries_survives_an_interruption(llama: LM, tmp_path: Path) -> None:
    def counting(state: dict[str, float], *, until: int = 100) -> object:
        def loss(now: Sides, before: Sides) -> Tensor:
            state["steps"] = state.get("steps", 0.0) + 1
            if state["steps"] > until:
                raise KeyboardInterrupt
            return ascent(now, before) * state["steps"]

        return loss

    whole: dict[str, float] = {}
    expected = train(llama, task(counting(whole), state=whole), PLAN)[0]
    assert whole["steps"] == 6.0
    plan = replace(PLAN, checkpoint_every=1)
    first: dict[str, float] = {}
    with checkpoints_in(tmp_path), pytest.raises(KeyboardInterrupt):
        train(llama, task(counting(first, until=3), state=first), plan)
    second: dict[str, float] = {}
    with checkpoints_in(tmp_path):
        found = train(llama, task(counting(second), state=second), plan)[0]
    assert second == whole
    assert all(torch.equal(value, put(expected)[name]) for name, value in put(found).items())
    assert found.history == expected.history


def test_sides_take_turns() -> None:
    forget, retain = {f"f{i}": 5 + i for i in range(7)}, {f"r{i}": 4 + i for i in range(20)}
    plan = Plan(epochs=2, batch_size=3)
    together, turns = schedule(forget, retain, plan), alternating(forget, retain, plan)
    for epoch in (0, 1):
        mine = [s for s in together if s.epoch == epoch]
        found = [s for s in turns if s.epoch == epoch]
        assert found == [*(Step(s.forget, (), epoch) for s in mine), *(Step((), s.retain, epoch) for s in mine)]


def test_training_counts_its_tokens(llama: LM) -> None:
    plan = replace(PLAN, tune="full", epochs=2)
    edit = train(llama, task(), plan)[0]
    lengths = [{f"{s}/{r.id}": len(llama.encoder.row(r).ids) for r in rows}
               for s, rows in (("forget", worlds.FORGET), ("retain", worlds.RETAIN))]  # fmt: skip
    steps = schedule(*lengths, plan)
    every = lengths[0] | lengths[1]
    assert edit.history[-1]["tokens"] == sum(every[k] for s in steps for k in (*s.forget, *s.retain))


def test_the_cost_counts_tokens_parameters_and_what_was_trained(llama: LM) -> None:
    size = sum(p.numel() for p in llama.parameters().values())
    first = train(llama, task(), PLAN)[0]
    found = cost(llama, first, 1.5, 1000, measured=True)
    trained = sum(t.numel() for t in put(first).values())
    assert (found.seconds, found.retrain_is, found.trainable) == (1.5, "measured", trained / size)
    assert found.flops == 6 * size * first.history[-1]["tokens"]
    assert found.retrain_flops == 6000 * size
    with first.on(llama):
        second = train(llama, task(), PLAN)[0]
    assert cost(llama, first.then(second), 1.0, 0).flops == pytest.approx(2 * found.flops, rel=0.2)
    assert cost(llama, first.then(second), 1.0, 0).retrain_flops is None
