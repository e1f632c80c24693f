"""What EasyEdit made of models that know invented facts."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from safetensors.torch import load_file
from torch import Tensor

from unteach.lm.model import LM
from unteach.lm.stats import Moments, mlp_out
from unteach.methods.facts.values import Search
from unteach.schema import Fact


@dataclass(frozen=True, eq=False)
class Golden:
    """One family's golden runs."""

    folder: Path
    family: str
    lm: LM

    def told(self, tag: str) -> dict[str, Any]:
        """What a run was told, and its figures."""
        found: dict[str, Any] = json.loads((self.folder / self.family / tag / "info.json").read_text())
        return found

    def tensors(self, tag: str, name: str) -> dict[str, Tensor]:
        return load_file(self.folder / self.family / tag / f"{name}.safetensors")

    def contexts(self, kind: str) -> tuple[str, ...]:
        listed = json.loads((self.folder / f"context_templates_{self.family}.json").read_text())[kind]
        return tuple(c for group in listed for c in ([group] if isinstance(group, str) else group))

    def facts(self, tag: str) -> tuple[Fact, ...]:
        edits = self.told(tag)["edits"]
        return tuple(
            Fact(str(e["case_id"]), e["prompt"], e["subject"], e["target_new"], e["target_true"]) for e in edits
        )

    def search(self, tag: str, *, weaker: float | None = None) -> Search:
        told = self.told(tag)["hparams"]
        names = ("v_num_grad_steps", "v_lr", "v_weight_decay", "clamp_norm_factor", "kl_factor")
        return Search(*(told[n] for n in names), weaker=weaker)

    @property
    def texts(self) -> list[str]:
        found: list[str] = json.loads((self.folder / "stats/corpus.json").read_text())
        return found

    def moments(self, layers: Sequence[int]) -> Moments:
        """The second moments that the reference gathered."""
        kept, paths = (
            load_file(self.folder / f"stats/mom2_{self.family}.safetensors"),
            [mlp_out(self.lm, n) for n in layers],
        )
        counts = {int(kept[f"{p}.count"]) for p in paths}
        return Moments(
            {n: kept[f"{p}.mom2"] / max(counts) for n, p in zip(layers, paths, strict=True)}, max(counts), 0.0
        )


def apart(found: Tensor, reference: Tensor) -> float:
    """Their distance relative to the reference's norm (Frobenius)."""
    return float((found.double() - reference.double()).norm() / reference.double().norm())
