"""Anonymisation in a space of words."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from unteach.data.passes import Cleaned, Mark, all_of
from unteach.data.rewriting import Change, rewritten, texts
from unteach.data.terms import key, telling, terms
from unteach.data.vectors import Vector, Vectors, cosine, counted, passage, read
from unteach.registry import data
from unteach.schema import InputError, Record

REMOVED = "[...]"


@data("embeddinganonymise", tested_by="test_embeddinganonymise_replaces_what_lies_near_the_protected_entity")
@dataclass(frozen=True)
class EmbeddingAnonymise:
    """Replaces the words that lie near a protected entity in a space of words by others that lie farther off.

    A word t is risky where cos(t, c) >= `threshold` for an entity c (the mean direction of its words), or where it is
    a word of c. It is replaced by the word nearest to t among those that are not risky, and by [...] where none points
    its way. Hassan, Sánchez and Domingo-Ferrer 2021, who judge risk by word2vec and replace by the terms of an
    ontology; the nearest harmless word in its place, and the threshold's default, were chosen here.

    The space comes from `vectors`, a text file as word2vec and GloVe write it, or is counted in `corpus`, by default
    the rows themselves: positive pointwise mutual information within `window` words, of words that occur `least`
    times or more. Nothing is downloaded.

    A text so changed says other things than before, some of them false, and a model trained on it learns them. Words
    without a vector stay, and are counted in the note; so do function words and bare numbers. A small corpus makes a
    poor space: read the counts, and some rows. Similarity is not knowledge: what identifies c without being used like
    it stays.
    Example: ``EmbeddingAnonymise(protect=("Orvena",), least=1)(records)``.
    """

    protect: tuple[str, ...] = field(default=(), repr=False)
    threshold: float = 0.5
    vectors: str = ""
    corpus: tuple[Record, ...] = field(default=(), repr=False)
    window: int = 5
    least: int = 2

    def __post_init__(self) -> None:
        if not self.protect or not all(map(key, self.protect)):
            raise InputError("an entity to protect is missing or holds no word; name each in 'protect'")
        if not 0 < self.threshold <= 1:
            raise InputError("the threshold of similarity is not in (0, 1]; give a number such as 0.5")

    def __call__(self, records: Sequence[Record], /) -> Cleaned:
        space = read(self.vectors) if self.vectors else self._counted(self.corpus or records)
        own = frozenset(w for phrase in self.protect for w in key(phrase) if telling(w))
        entities = [v for phrase in self.protect if (v := space.phrase([w for w in key(phrase) if telling(w)]))]
        by = _replacements(space, entities, own, self.threshold)
        new, marks, unknown = [], [], set[str]()
        for number, record in enumerate(records):
            changes: dict[str, list[Change]] = {}
            for where, text in texts(record):
                for word in terms(text):
                    if word.text in by:
                        there = _cased(by[word.text], text[word.start : word.end])
                        changes.setdefault(where, []).append(Change(word.start, word.end, there))
                        kind = "entity" if word.text in own else "term"
                        marks.append(Mark(number, record.id, kind, where, word.start, word.end))
                    elif telling(word.text) and word.text not in space.of:
                        unknown.add(word.text)
            new.append(rewritten(record, changes))
        return all_of(new, records, marks, self._notes(len(entities), len(unknown)))

    def _counted(self, corpus: Sequence[Record]) -> Vectors:
        return counted((passage(text) for r in corpus for _, text in texts(r)), self.window, self.least)

    def _notes(self, known: int, unknown: int) -> tuple[str, ...]:
        lacking = len(self.protect) - known
        return (
            *([f"{lacking} of {len(self.protect)} protected entities have no vector"] if lacking else ()),
            *([f"{unknown} words of the rows have no vector and stayed"] if unknown else ()),
        )


def _replacements(
    space: Vectors, entities: Sequence[Vector], own: frozenset[str], threshold: float
) -> Mapping[str, str]:
    """What stands for each risky word: the nearest of the harmless ones, the first of equals."""
    risky = {w for w, v in space.of.items() if any(cosine(v, c) >= threshold for c in entities)} | own
    harmless = sorted(space.of.keys() - risky)
    made = {}
    for word in sorted(risky):
        vector = space.of.get(word, {})
        near = max(((cosine(vector, space.of[w]), w) for w in harmless), key=lambda f: f[0], default=(0.0, ""))
        made[word] = near[1] if near[0] > 0 else REMOVED
    return made


def _cased(word: str, like: str) -> str:
    """A word with a capital where the word that it replaces has one."""
    return word[:1].upper() + word[1:] if like[:1].isupper() else word
