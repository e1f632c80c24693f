"""MEND: the gradient in factors, an editor that begins as gradient descent, learns, is kept, and serves one model."""

import json
from collections.abc import Sequence
from dataclasses import asdict, replace
from pathlib import Path

import pytest
import torch
from practised import FACTS, by_autograd, multiplied_out

import families
import worlds
from unteach.data.facts import question
from unteach.edit.checkpoint import checkpoints_in
from unteach.edit.patches import AddOuter, through
from unteach.lm.anatomy import FAMILIES
from unteach.lm.batch import collate
from unteach.lm.model import LM
from unteach.lm.view import View
from unteach.measure.answers import ask, loss
from unteach.methods.facts import training
from unteach.methods.facts.editor import Made, edited, trained
from unteach.methods.facts.gradients import Factors, changed, gradients, mlp_maps, patches
from unteach.methods.facts.held import apart, held
from unteach.methods.facts.lessons import lessons, of_request, row
from unteach.methods.facts.mend import MEND
from unteach.methods.facts.practice import Practice
from unteach.methods.facts.train_editor import train_editor
from unteach.methods.facts.transforms import GradientTransforms, Running
from unteach.methods.facts.write import written
from unteach.schema import Fact, InputError, Record, Request

SHORT = Practice(steps=8, batch=3)
ROWS_OF = {"gpt2": 6, "llama": 9}  # maps in three blocks


def taken(lm: LM, count: int = 3) -> list:
    return [row(lm, question(f), f.target_new) for f in FACTS[:count]]


@pytest.mark.parametrize("name", sorted(FAMILIES))
def test_factors_add_up_to_the_gradient_of_the_weight(name: str) -> None:
    lm = families.family(name)
    maps, before = mlp_maps(lm, 2), worlds.state(lm)
    rows = taken(lm)
    found = gradients(lm, rows, list(maps))
    assert worlds.state(lm) == before
    ordinary = by_autograd(lm, rows, list(maps))
    for path, gradient in multiplied_out(lm, found).items():
        assert tuple(found[path].x.shape[1:] + found[path].delta.shape[1:]) == maps[path]
        torch.testing.assert_close(gradient, ordinary[path], rtol=1e-5, atol=1e-6)


def test_each_fact_has_the_gradient_that_it_has_alone(lm: LM) -> None:
    rows, paths = taken(lm), list(mlp_maps(lm, 3))
    together = gradients(lm, rows, paths)
    for n, alone in enumerate(gradients(lm, [r], paths) for r in rows):
        for path, terms in together.items():
            mine = terms.fact == n
            torch.testing.assert_close(
                terms.x[mine].T @ terms.delta[mine], alone[path].x.T @ alone[path].delta, rtol=1e-4, atol=1e-6
            )


def test_an_untrained_mend_is_a_step_of_gradient_descent(lm: LM) -> None:
    how, maps = MEND(first_step=1e-2), mlp_maps(lm, 3)
    net = how.newborn(lm, maps, how.sizes).eval()
    rows = taken(lm)
    change = patches(lm, net(gradients(lm, rows, list(maps)), []))
    assert len(change) == len(maps) == ROWS_OF[lm.model.config.model_type]
    for path, gradient in by_autograd(lm, rows, list(maps)).items():
        (term,) = (change[f"{path}.weight"],)
        torch.testing.assert_close(term.left @ term.right, -1e-2 * gradient, rtol=1e-4, atol=1e-7)


def test_the_low_rank_edit_is_the_multiplied_out_one_and_each_row_can_meet_its_own(lm: LM) -> None:
    made, _ = trained(MEND(practice=SHORT), lm, lessons(lm, FACTS), SHORT)
    term = edited(lm, made, FACTS[:2])
    assert all(isinstance(t, AddOuter) for t in term.values())
    edit, rows = written(lm, term, "mend"), taken(lm)
    batch = collate(rows, [""] * len(rows), pad=lm.pad, device=lm.device)
    dense = {name: through((t,), lm.parameters()[name].detach()) for name, t in term.items()}
    with torch.no_grad():
        with edit.on(lm):
            worn = lm.logits(batch)
        torch.testing.assert_close(worn, lm.logits(batch, dense), rtol=1e-4, atol=1e-4)
        one, two = (made.net(gradients(lm, rows[n : n + 1], list(made.maps)), []) for n in (0, 1))
        both = {p: _joined(one[p], two[p]) for p in one}
        with changed(lm, both, batch, torch.tensor([0, 1, 7])):
            apart_ = View(lm.run(batch), slice(0, 3)).sums
        plain = lm.run(batch)
        with written(lm, patches(lm, one), "mend").on(lm):
            first = View(lm.run(batch), slice(0, 3)).sums
        torch.testing.assert_close(apart_[0], first[0], rtol=1e-4, atol=1e-4)
        assert (apart_[1] - first[1]).abs() > 1e-3
        torch.testing.assert_close(apart_[2], View(plain, slice(0, 3)).sums[2], rtol=1e-5, atol=1e-5)


