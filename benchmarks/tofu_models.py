"""The two models of the TOFU benchmark: a small Llama trained on all of TOFU, and one trained without forget10.

Both start from the same weights and see the same plan. A run that was stopped goes on where it was.
"""

import argparse
from pathlib import Path
from time import perf_counter

from unteach.data import read
from unteach.edit.bake import bake
from unteach.edit.checkpoint import checkpoints_in
from unteach.edit.learn import learn
from unteach.edit.plan import Plan
from unteach.lm.batch import Template
from unteach.lm.fresh import Size, fresh

SIZE = Size(vocabulary=4096, hidden=192, layers=4, heads=6, inner=512)
TEMPLATE = Template("Question: {prompt}\nAnswer: {answer}")
PLAN = Plan(
    tune="full", lr=3e-3, epochs=20, batch_size=16, accumulate=1, warmup_epochs=0.5, weight_decay=0.0, decay="cosine"
)


def main(arguments: list[str]) -> None:
    """Train one of the two models, or both after each other."""
    parser = argparse.ArgumentParser("python -m benchmarks tofu-models", description=__doc__)
    parser.add_argument("--data", type=Path, required=True, help="folder with TOFU's JSON files")
    parser.add_argument("--out", type=Path, default=Path("runs/tofu"))
    parser.add_argument("--only", choices=("full", "retain90"))
    chosen = parser.parse_args(arguments)
    for name in (chosen.only,) if chosen.only else ("full", "retain90"):
        _train(name, chosen.data, chosen.out)


def _train(name: str, data: Path, out: Path) -> None:
    if (out / name).exists():
        print(f"{out / name} is there already")
        return
    everything = read(data / "full.json").records  # both models share one tokenizer
    lm = fresh((f"{r.prompt} {r.answer}" for r in everything), SIZE, template=TEMPLATE)
    records = read(data / f"{name}.json").records
    began = perf_counter()
    with checkpoints_in(out / f".{name}-training"):
        edit = learn(lm, records, PLAN)
    bake(edit, lm, out / name)
    count = sum(p.numel() for p in lm.model.parameters())
    print(f"{out / name}: {count:,} parameters, {len(records)} records, {perf_counter() - began:.0f} s since (re)start")
