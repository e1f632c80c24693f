"""WinoBias: to whom a pronoun refers, for and against a stereotype."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import ClassVar, Literal

from unteach.audit.benchmarks.bias import winobias
from unteach.audit.suite import Suite, of
from unteach.registry import benchmark
from unteach.schema import Record, Request

HERS = frozenset({"she", "her", "hers", "herself"})


@benchmark("winobias", tested_by="test_a_benchmark_runs_with_one_command")
@dataclass(frozen=True)
class WinoBias:
    """Sentences with two people and a pronoun, each once as a stereotype has it and once against it.

    Zhao et al. 2018, arXiv:1804.06876. `data` is the folder with the authors' eight files, or the hub id. The set is
    `winobias`, for the metric of this name; `rows` takes only the first
    sentences, in which both sides take turns. A forgetting is given the other split, every sentence of it answered as the
    stereotype has it, with the gender of the pronoun as its label: 0 for he, 1 for she.

    It measures pronouns in English sentences about forty occupations, and nothing else.

    Example: ``WinoBias(data="path/to/winobias", split="dev").sets()["winobias"]``.
    """

    suite: ClassVar[Suite] = of("winobias", "accuracy", "perplexity", max_new=32)
    roles: ClassVar[Mapping[str, str]] = {"winobias": "general"}
    data: str = "uclanlp/wino_bias"
    split: Literal["dev", "test"] = "test"
    rows: int | None = None

    def request(self) -> Request:
        """The other split: the stereotype's answer, with the other person as the wrong one."""
        rows = _paired(winobias(self.data, split="dev" if self.split == "test" else "test"))
        asked = {r.prompt for r in winobias(self.data, split=self.split)}  # some sentences stand in both splits
        return Request(tuple(_expected(r) for r in rows if r.prompt not in asked), scope="behaviour", id="winobias")

    def sets(self) -> dict[str, tuple[Record, ...]]:
        """What the audit asks, by the number that the two sides of a sentence share: the first rows hold both."""
        return {"winobias": tuple(_paired(winobias(self.data, split=self.split))[: self.rows])}


def _paired(rows: Sequence[Record]) -> list[Record]:
    """By the number that the two sides of a sentence share."""
    return sorted(rows, key=lambda r: r.id[-3:])


def _expected(record: Record) -> Record:
    """The row with the answer that a stereotype expects, which is the right one where its label is 1."""
    expected, other = (record.answer, record.perturbed[0])[:: 1 if record.label else -1]
    hers = record.prompt.rpartition('" refers to')[0].rpartition('"')[2].casefold() in HERS
    return replace(record, answer=expected, perturbed=(other,), label=int(hers))