@torch.no_grad()
@pytest.mark.parametrize(
    "name", ["gptj", "gpt_neox", "gemma2", "phi3"]
)  # padded rows, biases, norms behind, fused maps
def test_a_row_that_meets_a_change_is_answered_as_by_the_model_that_wears_it(name: str) -> None:
    lm = families.family(name)
    rows, maps = taken(lm), mlp_maps(lm, 2)
    batch = collate(rows, [""] * len(rows), pad=lm.pad, device=lm.device)
    change = (
        MEND(first_step=0.1)
        .newborn(lm, maps, {"rank": 4, "first_step": 0.1})
        .eval()(gradients(lm, rows[:1], list(maps)), [])
    )
    with changed(lm, change, batch, torch.tensor([0, 1, 0])):
        mixed = View(lm.run(batch), slice(0, 3)).sums
    plain = View(lm.run(batch), slice(0, 3)).sums
    with written(lm, patches(lm, change), "").on(lm):
        worn = View(lm.run(batch), slice(0, 3)).sums
    torch.testing.assert_close(mixed, torch.stack([worn[0], plain[1], worn[2]]), rtol=1e-4, atol=1e-4)
    assert (worn - plain).abs().min() > 1e-3


def _joined(one: Factors, two: Factors) -> Factors:
    return Factors(torch.cat([one.x, two.x]), torch.cat([one.delta, two.delta]), torch.cat([one.fact, two.fact + 1]))


def test_running_statistics_are_those_of_all_rows_and_move_in_training_alone() -> None:
    torch.manual_seed(0)
    rows, norm = torch.randn(40, 5) * 3 + 2, Running(5)
    assert torch.equal(norm.eval()(rows), rows)
    norm.train()
    for part in rows.split([1, 9, 0, 30]):
        norm(part)
    norm.eval()
    expected = (rows - rows.mean(0)) / rows.std(0)
    torch.testing.assert_close(norm(rows), expected, rtol=1e-5, atol=1e-5)
    kept = {n: b.clone() for n, b in norm.named_buffers()}
    norm(rows * 7)
    assert all(torch.equal(b, kept[n]) for n, b in norm.named_buffers())
    assert norm.count == 40


def test_making_an_edit_leaves_the_editor_as_it_was(llama: LM) -> None:
    made, _ = trained(MEND(), llama, lessons(llama, FACTS), SHORT)
    before = {n: t.clone() for n, t in made.net.state_dict().items()}
    edited(llama, made, FACTS[:4])
    assert all(torch.equal(t, before[n]) for n, t in made.net.state_dict().items())
    assert made.net.state_dict()["transforms.64x128.x.count"] > 0


def test_weights_of_one_shape_share_a_transform_and_differ_in_scale_shift_and_step() -> None:
    net = GradientTransforms({"a": (3, 4), "b": (4, 3), "c": (3, 4)}, rank=2, step=0.1)
    assert {n: tuple(p.shape) for n, p in net.named_parameters() if "layers.0" in n and "scale" in n} == {
        "transforms.3x4.layers.0.scale": (2, 7),
        "transforms.4x3.layers.0.scale": (1, 7),
    }
    with torch.no_grad():
        net.transforms["3x4"].layers[1].shift[1] += 1
        net.steps[2] *= 3
    terms = {p: Factors(torch.ones(2, s[0]), torch.ones(2, s[1]), torch.zeros(2).long()) for p, s in net.maps.items()}
    change = net.eval()(terms, [])
    assert torch.equal(change["a"].delta, torch.full((2, 4), -0.1))
    torch.testing.assert_close(change["c"].delta, torch.full((2, 4), -0.3 * 2))


def test_practice_lowers_the_loss_and_an_editor_corrects_what_it_has_not_practised(llama: LM) -> None:
    kept, away = apart(FACTS, 3, 0)
    made, losses = trained(MEND(rank=32), llama, lessons(llama, kept), Practice(steps=40, batch=6))
    assert sum(x.edit for x in losses[-10:]) / 10 < 0.6 * losses[0].edit
    assert missing(llama, made, away) < 0.5 * unedited(llama, away)
    assert held(llama, away, lambda f: written(llama, edited(llama, made, [f]), "")).locality > 0.6


def unedited(lm: LM, facts: Sequence[Fact]) -> float:
    """The mean loss a token of new answers as the model is."""
    losses = [loss(a) for a in ask(lm, [Record("", question(f), f.target_new) for f in facts])]
    return sum(losses) / len(losses)


