"""Facts that cannot all be written: two answers to one question, one fact twice, an answer that is given already."""

from collections.abc import Iterable

from unteach.schema import Fact, InputError


def refuse_contradictions(facts: Iterable[Fact]) -> None:
    """Raise `InputError`, with the id of the fact, for the first one that cannot be written beside those before it."""
    asked: dict[tuple[str, str], Fact] = {}
    for fact in facts:
        if _plain(fact.target_new) == _plain(fact.ground_truth):
            raise InputError(f"fact '{fact.id}': the new answer is the old one; leave the fact out or correct it")
        earlier = asked.setdefault((fact.prompt, fact.subject), fact)
        if earlier is not fact:
            same = _plain(earlier.target_new) == _plain(fact.target_new)
            what = "stands there twice" if same else f"asks for another answer than fact '{earlier.id}'"
            raise InputError(f"fact '{fact.id}': the same question {what}; keep one")


def _plain(answer: str) -> str:
    return " ".join(answer.split()).casefold()
