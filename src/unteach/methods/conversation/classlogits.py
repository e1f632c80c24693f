"""Class logits: the names of forgotten classes are never begun."""

import re
from collections.abc import Collection, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, ClassVar, NamedTuple, Self

import torch
from jaxtyping import Float, Int
from torch import Tensor

from unteach.lm.guard import Guard, Streaming, Turns
from unteach.lm.model import LM
from unteach.registry import guard
from unteach.schema import InputError, Need, Record, Request

_SPACES = re.compile(r"\s+")


class Place(NamedTuple):
    """How far an answer has come along a name: the tokens that are ruled out, and the places to which others lead."""

    out: tuple[int, ...]
    leads: tuple[tuple[int, int], ...]


@guard("classlogits", tested_by="test_classlogits_never_answers_a_forgotten_class_and_keeps_the_order_of_the_others")
@dataclass(frozen=True)
class ClassLogits(Guard):
    """The tokens with which the names of forgotten classes begin get no probability where an answer begins.

        z_t <- -inf  for every token t that begins the name of a forgotten class, and of no other

    Classes are called what labelled rows answer, and forgotten are those that no row to keep answers. Where names begin
    alike, as "very good" and "very bad", the first token that tells them apart is ruled out. A token counts by its
    text, so that no name is spelt with other tokens, in other letters' case or behind a space. All other logits stay
    as they are, and so does the order of the other classes. It is the deletion of the class's own output that
    Baumhauer et al. 2022, arXiv:2002.02730, call naive, done to a language model; their filtrations, which also hide
    from the logits that the class was ever there, are not.

    Needs forget rows with labels or wrong answers (options), retain rows, and the model's own weights.

    What is not guaranteed: the model knows the class as before, and which of the others it now answers tells; an
    answer that does not begin with the name (in a sentence, in another language) passes; and answers to whatever else
    is asked cannot begin with such tokens either, so that it suits a model that only classifies.

    Example: ``ClassLogits().fitted(Request(forget=rows, retain=others), lm)``.
    """

    needs: ClassVar[frozenset[Need]] = frozenset({"forget", "retain", "labels"})
    weighs: ClassVar[bool] = True
    places: tuple[Place, ...] = field(default=(), repr=False)

    @property
    def observable(self) -> bool:
        return False

    def session(self) -> "Naming":
        return Naming(self.places)

    def fitted(self, request: Request, lm: LM | None) -> Self:
        if lm is None:
            raise InputError("classlogits reads a model's tokens; give the model's own folder, or use the guard filter")
        if any(r.label is None and not r.perturbed for r in request.forget):
            raise InputError("classlogits forgets classes; give each record to forget a 'label', or wrong answers")
        rows = [*request.forget, *request.retain]
        kept = {named(r.answer) for r in request.retain}
        gone = {named(r.answer) for r in request.forget} - kept - {""}
        if not gone:
            raise InputError("every class of the records to forget is one to keep; leave its rows out of --retain")
        kept |= {named(wrong) for r in rows for wrong in r.perturbed} - gone
        found = places(gone, kept - {""}, pieces(lm.tokenizer), lm.encoder.stops)
        if any(named(r.answer) in gone and not _stopped(found, _ids(lm, r)) for r in request.forget):
            raise InputError("the model's tokens cut the letters of a forgotten class's name; use the guard filter")
        return replace(self, places=found)


@dataclass
class Naming(Streaming):
    """One conversation; `at` is the place of its answer among the names, None where it is on the way to none."""

    places: tuple[Place, ...] = field(repr=False)
    at: int | None = None
    begun: bool = False

    def ask(self, turns: Turns) -> Turns:
        self.at, self.begun = 0 if self.places else None, False
        return turns

    def logits(self, ids: Int[Tensor, " T"], logits: Float[Tensor, " V"]) -> Float[Tensor, " V"]:
        if self.begun and self.at is not None:
            self.at = dict(self.places[self.at].leads).get(int(ids[-1]))
        self.begun = True
        if self.at is None:
            return logits
        out = torch.tensor(self.places[self.at].out, dtype=torch.long, device=logits.device)
        return logits.index_fill(0, out, -torch.inf)


def named(answer: str) -> str:
    """A class's name, whatever its case and spaces."""
    return " ".join(answer.casefold().split())


def places(
    gone: Collection[str], kept: Collection[str], texts: Sequence[str], stops: Sequence[int]
) -> tuple[Place, ...]:
    """Where an answer may stand while it may still become a forgotten name and a kept one; the first is its beginning.

    `texts` are those of all tokens. At each place those are ruled out that go on with a forgotten name alone, and
    those that end one.
    """
    ours, theirs = ({name[:n] for name in names for n in range(1, len(name) + 1)} for names in (gone, kept))
    said, found = [""], list[Place]()
    for at in said:  # grows as tokens lead on
        out = set(stops) if at.strip() in gone else set()
        leads: dict[int, int] = {}
        for token, piece in enumerate(texts):
            text = at + (piece.lstrip() if at[-1:] in ("", " ") else piece)
            if not text or (text in theirs and (text in ours or text.startswith(tuple(gone)))):
                said += [text] if text not in said else []
                leads[token] = said.index(text)
            elif text not in theirs and (text in ours or _ended(text, gone, kept)):
                out.add(token)
        found.append(Place(tuple(sorted(out)), tuple(leads.items())))
    return tuple(found)


def _ended(text: str, gone: Collection[str], kept: Collection[str]) -> bool:
    """Whether the longest name that a text holds at its beginning, as a word or words of its own, is a forgotten one."""
    if not text.startswith(tuple(gone)):
        return False
    held = [name for name in (*gone, *kept) if text.startswith(name) and not text[len(name) :][:1].isalnum()]
    return max(held, key=len, default="") in gone


def pieces(tokenizer: Any) -> list[str]:
    """The text of each token as it stands behind another (some tokenizers drop a text's first space), case aside."""
    anchor = tokenizer("a", add_special_tokens=False)["input_ids"][-1:]
    before = len(tokenizer.decode(anchor))
    rows = [[*anchor, token] for token in range(len(tokenizer))]
    texts = tokenizer.batch_decode(rows, skip_special_tokens=True, clean_up_tokenization_spaces=False)
    return [_SPACES.sub(" ", text[before:]).casefold() for text in texts]


def _ids(lm: LM, record: Record) -> tuple[int, ...]:
    """The tokens with which the model itself answers, the one that ends the answer among them."""
    row = lm.encoder.row(record)
    return row.ids[row.start :]


def _stopped(found: Sequence[Place], ids: Sequence[int]) -> bool:
    """Whether one of an answer's tokens is ruled out where it comes."""
    at: int | None = 0
    for token in ids:
        if at is None or token in found[at].out:
            return at is not None
        at = dict(found[at].leads).get(token)
    return False
