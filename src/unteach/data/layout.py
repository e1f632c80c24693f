"""What the columns of a source turn out to be, as one row after another shows them."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from unteach.data import columns
from unteach.data.cells import Cells, kind
from unteach.data.rows import Place, printable


@dataclass(frozen=True)
class Layout:
    """The first row decides which columns every row must have; the others come and go."""

    required: dict[str, str] = field(default_factory=dict)  # role -> column
    used: dict[str, str] = field(default_factory=dict)
    unused: set[str] = field(default_factory=set)

    def cells(self, row: object, place: Place, by: str = "") -> Cells:
        """The row seen through its roles; the column that tells rows apart may name classes in words, and is no label."""
        if not isinstance(row, Mapping):
            raise place.error(f"this is {kind(row)}, not an object", "give an object with named columns")
        if not all(isinstance(name, str) for name in row):
            raise place.error("a column name is not text", "name the columns")
        if not self.required:
            self.required.update(_required(row, place))
        for column in self.required.values():
            if column not in row:
                raise place.error(f'"{column.strip()}" is missing', "fill it in or remove the row")
        roles = columns.complete(self.required, row)
        if by and roles.get("label") == columns.spelt(by, row):
            roles.pop("label", None)
        self.used.update(roles)
        self.unused.update(row.keys() - roles.values())
        return Cells(row, roles, place)

    def mark(self, row: object, by: str, place: Place) -> str:
        """What stands in a column that tells rows apart: text, or a whole number, or true or false."""
        assert isinstance(row, Mapping), "a row that was no object was refused before"
        name, shown = columns.spelt(by, row), printable(by)[:40]
        value = row.get(name) if name is not None else None
        if value is None or (isinstance(value, str) and not value.strip()):
            raise place.error(f'"{shown}" is missing', "fill it in, or name another column with --by")
        if not isinstance(value, str | int):
            what = f'"{shown}" holds {kind(value)} where text or a whole number is wanted'
            raise place.error(what, "name another column with --by")
        self.used["by"] = str(name)
        self.unused.discard(str(name))
        return str(value).lower() if isinstance(value, bool) else str(value).strip()

    def notes(self) -> tuple[str, ...]:
        return (f"columns not used: {columns.listed(self.unused)}",) if self.unused else ()


def _required(row: Mapping[str, object], place: Place) -> dict[str, str]:
    required = columns.find(row)
    if required is None:
        what = f"the columns ({columns.listed(row)}) fit no shape"
        raise place.error(what, f"the shapes are {columns.SHAPES}")
    return required
