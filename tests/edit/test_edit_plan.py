"""The schedule of a training: a pure function, fair to every row, and thrifty with padding."""

import json
import os
import subprocess
import sys
from collections import Counter
from dataclasses import asdict, replace
from itertools import pairwise
from math import ceil
from pathlib import Path

import pytest
from transformers import AutoTokenizer

from unteach.edit.plan import Plan, Step, draw, layers, schedule
from unteach.lm.encoder import Encoder, Template
from unteach.schema import Record

FORGET = {f"f{i}": 10 + i * 7 % 23 for i in range(37)}
RETAIN = {f"r{i}": 12 + i * 5 % 19 for i in range(100)}
PLAN = Plan(epochs=4, batch_size=8)
SCRIPT = """
import json, sys
from dataclasses import asdict
from unteach.edit.plan import Plan, schedule
forget, retain = json.load(sys.stdin)
print(json.dumps([asdict(s) for s in schedule(forget, retain, Plan(epochs=4, batch_size=8))]))
"""


def seen(steps: tuple[Step, ...], side: str, epoch: int | None = None) -> Counter[str]:
    return Counter(i for s in steps if epoch in (None, s.epoch) for i in getattr(s, side))


@pytest.mark.parametrize("hash_seed", ["0", "1"])
def test_it_is_the_same_in_any_process(hash_seed: str) -> None:
    environment = {**os.environ, "PYTHONHASHSEED": hash_seed, "PYTHONPATH": os.pathsep.join(sys.path)}
    backwards = (dict(reversed(FORGET.items())), dict(reversed(RETAIN.items())))
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT], input=json.dumps(backwards), capture_output=True, text=True, check=True,
        env=environment, timeout=60,
    )  # fmt: skip
    here = [asdict(s) for s in schedule(FORGET, RETAIN, PLAN)]
    assert json.loads(done.stdout) == json.loads(json.dumps(here))


@pytest.mark.parametrize("epochs", [1, 4, 2.5])
def test_every_forget_row_comes_once_an_epoch_with_as_many_retain_rows(epochs: float) -> None:
    steps = schedule(FORGET, RETAIN, replace(PLAN, epochs=epochs))
    assert len(steps) == round(epochs * ceil(len(FORGET) / 8))
    for epoch in range(int(epochs)):
        assert seen(steps, "forget", epoch) == Counter([*FORGET])
    for step in steps:
        assert len(step.forget) == len(step.retain) <= 8
    orders = [[s.forget for s in steps if s.epoch == e] for e in range(int(epochs))]
    assert all(a != b for a, b in pairwise(orders))


@pytest.mark.parametrize("epochs", [0.1, 0.5, 1.5])
def test_no_step_is_without_retain_rows_however_short_the_training(epochs: float) -> None:
    for seed in range(20):
        for step in schedule(FORGET, RETAIN, replace(PLAN, epochs=epochs, seed=seed)):
            assert len(step.forget) == len(step.retain) > 0


