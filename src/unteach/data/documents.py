"""Documents that are looked things up in: one text a line, under an id."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from unteach.data.cells import kind, sound
from unteach.data.files import opened
from unteach.data.jsonfiles import by_line
from unteach.data.records import check_id
from unteach.data.rows import Place, printable
from unteach.schema import InputError, record_id


@dataclass(frozen=True, repr=False)
class Document:
    """A text that can be found, and taken out again by its id or by its subject: whom or what it is about."""

    id: str
    text: str
    subject: str = ""

    def __repr__(self) -> str:
        return f"Document(id={self.id!r})"


def read_documents(path: str | Path) -> tuple[Document, ...]:
    """The documents of a JSON lines file: ``{"id": ..., "text": ..., "subject": ...}``, the first and last optional.

    A line without an id gets one from its content. What else a line holds is left out.
    """
    place = Place(printable(path))
    with opened(Path(path), place) as file:
        found = tuple(
            _once((place.at(number), _document(row, place.at(number))) for number, row in by_line(file, place))
        )
    if not found:
        raise place.error("there are no documents", "give at least one")
    return found


def checked(documents: Iterable[Document]) -> tuple[Document, ...]:
    """Documents made in Python, looked at as closely as those that are read."""
    place = Place("the documents given", "row")
    return tuple(_once((place.at(number), _sound(d, place.at(number))) for number, d in enumerate(documents, 1)))


def _document(row: object, place: Place) -> Document:
    if not isinstance(row, Mapping):
        raise place.error(f"there is {kind(row)} where an object is wanted", 'give {"id": ..., "text": ...}')
    text, subject, name = (row.get(key) for key in ("text", "subject", "id"))
    text = sound(text, '"text"', place)
    subject = sound(subject, '"subject"', place) if subject not in (None, "") else ""
    if name is None:
        name = record_id(subject, text)
    elif isinstance(name, int) and not isinstance(name, bool):
        name = str(name)
    return Document(check_id(name, place), text, subject)


def _sound(document: Document, place: Place) -> Document:
    check_id(document.id, place)
    sound(document.text, '"text"', place)
    if document.subject != "":
        sound(document.subject, '"subject"', place)
    return document


def _once(documents: Iterable[tuple[Place, Document]]) -> Iterable[Document]:
    """Each document, refused where an earlier one has its id."""
    taken: dict[str, int | None] = {}
    for place, document in documents:
        if document.id in taken:
            raise _taken(place, taken[document.id])
        taken[document.id] = place.number
        yield document


def _taken(place: Place, first: int | None) -> InputError:
    return place.error(f"the id is already that of {place.unit} {first}", "give every document an id of its own")
