"""Personal data, found and replaced."""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Literal

from unteach.data.passes import Cleaned, Mark, all_of
from unteach.data.personal.find import RECOGNISERS, find
from unteach.data.personal.forms import ADDRESSES, NUMBERS
from unteach.data.personal.made import MADE, REDACTED, hashed, masked, synthetic, taken_numbers
from unteach.data.personal.names import Names, key, named, parts_of
from unteach.data.personal.piece import Piece, Recogniser
from unteach.data.personal.presidio import presidio
from unteach.data.rewriting import Change, changed, rewritten, texts
from unteach.data.shadow import bare, shadow
from unteach.registry import data, hint
from unteach.schema import InputError, Record

Action = Literal["mask", "hash", "redact", "synthetic"]
KINDS = (*dict.fromkeys(form.kind for form in (*ADDRESSES, *NUMBERS)), "PHONE", "BIRTHDATE", "PERSON")
Found = tuple[str, Piece]  # the name of a text, and what stands in it


@data("pii", tested_by="test_pii_finds_every_form_and_takes_it_out")
@dataclass(frozen=True)
class Pii:
    """Finds personal data and puts pseudonyms in its place.

    What is found: e-mail addresses (EMAIL), links with a password or token (LOGIN), addresses of machines (IP, MAC),
    telephone numbers in international and several national forms (PHONE); numbers with check digits or a fixed
    shape: payment cards (CARD, Luhn), bank accounts (IBAN), machine-readable lines of passports and passport numbers
    beside the word (PASSPORT), US (SSN), British (NINO), German (STEUERID), French (NIR), Spanish (DNI), Dutch (BSN),
    Italian (FISCAL), Polish (PESEL), Indian (AADHAAR), Brazilian (CPF) and Chinese (RESIDENT) ones; dates near a word for
    being born (BIRTHDATE); people (PERSON): the names given in `names` or, one a line, in the file `gazetteer`, and
    with `subjects` the subjects of all rows, in any row. A part of a name counts in rows that hold the whole name or
    are about that person. `kinds` chooses some kinds; `recognisers` adds others, as does `presidio`, the name of a
    spaCy pipeline (the extra `pii`).

    `action` says what is put in its place: `mask` <PERSON_1>, the same number for the same person or number in all rows
    given, in order of appearance; `hash` <PERSON:3f2a90...>, a hash keyed with `salt`, which whoever holds the salt
    can recompute; `redact` [REDACTED]; `synthetic` a name, address or number that belongs to nobody. Subjects and all
    texts of a row change, spans keep to what they marked, ids stay. What has been put in its place is never found again.

    It does not find names that nobody listed, inflected names, places, or what was spelt out in words; a number may
    follow a rule by chance. A national and an international form of one telephone number count as two. Pseudonyms are
    not anonymity: what else a text says may still single somebody out.
    Example: ``Pii(action="redact")(records)``.
    """

    action: Action = "mask"
    kinds: tuple[str, ...] = ()
    names: tuple[str, ...] = field(default=(), repr=False)
    gazetteer: str = ""
    subjects: bool = True
    salt: str = field(default="", repr=False)
    presidio: str = ""
    recognisers: tuple[Recogniser, ...] = ()

    def __post_init__(self) -> None:
        if self.action == "hash" and not self.salt:
            raise InputError("a hash without a salt can be guessed; give 'salt' a secret of your own")
        more = self.recognisers or self.presidio
        if unknown := [] if more else sorted(set(self.kinds) - set(KINDS)):
            raise InputError(f"there is no kind '{unknown[0]}' of personal data; {hint(unknown[0], KINDS)}")

    def __call__(self, records: Sequence[Record], /) -> Cleaned:
        search = self._search(records)
        found = [list(search.row(record)) for record in records]
        by = _replacements(self.action, self.salt, records, found)
        new = [_rewritten(record, pieces, by) for record, pieces in zip(records, found, strict=True)]
        marks = [
            Mark(n, records[n].id, p.kind, where, p.start, p.end)
            for n, pieces in enumerate(found)
            for where, p in pieces
        ]
        return all_of(new, records, marks)

    def _search(self, records: Sequence[Record]) -> "_Search":
        subjects = [r.subject for r in records if self.subjects and r.subject and not MADE.fullmatch(r.subject)]
        listed = [*self.names, *(_lines(self.gazetteer) if self.gazetteer else ()), *subjects]
        own = (*self.recognisers, *((presidio(self.presidio),) if self.presidio else ()))
        wanted = not self.kinds or "PERSON" in self.kinds
        return _Search((*RECOGNISERS, *own), named(listed if wanted else ()), frozenset(self.kinds))


@dataclass(frozen=True, repr=False)
class _Search:
    """What is looked for in every row alike."""

    recognisers: Sequence[Recogniser]
    names: Names
    kinds: frozenset[str]

    def row(self, record: Record) -> Iterator[Found]:
        """Each piece of a row with the name of its text; the parts of the names that the row holds are names."""
        said = list(texts(record))
        whole = key(record.subject) if record.subject else ""
        about = {whole: None} if whole in self.names.keys else {}
        for _, text in said if self.names.spelt else ():
            about |= dict.fromkeys(p.key for p in self.names(shadow(text, (), bare).text, {}))
        parts = parts_of(about)
        if whole in about:
            yield "subject", Piece("PERSON", 0, len(record.subject), whole)
        for where, text in said:
            for piece in find(text, self.recognisers, self.names, parts):
                if not self.kinds or piece.kind in self.kinds:
                    yield where, piece


def _replacements(
    action: Action, salt: str, records: Sequence[Record], found: Sequence[Sequence[Found]]
) -> Mapping[tuple[str, str], str]:
    """What stands for each thing, by its kind and key; numbers go on behind those that the rows hold already."""
    things = dict.fromkeys((p.kind, p.key) for pieces in found for _, p in pieces)
    if action == "redact":
        return dict.fromkeys(things, REDACTED)
    if action == "hash":
        return {thing: hashed(*thing, salt) for thing in things}
    last = Counter[str]()
    for record in records:
        for text in (record.subject, *(t for _, t in texts(record))):
            for kind, number in taken_numbers(text):
                last[kind] = max(last[kind], number)
    made: dict[tuple[str, str], str] = {}
    for kind, of in things:
        last[kind] += 1
        made[kind, of] = (masked if action == "mask" else synthetic)(kind, last[kind])
    return made


def _rewritten(record: Record, found: Sequence[Found], by: Mapping[tuple[str, str], str]) -> Record:
    changes: dict[str, list[Change]] = {}
    for where, piece in found:
        changes.setdefault(where, []).append(Change(piece.start, piece.end, by[piece.kind, piece.key]))
    return replace(rewritten(record, changes), subject=changed(record.subject, changes.pop("subject", ())))


def _lines(path: str) -> list[str]:
    try:
        return [line.strip() for line in Path(path).read_text(encoding="utf-8").splitlines() if line.strip()]
    except (OSError, UnicodeDecodeError) as wrong:
        raise InputError(
            f"{path}: cannot be read as a list of names; give a UTF-8 text file of one name a line"
        ) from wrong