def test_the_retain_rows_are_covered_evenly() -> None:
    steps = schedule(FORGET, RETAIN, replace(PLAN, epochs=11))
    counts = seen(steps, "retain")
    assert counts.keys() == RETAIN.keys()
    assert set(counts.values()) == {11 * len(FORGET) // len(RETAIN), 11 * len(FORGET) // len(RETAIN) + 1}
    few = {k: RETAIN[k] for k in list(RETAIN)[:3]}
    assert max(seen(schedule(FORGET, few, PLAN), "retain").values()) == ceil(4 * len(FORGET) / 3)


def test_rows_to_learn_are_anchors_where_nothing_is_to_be_forgotten() -> None:
    steps = schedule({}, RETAIN, PLAN)
    assert not seen(steps, "forget")
    for epoch in range(4):
        assert seen(steps, "retain", epoch) == Counter([*RETAIN])
    assert all(not s.retain for s in schedule(FORGET, {}, PLAN))


def test_another_record_leaves_the_order_of_the_others() -> None:
    """Rows in batches of one, all of a length: only the newcomer's place is new."""
    forget, retain = dict.fromkeys(FORGET, 9), dict.fromkeys(RETAIN, 9)
    plan = replace(PLAN, batch_size=1)

    def order(ids: dict[str, int]) -> list[str]:
        return [i for s in schedule(ids, retain, plan) for i in s.forget]

    plain = order(forget)
    for newcomer in ("a", "f12b", "zz"):
        grown = order({newcomer: 9, **forget})
        for epoch in range(4):
            there = grown[epoch * 38 : (epoch + 1) * 38]
            assert [i for i in there if i != newcomer] == plain[epoch * 37 : (epoch + 1) * 37]
        assert grown == order({**forget, newcomer: 9})  # wherever in the file it stands


def test_the_seed_and_the_epoch_change_the_order() -> None:
    orders = {tuple(s.forget for s in schedule(FORGET, RETAIN, replace(PLAN, seed=s, epochs=1))) for s in range(5)}
    assert len(orders) == 5
    assert draw(0, "a", 1) == draw(0, "a", 1) != draw(0, "a1")


def test_padding_is_rare_on_tofu(shared: Path) -> None:
    """forget10 beside retain90 in batches of 16 and 16: 12.2 % of the positions hold no token; unsorted it is 43 %.

    No schedule of such batches comes below 8.8 %: the widths follow the forget rows, and retain rows are shorter.
    """
    tokenizer = AutoTokenizer.from_pretrained(shared / "golden/tiny_tofu_llama")
    encoder = Encoder(tokenizer, Template("[INST] {prompt} [/INST]{answer}"), 512)

    def lengths(name: str) -> dict[str, int]:
        lines = (shared / "data/tofu" / f"{name}.json").read_text(encoding="utf-8").splitlines()
        rows = [json.loads(line) for line in lines]
        return {f"{name}-{i}": len(encoder.row(Record("", r["question"], r["answer"])).ids) for i, r in enumerate(rows)}

    both = lengths("forget10"), lengths("retain90")
    assert tuple(map(len, both)) == (400, 3600)
    every = both[0] | both[1]
    steps = schedule(*both, Plan(epochs=10, batch_size=16))
    rows = [[every[i] for i in (*s.forget, *s.retain)] for s in steps]
    assert 1 - sum(map(sum, rows)) / sum(len(r) * max(r) for r in rows) < 0.125


@pytest.mark.parametrize(
    ("fields", "sentence"),
    [
        ({"rank": 0}, "rank must be greater than 0"),
        ({"epochs": float("nan")}, "epochs must be greater than 0"),
        ({"warmup_epochs": -1}, "warmup_epochs must not be negative"),
        ({"lr": 0.0}, "lr must lie between 0 and 10"),
        ({"stop_forget": 1.5}, "stop_forget must lie between 0 and 1"),
        ({"tune": "some"}, "tune must be lora, full, layers such as 3-5 or 0,7, down:3-5, or lora:3-5"),
        ({"tune": "down:"}, "tune must be lora, full, layers"),
        ({"tune": ""}, "tune must be lora, full, layers"),
    ],
)
def test_a_plan_that_cannot_be_is_refused(fields: dict[str, float], sentence: str) -> None:
    with pytest.raises(ValueError, match=sentence):
        Plan(**fields)  # type: ignore[arg-type]


def test_layers_in_words() -> None:
    assert layers("3-5,7") == (3, 4, 5, 7)
    assert layers("0") == (0,)


def test_the_rate_rises_and_falls() -> None:
    plan = Plan(lr=1.0, warmup_epochs=1)
    rates = [plan.rate(s, 40, 4) for s in range(40)]
    assert rates[:4] == pytest.approx([0.2, 0.4, 0.6, 0.8])
    assert rates[4] == 1.0
    assert rates[5:] == sorted(rates[5:], reverse=True)
    assert 0 < rates[-1] < 0.05
    assert {replace(plan, decay="constant").rate(s, 40, 4) for s in range(4, 40)} == {1.0}
    assert replace(plan, decay="cosine").rate(22, 40, 4) == pytest.approx(0.5)
    assert (Plan().rate(50, 100, 1), Plan(tune="full").rate(50, 100, 1)) == pytest.approx(
        (1e-4 * 50 / 99, 1e-5 * 50 / 99)
    )
    assert plan.rate(0, 4, 4) == 1.0  # a training shorter than its warm-up has none
