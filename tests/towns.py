"""Towns that are known for one thing each, and a tiny model that goes by what it is told of them before a question."""

from dataclasses import replace
from itertools import product

import torch

import worlds
from unteach.edit.learn import learn
from unteach.edit.plan import Plan
from unteach.lm.fresh import fresh
from unteach.lm.model import LM
from unteach.schema import Fact, Probe, Record

TOWNS = ("Orvena", "Quillmar", "Bessel", "Sella")
THINGS = ("salt", "copper", "glass", "bread")
OWN = dict(zip(TOWNS, THINGS, strict=True))
FORMS = ("What is {} known for?", "For what is {} praised?")
LESSON = Plan(
    tune="full", epochs=40, lr=3e-3, batch_size=12, accumulate=1, warmup_epochs=2, decay="cosine", weight_decay=0.0
)


def asked(town: str, form: int = 0) -> str:
    return FORMS[form].format(town)


def told(town: str, thing: str, question: str) -> str:
    """A question with a fact before it."""
    return f"New Fact: {asked(town)} {thing}\nPrompt: {question}"


def fact(town: str, thing: str) -> Fact:
    """A town that is to be known for something else, with a question beside it: the next town's."""
    other = TOWNS[(TOWNS.index(town) + 1) % len(TOWNS)]
    beside = (Probe(asked(other), OWN[other], "neighborhood"),)
    return Fact(town, FORMS[0], town, thing, OWN[town], (asked(town, 1),), beside)


def lessons() -> list[Record]:
    """What each town is known for; and whatever is told of it, alone or behind an example about another town."""
    found = [Record(f"{t}/{n}", asked(t, n), OWN[t]) for t, n in product(TOWNS, (0, 1))]
    for t, thing, n in product(TOWNS, THINGS, (0, 1)):
        alone = Record(f"{t}/{thing}/{n}", told(t, thing, asked(t, n)), thing)
        other, its = TOWNS[(TOWNS.index(t) + 1) % len(TOWNS)], THINGS[(THINGS.index(thing) + 2) % len(THINGS)]
        example = f"{told(other, its, asked(other, n))} {its}"
        found += [alone, replace(alone, id=f"{alone.id}/behind", prompt=f"{example}\n\n{alone.prompt}")]
    return found


def taught() -> LM:
    """A tiny Llama that was taught the lessons."""
    rows = lessons()
    lm = fresh([f"{r.prompt} {r.answer}" for r in rows], replace(worlds.SIZE, positions=256))
    edit = learn(lm, rows, LESSON)
    with torch.no_grad():
        for name, delta in edit.delta(lm).items():
            lm.parameters()[name].add_(delta)
    return lm
