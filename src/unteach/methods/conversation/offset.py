"""What guards share that add another model's logits: how that one is trained, where it is kept, and how it reads along."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from jaxtyping import Float, Int
from torch import Tensor

from unteach.edit.plan import Plan
from unteach.lm.beside import Beside, opened
from unteach.lm.guard import Streaming, Turns
from unteach.lm.model import LM
from unteach.schema import InputError


@dataclass
class Weighing(Streaming):
    """One conversation in which other models read along; `weighed` makes of all logits those that count."""

    besides: tuple[Beside, ...]
    weighed: Callable[..., Tensor]

    def ask(self, turns: Turns) -> Turns:
        for beside in self.besides:
            beside.forget()
        return turns

    def logits(self, ids: Int[Tensor, " T"], logits: Float[Tensor, " V"]) -> Float[Tensor, " V"]:
        return self.weighed(logits, *(beside.after(ids).to(logits) for beside in self.besides))


def beside(folder: str, digest: str) -> Beside:
    """What was trained, from its folder and from nowhere else."""
    if not Path(folder).is_dir():
        raise InputError(f"{folder}: the folder of the guard's own model is not there; put it back")
    return Beside(opened(folder, digest))


def adapter(by: str, rank: int, lr: float, epochs: float, batch_size: int, seed: int) -> Plan:
    """The plan for training a small model: a LoRA in all of its blocks, scaled by two."""
    try:
        return Plan(
            tune="lora", rank=rank, lora_alpha=2.0 * rank, lr=lr, epochs=epochs, batch_size=batch_size, accumulate=1,
            seed=seed, measure_every=epochs,
        )  # fmt: skip
    except ValueError as wrong:
        raise InputError(f"an option of {by} is out of range: {wrong}") from None


def begun(by: str, lm: LM | None, folder: str) -> tuple[LM, Path]:
    """The model whose weights are here, and the new folder for what will stand beside it; refused where one is missing."""
    if lm is None:
        raise InputError(f"{by} trains a model beside one whose weights are here; name a model folder or a hub id")
    if not folder:
        raise InputError(
            f"{by} keeps a model that it trains beside yours; name a new folder for it with --assistant DIR"
        )
    place = Path(folder)
    try:
        place.mkdir(parents=True, exist_ok=True)
        empty = not any(place.iterdir())
    except (OSError, ValueError):
        empty = False
    if not empty:
        raise InputError(
            f"{folder}: not empty, or cannot be written; name a new or an empty folder with --assistant DIR"
        )
    return lm, place
