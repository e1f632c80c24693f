"""WikiText-2: plain text, to see what is left of fluency."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

from unteach.audit.benchmarks.reading import windows
from unteach.audit.facts import source
from unteach.audit.suite import Suite, of
from unteach.data.facts import raw
from unteach.data.files import opened, text
from unteach.data.rows import Place, printable
from unteach.registry import benchmark
from unteach.schema import InputError, Record, Request

PLAIN = {".txt", ".raw", ".tokens"}


@benchmark("wikitext", tested_by="test_wikitext_runs_from_its_text_to_a_report")
@dataclass(frozen=True)
class WikiText:
    """Articles of Wikipedia in windows of `words` words.

    Merity et al. 2017, arXiv:1609.07843. `data` is a text file, a folder that holds one of its names, or a hub id with
    configuration and split. The set is `wikitext`; `rows` takes only the first windows.

    A window begins without what stood before it and ends with the end-of-text token, and perplexity counts the
    model's own tokens. So it compares a model with what it was before, and not with published figures.

    Example: ``WikiText(data="path/to/wiki.test.raw", rows=200).sets()["wikitext"]``.
    """

    suite: ClassVar[Suite] = of("perplexity", max_new=32)
    roles: ClassVar[Mapping[str, str]] = {"wikitext": "general"}
    data: str = "Salesforce/wikitext:wikitext-2-raw-v1:test"
    words: int = 256
    rows: int | None = None

    def request(self) -> Request:
        """Nothing is forgotten here: it measures what should stay."""
        return Request(id="wikitext")

    def sets(self) -> dict[str, tuple[Record, ...]]:
        """What the audit asks."""
        pieces = windows(self._text(), self.words)[: self.rows]
        if not pieces:
            raise InputError(f"{printable(self.data)}: there is no text; give a file that holds some")
        return {"wikitext": tuple(Record(f"wikitext-{i:05d}", "", piece) for i, piece in enumerate(pieces))}

    def _text(self) -> str:
        where = source(self.data, "wiki.test.raw", "wiki.test.tokens", "test.txt", "test-00000-of-00001.parquet")
        if Path(where).suffix in PLAIN:
            place = Place(printable(where))
            with opened(Path(where), place) as file:
                return text(file, place)
        return "".join(_line(place, row) for place, row in raw(where))


def _line(place: Place, row: Mapping[str, object]) -> str:
    """A row of the hub is a line, of which many are empty."""
    found = row.get("text")
    if not isinstance(found, str):
        raise place.error('"text" is missing or no text', "give rows with a column text")
    return found
