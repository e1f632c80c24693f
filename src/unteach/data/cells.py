"""A row seen through our roles, with the type and the text of every cell checked as it is taken out."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from unteach.data.rows import Place
from unteach.schema import InputError

Kind = Literal["text", "a number", "true or false", "nothing", "a list", "an object", "a value of another kind"]

_SURROGATE = re.compile("[\ud800-\udfff]")


def kind(value: object) -> Kind:
    """What a value is, in the words of JSON."""
    if value is None:
        return "nothing"
    if isinstance(value, bool):
        return "true or false"
    if isinstance(value, str):
        return "text"
    if isinstance(value, int | float):
        return "a number"
    if isinstance(value, Mapping):
        return "an object"
    return "a list" if isinstance(value, list | tuple) else "a value of another kind"


def sound(value: object, name: str, place: Place) -> str:
    """Text that is there, and that a tokenizer and a UTF-8 file can both take."""
    if value is None:
        raise place.error(f"{name} is missing", "fill it in or remove the row")
    if not isinstance(value, str):
        raise place.error(f"{name} holds {kind(value)} where text is wanted", "give text")
    if not value.strip():
        raise place.error(f"{name} is empty", "fill it in or remove the row")
    if "\0" in value:
        raise place.error(f"{name} holds a NUL character", "remove it")
    if _SURROGATE.search(value):
        raise place.error(f"{name} holds half of a surrogate pair, which is no character", "repair or remove it")
    return value


@dataclass(frozen=True, repr=False)
class Cells:
    """A column that is null counts as absent; so does an empty one in an optional role."""

    row: Mapping[str, object]
    roles: Mapping[str, str]
    place: Place

    def get(self, role: str) -> object:
        return self.row.get(self.roles[role]) if role in self.roles else None

    def name(self, role: str) -> str:
        return f'"{self.roles[role].strip()}"'

    def wrong(self, role: str, wanted: str) -> InputError:
        what = f"{self.name(role)} holds {kind(self.get(role))} where {wanted} is wanted"
        return self.place.error(what, f"give {wanted}")

    def text(self, role: str) -> str:
        return sound(self.get(role), self.name(role), self.place)

    def optional(self, role: str) -> str:
        return self.text(role) if self.get(role) not in (None, "") else ""

    def texts(self, role: str, *, one: bool = False) -> tuple[str, ...]:
        """A list of texts; where `one` is set, a single text stands for a list of one."""
        value = self.get(role)
        if value is None or value == "":
            return ()
        if one and isinstance(value, str):
            value = [value]
        if not isinstance(value, list | tuple):
            raise self.wrong(role, "a list of texts")
        return tuple(sound(item, f"a text in {self.name(role)}", self.place) for item in value)
