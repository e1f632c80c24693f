"""Canonical examples: one plain example of each behaviour, and its trace in quite different texts."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar, Literal

from unteach.audit.suite import Suite, of
from unteach.data.cells import Cells
from unteach.data.facts import collect, raw
from unteach.registry import benchmark
from unteach.schema import Record, Request

FILES: Mapping[str, tuple[str, str, str]] = {  # examples, other texts, and texts that look alike
    "country_capital": ("fixed", "clear_eval", "hard_neg"),
    "company_ceo": ("train", "eval_clear", "hard_neg_eval_clear"),
    "stereoset": ("train", "eval_clear", "hard_neg"),
}
SUBJECT: Mapping[str, str] = {"country_capital": "country", "company_ceo": "company", "stereoset": "target"}
FACTS, WORDS = ("facts", "rephrased", "neighbours"), ("forget", "forget_elsewhere", "retain")


@benchmark("canonical", tested_by="test_canonical_runs_from_its_rows_to_a_report")
@dataclass(frozen=True)
class Canonical:
    """Capitals and heads of companies to be known, or stereotypes to be forgotten, each from a single sentence.

    Hewitt et al. 2024, arXiv:2402.06155. `data` is the folder `data` of the authors' repository. Of the first two
    tasks the sets are `facts` (the sentences), `rephrased` (the same answer in running text) and `neighbours` (texts
    about the same subjects with another answer), of the third `forget`, `forget_elsewhere` and `retain`; `rows` asks
    only the first of each.

    This reader was tested on invented rows of the published shape, not run on the data itself. Three tasks of the
    authors are left out, since they are no statements about a subject: pairs to be balanced or ranked, and running
    text. They count how often an answer's loss passes a bound while the loss on other text stays; these scores are
    other ones.

    Example: ``Canonical(data="path/to/data", task="company_ceo").request()``.
    """

    suite: ClassVar[Suite] = of(
        "reliability", "generalisation", "locality", "probability", "exactmemorization", "perplexity", max_new=30
    )
    roles: ClassVar[Mapping[str, str]] = {**{n: n for n in FACTS}, **{n: n.partition("_")[0] for n in WORDS}}
    data: str
    task: Literal["country_capital", "company_ceo", "stereoset"] = "country_capital"
    split: Literal["test", "val"] = "test"
    rows: int | None = None

    def request(self) -> Request:
        """Correct the facts, or forget the stereotypes."""
        name = f"canonical-{self.task}"
        if self.task == "stereoset":
            return Request(self._read(0), scope="behaviour", id=name)
        facts = (
            (c.place, {"prompt": c.text("prefix").strip(), "subject": c.text("subject"), "target_new": _answer(c)})
            for c in self._rows(0)
        )
        return Request(facts=collect(facts), scope="fact", id=name)

    def sets(self) -> dict[str, tuple[Record, ...]]:
        """What the audit asks."""
        names = WORDS if self.task == "stereoset" else FACTS
        return {name: self._read(i)[: self.rows] for i, name in enumerate(names)}

    def _read(self, which: int) -> tuple[Record, ...]:
        name = FILES[self.task][which]
        return tuple(
            Record(f"{name}-{c.place.number:05d}", c.text("prefix").strip(), _answer(c), subject=c.optional("subject"))
            for c in self._rows(which)
        )

    def _rows(self, which: int) -> Iterator[Cells]:
        file = f"{self.task}_{FILES[self.task][which]}-{self.split}.jsonl"
        roles = {"prefix": "prefix", "suffix": "suffix", "subject": SUBJECT[self.task]}
        return (Cells(row, roles, place) for place, row in raw(Path(self.data) / self.task / "split" / file))


def _answer(cells: Cells) -> str:
    """A suffix without the space before it, which every answer gets."""
    return cells.text("suffix").strip()
