"""Plain text as passages: of a file, or of a hub data set."""

from collections.abc import Iterator
from itertools import islice
from pathlib import Path

from unteach.data.files import lines, opened
from unteach.data.hub import hub_name, stream
from unteach.data.rows import Place, printable
from unteach.schema import InputError

END = "<|endoftext|>"  # stands between the texts of some corpora


def passages(source: str, *, limit: int) -> tuple[str, ...]:
    """The first passages of a text file, divided by empty lines or end marks, or of a hub data set's column "text"."""
    name = hub_name(source)
    found = _of_hub(source) if name and not Path(source).exists() else _of_file(Path(source))
    some = tuple(islice(found, limit))
    if not some:
        raise InputError(f'{printable(source)}: holds no text; name a text file or a data set with a column "text"')
    return some


def _of_file(path: Path) -> Iterator[str]:
    place, gathered = Place(printable(path)), list[str]()
    with opened(path, place) as file:
        for _, line in lines(file, place):
            words = line.strip()
            if words and words != END:
                gathered.append(words.removesuffix(END).strip())
            if (not words or words.endswith(END)) and gathered:
                yield " ".join(gathered)
                gathered.clear()
    if gathered:
        yield " ".join(gathered)


def _of_hub(source: str) -> Iterator[str]:
    name, place = hub_name(source), Place(printable(source), "row")
    assert name is not None, "asked before"
    for number, row in stream(name, place):
        text = row.get("text") if hasattr(row, "get") else None
        if not isinstance(text, str):
            raise place.at(number).error('there is no text in a column "text"', "name a data set that has one")
        if text.strip():
            yield text.strip()
