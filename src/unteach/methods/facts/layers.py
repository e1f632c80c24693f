"""Which layers a method writes into."""

import re

from unteach.lm.model import LM
from unteach.schema import InputError

BEGIN, END = 0.12, 0.29  # of the depth: layers 4 to 8 of 32, as published for models of that depth


def several(lm: LM, layers: str) -> list[int]:
    """Numbers from 0 with commas between, or a range such as "3-7"; none: about an eighth to a quarter of the depth."""
    if not layers:
        last = min(max(int(END * lm.layers), 1), lm.layers - 2)
        return list(range(min(int(BEGIN * lm.layers), last), last + 1))
    found: list[int] = []
    for word in layers.split(","):
        match = re.fullmatch(r"\s*(\d+)(?:\s*-\s*(\d+))?\s*", word)
        if match is None:
            raise InputError("layers are whole numbers with commas between, or a range; for example 3,4,5 or 3-5")
        first, last = int(match[1]), int(match[2] or match[1])
        found += range(first, last + 1)
    if not found or found != sorted(set(found)):
        raise InputError("layers must be in rising order, each once; for example 3,4,5")
    return [lm.layer(float(n)) if n else 0 for n in found]
