"""The last blocks of a model, counted or as a share of its depth."""

from dataclasses import replace

from unteach.edit.plan import Plan
from unteach.lm.anatomy import anatomy
from unteach.lm.model import LM
from unteach.schema import InputError


def last(lm: LM, k: float) -> range:
    """The numbers of the last k blocks; below 1 k is a share of them all, at least one block."""
    count = int(k) if k >= 1 else max(1, round(k * lm.layers))
    if k <= 0 or count > lm.layers:
        raise InputError(f"option 'k' counts blocks, and the model has {lm.layers}; choose among them, or a share")
    return range(lm.layers - count, lm.layers)


def within(lm: LM, numbers: range) -> list[str]:
    """The names of all weights in these blocks."""
    starts = tuple(f"{anatomy(lm.model).blocks}.{n}." for n in numbers)
    return [name for name in lm.parameters() if name.startswith(starts)]


def only(plan: Plan, numbers: range) -> Plan:
    """The plan, for the weights of these blocks alone."""
    return replace(plan, tune=f"{numbers[0]}-{numbers[-1]}")