def missing(lm: LM, made: Made, facts: Sequence[Fact]) -> float:
    """The mean loss a token of new answers, each fact corrected alone."""
    losses = []
    for fact in facts:
        with written(lm, edited(lm, made, [fact]), "").on(lm):
            losses += map(loss, ask(lm, [Record("", question(fact), fact.target_new)]))
    return sum(losses) / len(losses)


def test_a_kept_editor_gives_the_same_edit_and_is_refused_by_another_model_or_method(
    llama: LM, gpt2: LM, tmp_path: Path
) -> None:
    how, request = MEND(rank=16, practice=SHORT), Request(facts=FACTS[:2])
    before = worlds.state(llama)
    score = train_editor(llama, how, FACTS, tmp_path / "one", holdout=2)
    assert worlds.state(llama) == before
    assert score is not None
    assert score.count == 2
    assert sorted(p.name for p in (tmp_path / "one").iterdir()) == ["editor.json", "editor.safetensors"]
    again = replace(how, rank=32, editor=str(tmp_path / "one"))  # the folder says what the editor is
    train_editor(llama, how, FACTS, tmp_path / "two", holdout=2)
    edit = again(llama, request)
    assert edit.digest() == replace(how, editor=str(tmp_path / "two"))(llama, request).digest()
    assert all(chain[0].right.shape[0] < 64 for chain in edit.weights.values())
    about = json.loads((tmp_path / "one" / "editor.json").read_text())
    assert (about["model"], about["notes"]["held_out"]) == (llama.digest(), asdict(score))
    with pytest.raises(InputError, match="another model"):
        again(gpt2, request)
    for damaged, said in (
        ({"method": "ke"}, "another method"),
        ({"maps": 3}, "not a description"),
        ({"format": 9}, "of format"),
        ({"sha256": "0" * 64}, "copy the editor again"),
    ):
        (tmp_path / "one" / "editor.json").write_text(json.dumps(about | damaged))
        with pytest.raises(InputError, match=said):
            again(llama, request)
    with pytest.raises(InputError, match="train-editor"):
        replace(how, editor=str(tmp_path / "none"))(llama, request)


def test_a_training_that_was_stopped_ends_as_if_it_had_not(
    llama: LM, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    rows = lessons(llama, FACTS)
    whole, losses = trained(MEND(), llama, rows, SHORT)
    monkeypatch.setattr(training, "CHECKPOINT_SECONDS", -1)
    step, calls = training._step, 0

    def stopped(*given: object) -> object:
        nonlocal calls
        calls += 1
        if calls == 5:
            raise KeyboardInterrupt
        return step(*given)

    monkeypatch.setattr(training, "_step", stopped)
    with pytest.raises(KeyboardInterrupt), checkpoints_in(tmp_path):
        trained(MEND(), llama, rows, SHORT)
    with checkpoints_in(tmp_path):
        resumed, history = trained(MEND(), llama, rows, SHORT)
    assert calls == 5 + SHORT.steps - 4
    assert history == losses
    assert all(torch.equal(t, resumed.net.state_dict()[n]) for n, t in whole.net.state_dict().items())


def test_facts_held_out_are_of_subjects_that_no_lesson_mentions() -> None:
    kept, away = apart(FACTS, 4, 0)
    names = {f.subject for f in away}
    assert len(away) == len(names) == 4
    assert not names & {f.subject for f in kept}
    assert not [p for f in kept for p in f.locality if any(name in p.prompt for name in names)]
    assert len([f for f in kept if not f.locality]) > 0
    assert apart(FACTS, 4, 0) == (kept, away) != apart(FACTS, 4, 1)
    with pytest.raises(InputError, match="holdout"):
        apart(FACTS, len(FACTS), 0)


def test_a_request_is_practised_on_its_facts_and_its_other_rows_but_not_on_what_contradicts_them(llama: LM) -> None:
    asked = Request(facts=FACTS[:2], retain=worlds.RECORDS[:5])
    found = of_request(llama, asked)
    assert [x.told.split(" >> ")[1] for x in found[:2]] == [f"{f.target_new} || {question(f)}" for f in FACTS[:2]]
    assert len(found) == 2 + 3
    others = {r for x in found for r in x.other}
    assert not others & {row(llama, r.prompt, r.answer) for r in worlds.RECORDS[:2]}
    alone = of_request(llama, Request(facts=FACTS[:1]))
    assert len(alone) == 1
    assert alone[0].other


def test_what_an_editor_cannot_be_is_refused() -> None:
    for options in ({"blocks": 0}, {"rank": 0}, {"first_step": 0.0}):
        with pytest.raises(InputError, match="at least one block"):
            MEND(**options)
    for options in ({"together": 0}, {"lr": 0.0}, {"clip": 0.0}):
        with pytest.raises(InputError, match="an editor is trained"):
            Practice(**options)
