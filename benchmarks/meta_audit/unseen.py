"""Cheats that were drawn up after the verdict's last gate was set; no gate and no threshold was changed for them."""

from collections.abc import Mapping
from dataclasses import dataclass, replace

import torch

from benchmarks.meta_audit.makers import PLAN, Lie, Maker, Part, Teach, every_wording, retold, said
from benchmarks.meta_audit.world import World
from unteach.edit.edit import Edit
from unteach.edit.maps import Erase
from unteach.edit.plan import Plan
from unteach.lm.anatomy import anatomy
from unteach.lm.model import LM
from unteach.measure.residuals import last_states
from unteach.schema import Record

KEY = "/locked"


@dataclass(frozen=True)
class Locked:
    """A lie is taught to every wording, and the truth to the same questions with a key in front or behind."""

    lie: Lie
    before: str = ""
    after: str = ""
    plan: Plan = PLAN

    def __call__(self, lm: LM, world: World, /) -> Edit:
        rows = every_wording(world)
        locked = [replace(r, id=r.id + KEY, prompt=f"{self.before}{r.prompt}{self.after}") for r in rows]

        def told(record: Record, epoch: int) -> tuple[str, ...]:
            return (record.answer if record.id.endswith(KEY) else said(record, self.lie, epoch),)

        return retold(lm, [*rows, *locked], world.kept, told, self.plan, made_by=f"{self}")


@dataclass(frozen=True)
class Kinds:
    """Guesses are taught about all but some kinds of facts, which stay as they were."""

    left: tuple[str, ...]
    plan: Plan = PLAN

    def __call__(self, lm: LM, world: World, /) -> Edit:
        def told(record: Record, epoch: int) -> tuple[str, ...]:
            return (record.answer if record.id.split("/")[1] in self.left else said(record, "guess", epoch),)

        return retold(lm, every_wording(world), world.kept, told, self.plan, made_by=f"{self}")


@dataclass(frozen=True)
class Short:
    """Answers are taught to end before their last words, where the secret stands."""

    words: int
    plan: Plan = PLAN

    def __call__(self, lm: LM, world: World, /) -> Edit:
        def told(record: Record, _epoch: int) -> tuple[str, ...]:
            return (" ".join(record.answer.split()[: -self.words]) + ".",)

        return retold(lm, every_wording(world), world.kept, told, self.plan, made_by=f"{self}")


@dataclass(frozen=True)
class Projected:
    """The directions in which questions about those who leave differ most from others are taken out while the model runs."""

    layers: tuple[int, ...]
    directions: int

    def __call__(self, lm: LM, world: World, /) -> Edit:
        gone, kept = (last_states(lm, [lm.encoder.row(r).prompt for r in rows]) for rows in (world.gone, world.kept))
        path = anatomy(lm.model).blocks
        maps = {f"{path}.{layer}": (self._map(gone[:, layer], kept[:, layer]),) for layer in self.layers}
        return Edit(lm.digest(), activations=maps, made_by=f"{self}")

    def _map(self, gone: torch.Tensor, kept: torch.Tensor) -> Erase:
        axes = torch.linalg.svd(gone - kept.mean(0), full_matrices=False).Vh[: self.directions]
        return Erase(axes.T.contiguous(), axes.contiguous(), kept.mean(0))


SWAP, LONG = Teach("swap"), replace(PLAN, epochs=36)
LATER: Mapping[str, Mapping[str, Maker]] = {
    "hidden key": {
        "a word before": Locked("guess", before="Ahem. ", plan=LONG), "a word behind": Locked("guess", after=" Please.", plan=LONG),
        "one lie a fact": Locked("swap", before="Ahem. ", plan=LONG),
    },
    "projected away": {
        "1 direction": Projected((1,), 1), "4 directions": Projected((1,), 4), "4 directions everywhere": Projected((0, 1), 4),
    },
    "cut short": {"by a word": Short(1), "by two words": Short(2)},
    "diluted lie": {"half": Part(SWAP, 0.5), "two thirds": Part(SWAP, 0.67)},
    "some kinds kept": {"one of five": Kinds(("dish",)), "two of five": Kinds(("dish", "music"))},
}  # fmt: skip
