"""What the columns of a source turn out to be, as one row after another shows them."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from unteach.data import columns
from unteach.data.cells import Cells, kind
from unteach.data.rows import Place


@dataclass(frozen=True)
class Layout:
    """The first row decides which columns every row must have; the others come and go."""

    required: dict[str, str] = field(default_factory=dict)  # role -> column
    used: dict[str, str] = field(default_factory=dict)
    unused: set[str] = field(default_factory=set)

    def cells(self, row: object, place: Place) -> Cells:
        """The row seen through its roles."""
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
        self.used.update(roles)
        self.unused.update(row.keys() - roles.values())
        return Cells(row, roles, place)

    def notes(self) -> tuple[str, ...]:
        return (f"columns not used: {columns.listed(self.unused)}",) if self.unused else ()


def _required(row: Mapping[str, object], place: Place) -> dict[str, str]:
    required = columns.find(row)
    if required is None:
        what = f"the columns ({columns.listed(row)}) fit no shape"
        raise place.error(what, f"the shapes are {columns.SHAPES}")
    return required
