"""Canonical examples: one plain example of each behaviour, and its trace in quite different texts."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import ClassVar, Literal

from unteach.audit.suite import Suite, of
from unteach.data.cells import Cells
from unteach.data.facts import collect, raw
from unteach.data.rows import Place
from unteach.registry import benchmark
from unteach.schema import Record, Request

FACTS, BIAS = ("facts", "rephrased", "neighbours"), ("forget", "forget_elsewhere", "retain")


@dataclass(frozen=True)
class Task:
    """The files of a task (its examples, other texts, texts that look alike), and the set that each of them is.

    Of `paired` tasks a row of the first two files has two suffixes. `subject` is the column of the subject.
    """

    files: tuple[str, str, str]
    sets: tuple[str, str, str]
    subject: str = ""
    paired: bool = False


TASKS: Mapping[str, Task] = {
    "country_capital": Task(("fixed", "clear_eval", "hard_neg"), FACTS, "country"),
    "company_ceo": Task(("train", "eval_clear", "hard_neg_eval_clear"), FACTS, "company"),
    "stereoset": Task(("train", "eval_clear", "hard_neg"), BIAS, "target"),
    "pronoun_gender_bias": Task(("train", "eval", "hard_neg_eval"), BIAS, paired=True),
    "temporal": Task(
        ("train", "eval_clear", "hard_neg_eval_clear"), ("facts", "portability", "neighbours"), "entity_url"
    ),
    "verb_conjugation": Task(
        ("train", "eval", "hard_neg_eval"), ("retain", "retain_elsewhere", "general"), paired=True
    ),
}


@benchmark("canonical", tested_by="test_canonical_runs_from_its_rows_to_a_report")
@dataclass(frozen=True)
class Canonical:
    """Facts to be known, bias to be forgotten and grammar to be kept, each from a few plain sentences.

    Hewitt et al. 2024, arXiv:2402.06155. `data` is the folder `data` of the authors' repository, `task` one of six,
    each with examples, quite different texts that they should tell on, and texts that only look alike:

    * `country_capital`, `company_ceo`: `facts` (sentences), `rephrased` (the same answer in running text) and
      `neighbours` (texts about the same subjects with another answer).
    * `temporal`: `facts` (a paragraph on what is recent, behind its first words, which stand for the subject),
      `portability` (names and dates in other texts about it) and `neighbours` (in texts about what is old).
    * `stereoset`: `forget`, `forget_elsewhere` and `retain`.
    * `pronoun_gender_bias`: the same sets. Of each pair of pronouns the first is the answer, but neither is right:
      `truthratio`, which counts the end-of-text token too, is 1 where both are equally likely. A request holds
      both to train on and nothing to forget, and the command `forget` refuses it.
    * `verb_conjugation`: `retain` and `retain_elsewhere`, where `multiplechoice` is the share of pairs whose right
      form is the likelier, and `general`. A request forgets the wrong forms and retains the right ones.

    `rows` asks only the first of each set. Every answer is asked behind a space, also the few published without one.

    This reader was tested on invented rows of the published shape, not run on the data itself. The authors count how
    often a loss, or the difference of a pair's losses, passes a bound of the task while the loss on other text stays;
    these scores are other ones.

    Example: ``Canonical(data="path/to/data", task="company_ceo").request()``.
    """

    suite: ClassVar[Suite] = Suite(
        (
            *of("reliability", "generalisation", "portability", "locality", "probability", "truthratio").metrics,
            ("multiplechoice", {"style": "cloze"}),
            *of("exactmemorization", "perplexity").metrics,
        ),
        max_new=30,
    )
    roles: ClassVar[Mapping[str, str]] = {name: name.partition("_")[0] for t in TASKS.values() for name in t.sets}
    data: str
    task: Literal[
        "country_capital", "company_ceo", "stereoset", "pronoun_gender_bias", "temporal", "verb_conjugation"
    ] = "country_capital"
    split: Literal["test", "val"] = "test"
    rows: int | None = None

    def request(self) -> Request:
        """Correct the facts, forget the stereotypes and wrong forms, or balance the pronouns."""
        name, found = f"canonical-{self.task}", TASKS[self.task]
        if "facts" in found.sets:
            return Request(facts=collect(self._facts()), scope="fact", id=name)
        rows = self._read(0)
        others = tuple(_turned(r) for r in rows if r.perturbed)
        if self.task == "pronoun_gender_bias":
            return Request(retain=(*rows, *others), scope="behaviour", id=name)
        if found.paired:
            return Request(others, rows, scope="behaviour", id=name)
        return Request(rows, scope="behaviour", id=name)

    def sets(self) -> dict[str, tuple[Record, ...]]:
        """What the audit asks."""
        return {name: self._read(i)[: self.rows] for i, name in enumerate(TASKS[self.task].sets)}

    def _facts(self) -> Iterator[tuple[Place, Mapping[str, object]]]:
        subject = "prefix" if self.task == "temporal" else "subject"
        for c in self._rows(0):
            prompt, about = c.text("prefix").strip(), c.text(subject).strip()
            yield c.place, {"prompt": prompt, "subject": about, "target_new": _stripped(c, "suffix")}

    def _read(self, which: int) -> tuple[Record, ...]:
        name = TASKS[self.task].files[which]
        return tuple(
            Record(
                f"{name}-{c.place.number:05d}",
                c.text("prefix").strip(),
                _stripped(c, "suffix"),
                subject=c.optional("subject"),
                perturbed=(_stripped(c, "other"),) if "other" in c.roles else (),
            )
            for c in self._rows(which)
        )

    def _rows(self, which: int) -> Iterator[Cells]:
        found = TASKS[self.task]
        file = f"{self.task}_{found.files[which]}-{self.split}.jsonl"
        ends = {"suffix": "suffix1", "other": "suffix2"} if found.paired and which < 2 else {"suffix": "suffix"}
        roles = {"prefix": "prefix", **ends, "subject": found.subject}
        return (Cells(row, roles, place) for place, row in raw(Path(self.data) / self.task / "split" / file))


def _stripped(cells: Cells, role: str) -> str:
    """A suffix without the space before it, which every answer gets."""
    return cells.text(role).strip()


def _turned(record: Record) -> Record:
    """A pair with its second side as the answer."""
    return replace(record, id=f"{record.id}/2", answer=record.perturbed[0], perturbed=(record.answer,))
