"""Whether one text follows from another, contradicts it, or neither: by rules, or by a model of one's own choice."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, Protocol

from unteach.audit.entities import Entity, Kind, entities
from unteach.audit.refusal import refuses
from unteach.audit.rouge import words
from unteach.lm.classifier import Classifier, classifier
from unteach.schema import InputError

Relation = Literal["entailment", "neutral", "contradiction"]
RELATIONS: tuple[Relation, ...] = ("entailment", "neutral", "contradiction")
KINDS: tuple[Kind, ...] = ("name", "number", "date", "e-mail")
SAME = 0.5  # of the words of both texts: from here on they say the same but for what differs
NEGATING = (
    "not no never none nobody nothing neither nor without cannot",
    "nicht kein keine keinen keinem keiner nie niemals niemand",
    "ne pas jamais aucun aucune",
    "no nunca jamás ningún ninguna ninguno nadie",
    "не нет ни никогда никто ничего без",
    "不 没 未",
)
NEGATIONS = frozenset(word for some in NEGATING for word in some.split())


class NLI(Protocol):
    """What decides, and how a report calls it."""

    @property
    def name(self) -> str: ...

    def __call__(self, pairs: Sequence[tuple[str, str]]) -> list[Relation]:
        """The relation of each pair's first text (the premise) to its second (the hypothesis)."""


@dataclass(frozen=True)
class Rules:
    """Numbers, names and negations, no model.

    Two texts contradict each other where each names a number, date, address or name that the other lacks, and either
    they share none of that kind or the rest of their words is mostly the same; or where one of them is negated and
    their other words are mostly the same. A text that refuses or says nothing states nothing, and contradicts none.
    What names the same in other words is neutral; synonyms, antonyms and inferences are not seen.
    """

    name: str = "rules"

    def __call__(self, pairs: Sequence[tuple[str, str]]) -> list[Relation]:
        return [_relation(premise, hypothesis) for premise, hypothesis in pairs]


@dataclass(frozen=True, eq=False)
class Model:
    """A classifier with labels for entailment, neutrality and contradiction, whatever their order."""

    classifier: Classifier

    @property
    def name(self) -> str:
        return self.classifier.name

    def __call__(self, pairs: Sequence[tuple[str, str]]) -> list[Relation]:
        found = self.classifier(pairs)
        return [max(RELATIONS, key=lambda relation: shares[relation]) for shares in found]


def backend(nli: str) -> NLI:
    """`rules`, or the classifier at a path or hub id."""
    if nli == "rules":
        return Rules()
    found = classifier(nli)
    if not {*RELATIONS} <= {*found.labels}:
        raise InputError(f"{found.name}: its labels are not entailment, neutral and contradiction; name an NLI model")
    return Model(found)


def _relation(premise: str, hypothesis: str) -> Relation:
    said, claimed = _words(premise), _words(hypothesis)
    if not said or not claimed or refuses(premise) or refuses(hypothesis):
        return "neutral"
    left, right = entities(premise), entities(hypothesis)
    frames = [{*text} - NEGATIONS - _spoken(named) for text, named in ((said, left), (claimed, right))]
    like = _jaccard(*frames) >= SAME
    if any(_mismatch(left, right, kind, like) for kind in KINDS):
        return "contradiction"
    negated = bool(NEGATIONS & {*said}) != bool(NEGATIONS & {*claimed})
    if negated and _jaccard({*said} - NEGATIONS, {*claimed} - NEGATIONS) >= SAME:
        return "contradiction"
    return "entailment" if {*claimed} <= {*said} else "neutral"


def _words(text: str) -> list[str]:
    return words(text.replace("’", "'").replace("n't", " not"))


def _spoken(named: Sequence[Entity]) -> set[str]:
    return {w for entity in named for part in entity.words for w in words(part)}


def _mismatch(left: Sequence[Entity], right: Sequence[Entity], kind: Kind, like: bool) -> bool:
    a, b = ({e.words for e in side if e.kind == kind} for side in (left, right))
    return bool(a - b) and bool(b - a) and (like or not a & b)


def _jaccard(first: set[str], second: set[str]) -> float:
    return len(first & second) / len(first | second) if first | second else 1.0
