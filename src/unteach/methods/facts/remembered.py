"""Facts as a guard keeps them beside a model, in words: what was asked, what is to be answered, what lies beside."""

from collections.abc import Sequence
from typing import NamedTuple

from unteach.data.facts import question
from unteach.schema import Fact

FACT, ASKED = "New Fact: {} {}", "Prompt: {}"


class Remembered(NamedTuple):
    """A fact; `asked` are its wordings, its prompt first, and `beside` questions with the answers that they keep."""

    id: str
    subject: str
    answer: str
    asked: tuple[str, ...]
    beside: tuple[tuple[str, str], ...] = ()

    @property
    def told(self) -> str:
        """The fact in one line."""
        return FACT.format(self.asked[0], self.answer)

    def before(self, text: str) -> str:
        """A question with the fact before it."""
        return f"{self.told}\n{ASKED.format(text)}"


def remembered(facts: Sequence[Fact]) -> tuple[Remembered, ...]:
    """Facts to keep in words."""
    return tuple(
        Remembered(
            fact.id, fact.subject, fact.target_new, tuple(dict.fromkeys((question(fact), *fact.rephrasings))),
            tuple((probe.prompt, probe.answer) for probe in fact.locality),
        )
        for fact in facts
    )  # fmt: skip


def without(memory: Sequence[Remembered], fact: str) -> tuple[Remembered, ...]:
    """The memory without the fact of an id."""
    return tuple(kept for kept in memory if kept.id != fact)
