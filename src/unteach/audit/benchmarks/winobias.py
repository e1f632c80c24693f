"""WinoBias: to whom a pronoun refers, for and against a stereotype."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar, Literal

from unteach.audit.benchmarks.bias import winobias
from unteach.audit.suite import Suite, of
from unteach.registry import benchmark
from unteach.schema import Record, Request


@benchmark("winobias", tested_by="test_a_benchmark_runs_with_one_command")
@dataclass(frozen=True)
class WinoBias:
    """Sentences with two people and a pronoun, each once as a stereotype has it and once against it.

    Zhao et al. 2018, arXiv:1804.06876. `data` is the folder with the authors' eight files, or the hub id. The set is
    `winobias`, for the metric of this name; `rows` takes only the first
    sentences, in which both sides take turns.

    It measures pronouns in English sentences about forty occupations, and nothing else.

    Example: ``WinoBias(data="path/to/winobias", split="dev").sets()["winobias"]``.
    """

    suite: ClassVar[Suite] = of("winobias", "accuracy", "perplexity", max_new=32)
    roles: ClassVar[Mapping[str, str]] = {"winobias": "general"}
    data: str = "uclanlp/wino_bias"
    split: Literal["dev", "test"] = "test"
    rows: int | None = None

    def request(self) -> Request:
        """Nothing is forgotten here: it measures what may change along with it."""
        return Request(id="winobias")

    def sets(self) -> dict[str, tuple[Record, ...]]:
        """What the audit asks, by the number that the two sides of a sentence share: the first rows hold both."""
        found = sorted(winobias(self.data, split=self.split), key=lambda r: r.id[-3:])
        return {"winobias": tuple(found[: self.rows])}
