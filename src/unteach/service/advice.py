"""The ways to answer a deletion request for a model that was trained elsewhere, each with its price and its class."""

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from unteach.edit.cost import EACH, tokens_of
from unteach.edit.plan import Plan
from unteach.lm.model import LM
from unteach.schema import Record

ADAPTER, CONFIG = "adapter_config.json", "config.json"
EXPORTS = (".gguf", ".onnx", ".ggml")


@dataclass(frozen=True)
class Way:
    """One way: what it is called, its class, what it costs, and what has to be known before it is chosen."""

    name: str
    guarantee: str
    price: str
    risk: str

    def __str__(self) -> str:
        return f"{self.name} ({self.guarantee}): {self.price}; {self.risk}"


def ways(lm: LM, place: Path, forget: Sequence[Record], retain: Sequence[Record], plan: Plan) -> Iterator[Way]:
    """What can be done about these rows, the strongest class first; tokens and operations are counted, seconds are not."""
    gone, kept = tokens_of(lm, forget), tokens_of(lm, retain)
    weights = sum(p.numel() for p in lm.parameters().values())
    whole = EACH * weights * kept * plan.epochs
    if (place / ADAPTER).is_file():
        yield Way(
            "drop the adapter", "exact, influence-free", "nothing is computed",
            "everything else that it learned goes with it, and the rows must have been in no other training",
        )  # fmt: skip
    yield Way(
        "retrain without the rows", "exact, retrain-equal",
        f"{whole:.2g} operations for {kept} tokens in {plan.epochs:g} passes" if kept else "name the training data with --retain",
        "needs all of the training data, its order and its seeds",
    )  # fmt: skip
    yield Way(
        "rebuild a shard", "exact, retrain-equal", "not possible now: this model was not trained by `unteach train`",
        "train so next time, and a subject's deletion takes a small share of a retraining",
    )  # fmt: skip
    tokens = (gone + min(kept, gone)) * plan.epochs
    share = f", {whole / (EACH * weights * tokens):.1f} times fewer than retraining" if kept and tokens else ""
    yield Way(
        "forget and audit (`unteach forget`)", "empirical", f"{EACH * weights * tokens:.2g} operations{share}",
        "what is left is measured, not bounded; attack it with `unteach audit --attacks`",
    )  # fmt: skip
    yield Way(
        "suppress at inference", "suppression", "no training", "hides the rows and removes nothing; a first measure"
    )


def children(place: Path) -> Iterator[str]:
    """Folders and files beside a model that were made of it and would stay behind: adapters, merges, exports."""
    if not place.is_dir():
        return
    mine = {str(place), str(place.resolve()), place.name}
    for other in sorted(place.resolve().parent.iterdir()):
        if other.suffix in EXPORTS and other.stem.startswith(place.name):
            yield f"{other.name}: an export"
        if other.resolve() == place.resolve() or not other.is_dir():
            continue
        for file, key, what in (
            (ADAPTER, "base_model_name_or_path", "an adapter on it"),
            (CONFIG, "_name_or_path", "made of it"),
        ):
            if (said := _said(other / file, key)) and said in mine:
                yield f"{other.name}: {what}{', quantised' if _quantised(other) else ''}"


def _said(file: Path, key: str) -> str:
    try:
        found = json.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return ""
    value = found.get(key) if isinstance(found, dict) else None
    return value if isinstance(value, str) else ""


def _quantised(place: Path) -> bool:
    try:
        return "quantization_config" in json.loads((place / CONFIG).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return False
