"""Our trainings and the usual ones agree on tiny models; what is timed is the same work."""

from dataclasses import replace

import pytest
import torch
from benchmarks.ours import learned, task_of, trained
from benchmarks.paired import Differ
from benchmarks.straightforward import training as straightforward
from benchmarks.subjects import Lesson, Shape, lesson, model
from benchmarks.training import CASES, Case, compared, same_change, same_gradient, there, ways

import worlds
from benchmarks import costs, training
from unteach.assemble import make_method
from unteach.lm.model import LM
from unteach.schema import Request

SHAPE = Shape(vocabulary=400, hidden=32, layers=4, heads=4, kv_heads=2, inner=48)


@pytest.fixture(scope="module")
def lm() -> LM:
    return model(SHAPE, worlds.RECORDS)


@pytest.fixture(scope="module")
def taught() -> Lesson:
    return lesson(Request(worlds.FORGET, worlds.RETAIN), steps=4, epochs=2, rows=2)


def test_every_row_to_forget_comes_once_an_epoch_and_no_row_to_keep_twice(taught: Lesson) -> None:
    for epoch in range(2):
        assert sorted(i for a, _, e in taught.steps if e == epoch for i in a) == [0, 1, 2, 3]
    kept = [i for _, b, _ in taught.steps for i in b]
    assert sorted(kept) == list(range(len(worlds.RETAIN)))


def test_the_models_have_the_sizes_that_they_are_called_by() -> None:
    small, mid = (training.SHAPES[name] for name in ("small", "mid"))
    assert (small.layers, small.hidden, small.vocabulary, mid.layers, mid.hidden, mid.vocabulary) == (4, 128, 4096, 8, 384, 8192)  # fmt: skip


@pytest.mark.parametrize("case", CASES, ids=lambda c: c.name)
def test_both_ways_agree_on_loss_gradient_and_change_of_the_weights(case: Case, lm: LM, taught: Lesson) -> None:
    assert [*there((case,))] == [case]
    same_gradient(case, lm, taught)
    peer, ours = ways(case, lm, taught)
    same_change(case, lm, peer(), ours())


def test_a_comparison_becomes_a_figure_for_one_step(lm: LM) -> None:
    short = lesson(Request(worlds.FORGET, worlds.RETAIN), steps=1, epochs=1, rows=1)
    figure = compared(CASES[0], lm, short, "small", pairs=5)
    assert (figure.what, figure.goal) == ("GradDiff, small", 1.8)
    assert 0 < figure.ours < 1


def test_another_objective_is_found_out(lm: LM, taught: Lesson) -> None:
    wrong = replace(CASES[1], peer=lambda _lm: straightforward.SIMNPO)
    with pytest.raises(Differ, match="NPO: loss"):
        same_gradient(wrong, lm, taught)
    half = straightforward.Objective(straightforward.graddiff, trained=lambda name: "layers.0" in name)
    with pytest.raises(Differ, match="only one side trains"):
        same_gradient(replace(CASES[0], peer=lambda _lm: half), lm, taught)


def test_another_training_is_found_out(lm: LM, taught: Lesson) -> None:
    edit = trained(CASES[0].ours, lm, taught)
    longer = straightforward.train(lm.model, [*taught.rows(lm), *taught.rows(lm)], straightforward.GRADDIFF, lr=1e-5, pad=lm.pad)  # fmt: skip
    with pytest.raises(Differ, match="change of the weights"):
        same_change(CASES[0], lm, longer, edit)


def test_a_method_that_is_not_there_is_named_and_left_out(capsys: pytest.CaptureFixture[str]) -> None:
    missing = replace(CASES[0], name="Oblivion", method="oblivion")
    assert [*there((missing, CASES[0]))] == [CASES[0]]
    assert "Oblivion: not measured" in capsys.readouterr().out


def test_the_straightforward_way_leaves_its_model_as_it_was_and_pads_with_nothing(lm: LM, taught: Lesson) -> None:
    before = {n: p.clone() for n, p in lm.model.named_parameters()}
    rows = taught.rows(lm)
    policy = straightforward.train(lm.model, rows, straightforward.NPO, lr=1e-3, pad=lm.pad)
    assert all(torch.equal(before[n], p) for n, p in lm.model.named_parameters())
    assert not torch.equal(policy.get_input_embeddings().weight, lm.model.get_input_embeddings().weight)
    forget, _ = rows[0]
    together = straightforward.padded(forget, pad=lm.pad, device=lm.device)
    alone = [straightforward.padded([row], pad=lm.pad, device=lm.device) for row in forget]
    sums = torch.cat([straightforward.row_sums(lm.model, one) for one in alone])
    assert torch.allclose(straightforward.row_sums(lm.model, together), sums, rtol=1e-6)


def test_nothing_is_measured_on_the_way_and_the_steps_are_the_lessons(lm: LM, taught: Lesson) -> None:
    method = make_method("npo", {**training.PLAN, "tune": "full"})
    edit = trained(method, lm, taught)
    assert edit.history == ()
    task, plan = task_of(method, lm, taught.request)
    assert task.forget == taught.request.forget
    again = learned(task, plan, lm, taught).delta(lm)
    assert all(torch.equal(again[name], delta) for name, delta in edit.delta(lm).items())


def test_what_a_step_costs_is_compared_with_a_plain_one_on_the_same_rows(lm: LM) -> None:
    request = Request(worlds.FORGET * 2, worlds.RETAIN * 2)
    names = {name for name, _ in costs.settings()}
    assert {"ga", "npo", "undial", "rmu"} <= names
    assert ("ga", "kl") in costs.settings()
    task, _ = task_of(make_method("dpo", {}), lm, request)
    plain = costs._plain(task)
    assert "instead" in plain.needs
    assert not plain.needs & {"reference", "reference_logits"}


def test_positions_without_a_token_are_counted(lm: LM) -> None:
    request = Request(worlds.FORGET, worlds.RETAIN)
    outside, batches = costs.positions(lm, request, "tiny"), costs.padding(lm, request, "tiny")
    assert -0.5 < outside.value < 0  # rows begin alike
    assert 0 < batches.value < 0.5
    assert 0 < costs.measuring(lm, request, "tiny").value < 1
