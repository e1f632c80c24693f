"""A text file of phrases, one a line."""

from pathlib import Path

from unteach.data.files import lines, opened
from unteach.data.holdback import letters
from unteach.data.rows import Place, printable

SHORTEST = 2  # letters and digits; one alone would stop any text


def phrases_in(path: str) -> tuple[str, ...]:
    """The phrases, each once; empty lines are skipped, and a line that no text could be searched for is refused."""
    place, found = Place(printable(path)), dict[str, None]()
    with opened(Path(path), place) as file:
        for number, line in lines(file, place):
            if not line.strip():
                continue
            if len(letters(line).replace(" ", "")) < SHORTEST:
                raise place.at(number).error(
                    f"less than {SHORTEST} letters or digits", "write a longer phrase, or remove the line"
                )
            found[line.strip()] = None
    if not found:
        raise place.error("holds no phrase", "write one a line, or leave the option 'phrases' out")
    return tuple(found)
