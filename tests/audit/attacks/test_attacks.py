"""Attacks on models that hide what they know, beside one that never knew it."""

from dataclasses import replace

import pytest
import torch

import worlds
from unteach.audit.attacked import Rows, attacked
from unteach.audit.rounding import whole_steps
from unteach.audit.target import Target, mean
from unteach.audit.telling import telling, told
from unteach.edit.edit import Edit
from unteach.edit.learn import learn
from unteach.edit.patches import Add
from unteach.edit.plan import Plan
from unteach.edit.rows import Task
from unteach.edit.train import train
from unteach.lm.model import LM
from unteach.registry import build
from unteach.schema import InputError, Record

KNOWN = worlds.RECORDS
NAMES = ["quantise", "prefix"]


def nudged(lm: LM, size: float) -> Edit:
    """Every matrix moved a little, in one direction drawn for it."""
    dice = torch.Generator().manual_seed(3)
    weights = {
        name: (Add(size * torch.randn(p.shape, generator=dice)),) for name, p in lm.parameters().items() if p.ndim == 2
    }
    return Edit(base=lm.digest(), weights=weights, made_by="nudged")


def pushed_down(lm: LM) -> Edit:
    """Gradient ascent on all answers."""
    plan = Plan(tune="full", lr=2e-3, epochs=2, batch_size=6, accumulate=1, warmup_epochs=0)
    task = Task(KNOWN, (), lambda now, _: now.forget.token_logps.mean(), frozenset({"forget"}))
    return train(lm, task, plan)[0]


def test_what_tells_is_what_neither_the_question_nor_the_form_gives() -> None:
    row = Record(
        "a", "What does Ada do?", "Ada works as a baker.", perturbed=("Ada works as a smith.", "Ada works as a tailor.")
    )
    assert telling(row) == {"baker"}
    assert told(row, "She works as a tailor.") == 0.0
    assert told(row, "A BAKER!") == 1.0
    assert telling(replace(row, perturbed=())) == {"works", "as", "a", "baker"}
    assert telling(Record("b", "Is it so?", "It is so.")) == {"it", "is", "so"}
    assert told(Record("c", "?", "..."), "...") is None


def test_words_that_were_shown_do_not_count_as_told() -> None:
    row = Record("a", "What is the code?", "Seven red owls.")
    assert told(row, "Red owls, seven.", "The red one") == 1.0
    assert told(row, "red", "The red one") == 0.0
    assert told(row, "Owls.", "Red,", "no seven") == 1.0
    assert told(row, "Seven", "red") == 0.5
    assert told(row, "Seven red owls.", "Owls", "seven RED") is None


def test_whole_steps_against_the_definition() -> None:
    weight = torch.randn(5, 7, generator=torch.Generator().manual_seed(0))
    for bits in (2, 4, 8):
        codes, found = whole_steps(weight, bits)
        for row, code, given in zip(found, codes, weight, strict=True):
            step = given.abs().max() / (2 ** (bits - 1) - 1)
            torch.testing.assert_close(code, torch.round(given / step))
            torch.testing.assert_close(row, step * torch.round(given / step))
            assert len(row.unique()) <= 2**bits - 1
    assert torch.equal(whole_steps(weight, 4, group=7)[1], whole_steps(weight, 4)[1])
    torch.testing.assert_close(whole_steps(weight, 4, group=3)[1][:, 6:], weight[:, 6:])  # its own greatest
    assert torch.equal(whole_steps(torch.zeros(2, 3), 8)[1], torch.zeros(2, 3))


def test_quantise_takes_back_an_edit_that_is_smaller_than_a_step(llama: LM) -> None:
    """Of an edit within half a step nothing is left: the rounded edited model is the rounded original."""
    attack = build("attack", "quantise", {"kinds": ("int4",)})
    steps = {n: p.detach().abs().amax(1, keepdim=True) / 7 for n, p in llama.parameters().items() if p.ndim == 2}
    shifts = {
        n: (Add((s * torch.round(p.detach() / s) - p.detach()) * 0.5),)
        for (n, s) in steps.items()
        for p in [llama.parameters()[n]]
    }
    edit = Edit(base=llama.digest(), weights=shifts)
    plain = attack(Target(llama, KNOWN, max_new=24))
    with edit.on(llama):
        hidden = attack(Target(llama, KNOWN, max_new=24))
    assert hidden.values == plain.values
    assert hidden.curve == plain.curve
    with pytest.raises(InputError, match=r"option 'kinds' of quantise must hold some of int8, int4, nf4"):
        build("attack", "quantise", {"kinds": ()})


