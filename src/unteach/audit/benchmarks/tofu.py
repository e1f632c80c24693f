"""TOFU: fictitious authors, a part of whom is to be forgotten."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar, Literal

from unteach.audit.suite import Suite, of
from unteach.data import read
from unteach.registry import benchmark
from unteach.schema import Record, Request

KEEPS = {"forget01": "retain99", "forget05": "retain95", "forget10": "retain90"}


@benchmark("tofu", tested_by="test_tofu_sets_are_those_of_the_protocol")
@dataclass(frozen=True)
class Tofu:
    """Questions about 200 invented authors, and about real authors and the world.

    Maini et al. 2024, arXiv:2401.06121. `data` is the hub id or a folder with the same JSON files. `sets` are
    `forget`, `retain`, `real_authors` and `world_facts`, each with paraphrased and wrong answers; `rows` asks
    only the first of each set (the authors' own evaluation asked 300).

    Example: ``Tofu(data="path/to/tofu", split="forget05").request()``.
    """

    suite: ClassVar[Suite] = of(
        "probability", "rougel", "truthratio", "forgetquality", "modelutility", "exactmemorization", "extractionstrength",
        "perplexity", "distinctoutputs",
    )  # fmt: skip
    roles: ClassVar[Mapping[str, str]] = {
        "forget": "forget", "retain": "retain", "real_authors": "general", "world_facts": "general"
    }  # fmt: skip
    data: str = "locuslab/TOFU"
    split: Literal["forget01", "forget05", "forget10"] = "forget10"
    rows: int | None = None

    def request(self) -> Request:
        """Forget the authors of the split, keep all others."""
        return Request(self._part(self.split), self._part(KEEPS[self.split]), scope="subject", id=f"tofu-{self.split}")

    def sets(self) -> dict[str, tuple[Record, ...]]:
        """What the audit asks."""
        names = {
            "forget": f"{self.split}_perturbed",
            "retain": "retain_perturbed",
            "real_authors": "real_authors_perturbed",
            "world_facts": "world_facts_perturbed",
        }
        return {name: self._part(part)[: self.rows] for name, part in names.items()}

    def _part(self, name: str) -> tuple[Record, ...]:
        folder = Path(self.data)
        return read(folder / f"{name}.json" if folder.is_dir() else f"{self.data}:{name}").records
