"""An output filter: what the forgotten rows tell does not leave, while a reply is being written."""

from dataclasses import dataclass, field, replace
from typing import ClassVar, Literal, Self

from unteach.data.holdback import Part, Watch, letters, phrases
from unteach.data.phrasefile import phrases_in
from unteach.data.sentences import sentences
from unteach.data.telltale import telltales
from unteach.lm.guard import Guard, Streaming
from unteach.lm.model import LM
from unteach.measure.nearness import index
from unteach.registry import guard
from unteach.schema import InputError, Need, Request

MASK = "[…]"


@guard("filter", tested_by="test_filter_lets_no_letter_of_a_guarded_phrase_leave_however_it_is_cut")
@dataclass(frozen=True)
class Filter(Guard, Streaming):
    """A reply leaves as it is written, and what may turn out to be a guarded phrase waits until it is none.

        hold the longest end of the reply that begins a guarded phrase; let the rest leave

    Guarded are the spans of the forget rows where they have any, or else what their answers tell and no retain row
    says: names, titles, dates, addresses, long numbers, runs of words, or the answer whole. `phrases` names a text file
    of phrases, one a line, that take their place. They are found without regard to case, accents, look-alike letters, hidden characters,
    gaps between letters and other disguises; a longer word that begins like one is none. With `near` above 0 a sentence
    waits for its end, and is withheld where it is as near as that to one of the forgotten answers: by the cosine of
    hashed character n-grams weighted by their rarity, or that of a local sentence-transformers model in the folder
    `embedder`. `action` says what comes in the place of what is withheld: `refuse` ends the reply with `answer`,
    `cover` puts […] and goes on. Filters as a first measure: Thaker et al. 2024, arXiv:2403.03329.

    Needs forget rows, and retain rows to know what their neighbours may say. What is not guaranteed: the same in other
    words or another language, an encoding, and a single everyday word that is a whole answer all leave; where a reply
    stops, one knows that something stood there. The weights still know all of it, and the edit holds the phrases and
    answers in plain words.

    Example: ``Filter(action="cover").fitted(Request(forget=rows, retain=others), None)``.
    """

    needs: ClassVar[frozenset[Need]] = frozenset({"forget"})
    action: Literal["refuse", "cover"] = "refuse"
    answer: str = "I don't know."
    phrases: str = ""
    near: float = 0.0
    embedder: str = ""
    guarded: tuple[str, ...] = field(default=(), repr=False)
    answers: tuple[str, ...] = field(default=(), repr=False)

    def __post_init__(self) -> None:
        if not 0 <= self.near <= 1:
            raise InputError("option 'near' of filter is a cosine from 0, which asks for none, to 1")

    @property
    def observable(self) -> bool:
        return False

    def session(self) -> Streaming:
        return Filtering(self, phrases(self.guarded).watch()) if self.guarded or self.answers else self

    def fitted(self, request: Request, lm: LM | None) -> Self:  # noqa: ARG002 - the words suffice
        guarded = phrases_in(self.phrases) if self.phrases else telltales(request.forget, request.retain)
        answers = dict.fromkeys(letters(s) for r in request.forget for s in sentences(r.answer)[0]) if self.near else ()
        if not guarded and not answers:
            raise InputError(
                "filter finds nothing in the records to forget that tells them from others; give them spans, or a file "
                "of phrases, or 'near'"
            )
        return replace(self, guarded=guarded, answers=tuple(answers))

    def known(self, sentence: str) -> bool:
        """Whether a sentence is near one of the forgotten answers."""
        return (
            bool(self.answers) and float(index(self.answers, self.embedder).near(letters(sentence)).max()) >= self.near
        )


@dataclass(repr=False)
class Filtering(Streaming):
    """One reply; `waiting` is a sentence that has not ended, `begun` says that something has left."""

    guard: Filter
    watch: Watch
    waiting: str = ""
    begun: bool = False
    stopped: bool = False

    @property
    def over(self) -> bool:
        return self.stopped

    def feed(self, piece: str) -> str:
        return "" if self.stopped else self._told(self.watch.feed(piece), ended=False)

    def end(self) -> str:
        return "" if self.stopped else self._told(self.watch.end(), ended=True)

    def _told(self, parts: list[Part], *, ended: bool) -> str:
        leaves = ""
        for text, guarded in parts:
            if guarded and self.guard.action == "refuse":
                leaves += self._whole(ended=True)
                return leaves if self.stopped else leaves + self._refusal(leaves)
            self.waiting += MASK if guarded else text
        leaves += self._whole(ended=ended)
        self.begun = self.begun or bool(leaves.strip())
        return leaves

    def _whole(self, *, ended: bool) -> str:
        """What may leave of the sentences that wait; without answers to compare them with, all of it."""
        if not self.guard.answers:
            leaves, self.waiting = self.waiting, ""
            return leaves
        whole, self.waiting = sentences(self.waiting, ended=ended)
        leaves = ""
        for sentence in whole:
            known = self.guard.known(sentence)
            if known and self.guard.action == "refuse":
                return leaves + self._refusal(leaves)
            leaves += f"{MASK}{sentence[len(sentence.rstrip()) :]}" if known else sentence
        return leaves

    def _refusal(self, leaves: str) -> str:
        self.stopped = True
        return f"\n\n{self.guard.answer}" if self.begun or leaves.strip() else self.guard.answer