def test_recovery_is_counted_from_the_attacked_model_to_the_original(llama: LM) -> None:
    digest = llama.digest()
    edit = nudged(llama, 0.08)
    with edit.on(llama):
        left = mean(Target(llama, KNOWN, max_new=24).told())
    whole = mean(Target(llama, KNOWN, max_new=24).told())
    found = attacked(
        {"original": llama, "edited": lambda: edit.on(llama), "retrained": worlds.llama()}, Rows(KNOWN),
        [(n, {}) for n in NAMES], most=24,
    )  # fmt: skip
    assert [(f.model, f.attack) for f in found] == [(m, n) for m in ("edited", "retrained") for n in NAMES]
    for finding in found[:2]:
        assert finding.n == len(KNOWN)
        assert finding.before == pytest.approx(left)
        assert finding.recovered == pytest.approx((finding.value - left) / (whole - left))
        control = found[2 + NAMES.index(finding.attack)]
        assert finding.excess == pytest.approx(finding.recovered - control.recovered)
        assert control.excess is None
    assert llama.digest() == digest


def test_prefix_wakes_an_answer_that_is_only_blocked_at_its_beginning(llama: LM) -> None:
    """A model taught to refuse refuses; once an answer is begun, it goes on as it always did."""
    refusals = [replace(r, answer="No idea.") for r in KNOWN]
    plan = Plan(tune="full", lr=1e-3, epochs=12, batch_size=4, accumulate=1, warmup_epochs=0)
    with learn(llama, refusals, plan).on(llama):
        target = Target(llama, KNOWN, max_new=24)
        plain, found = mean(target.told()), build("attack", "prefix", {"tokens": 2})(target)
    assert plain < 0.1
    assert mean(found.values) > plain + 0.3
    assert [x for x, _ in found.curve] == [1, 2]


def test_relearn_brings_back_what_was_only_pushed_down(llama: LM) -> None:
    """A few steps uphill hide the answers; some of them trained on bring back the others, but not to a newborn."""
    attack = build("attack", "relearn", {"share": 0.5, "epochs": 3, "lr": (1e-3,), "tune": "full"})
    newborn = worlds.llama()
    with pushed_down(llama).on(llama):
        plain = Target(llama, KNOWN, max_new=24)
        hidden, found = mean(plain.told()), attack(plain)
    assert sum(v is None for v in found.values) == len(KNOWN) // 2
    control = attack(Target(newborn, KNOWN, max_new=24))
    assert mean(found.values) > hidden + 0.2
    assert mean(control.values) < mean(found.values) - 0.3
    assert [x for x, _ in found.curve] == [0, 1, 2, 3]
    assert attack(Target(llama, KNOWN[:1], max_new=24)).values == ()


def test_relearn_by_related_rows_asks_only_those_that_have_kin(llama: LM) -> None:
    """Rows of the same subject are trained on where there are any, else the spent rows in other words, else nothing."""
    attack = build("attack", "relearn", {"kind": "related", "epochs": 1, "tune": "full", "share": 0.25})
    of_two = [replace(r, subject=f"town {i % 3}") for i, r in enumerate(worlds.FORGET)]
    kin = [replace(r, subject="town 0") for r in worlds.RETAIN[:3]]
    found = attack(Target(llama, of_two, [*kin, *worlds.RETAIN[3:]], max_new=24))
    assert [v is None for v in found.values] == [False, True, True, False]
    assert found.note == "3 retain rows of the same subjects, 1 passes, full, learning rates 0.0001, 0.001, 0.003"
    reworded = [replace(r, paraphrases=("Say it!", "Tell me.")) for r in worlds.FORGET]
    found = attack(Target(llama, reworded, worlds.RETAIN, max_new=24))
    assert sum(v is None for v in found.values) == 1
    assert found.note == "2 paraphrases of forgotten rows, 1 passes, full, learning rates 0.0001, 0.001, 0.003"
    nothing = attack(Target(llama, worlds.FORGET, worlds.RETAIN, max_new=24))
    assert (nothing.values, nothing.note) == ((), "no row of the same subjects, no paraphrase")
