"""Parquet files and data sets of the Hugging Face hub; both need the extra `hub`.

Hub data sets are streamed: the Arrow cache of `datasets` would keep a copy of what has to be forgotten.
"""

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import BinaryIO

from unteach.data.rows import Numbered, Place
from unteach.schema import InputError

_INSTALL = 'install it with pip install "unteach[hub]"'
_NAME = re.compile(r"([A-Za-z0-9][\w.-]*/[A-Za-z0-9][\w.-]*)(?::([\w.-]+))?(?::([\w.-]+))?", re.ASCII)
_FILE = re.compile(r"\.[A-Za-z][A-Za-z0-9]{1,8}$")
_BATCH = 256  # rows held at a time


@dataclass(frozen=True)
class HubName:
    """`owner/name`, `owner/name:config` or `owner/name:config:split`."""

    repo: str
    config: str | None = None
    split: str | None = None


def hub_name(source: str) -> HubName | None:
    """The hub data set that a string names, or None: `data/forget.txt` is a file, and no request tells of it."""
    match = _NAME.fullmatch(source)
    return HubName(*match.groups()) if match and not _FILE.search(match[1]) else None


def parquet(file: BinaryIO, place: Place) -> Numbered:
    """Row number and row of a Parquet file, a small batch in memory at a time."""
    try:
        from pyarrow.parquet import ParquetFile
    except ImportError:
        raise place.error("reading Parquet needs pyarrow", _INSTALL) from None

    def rows() -> Iterator[object]:
        table = ParquetFile(file)
        if len(set(table.schema_arrow.names)) < len(table.schema_arrow.names):
            raise place.error("two columns have the same name", "give every column its own name")
        for batch in table.iter_batches(batch_size=_BATCH):
            yield from batch.to_pylist()

    return _guarded(rows(), place, "the file cannot be read as Parquet", "write it again")


def stream(name: HubName, place: Place) -> Numbered:
    """Row number and row of a hub data set, read over the network and not kept.

    Network, login, format and server errors of that stack share no base class, hence the broad guard.
    """
    try:
        from datasets import load_dataset
    except ImportError:
        raise place.error("there is no such file, and reading from the hub needs datasets", _INSTALL) from None

    def rows() -> Iterator[object]:
        found = load_dataset(name.repo, name.config, split=name.split, streaming=True)
        if name.split is None:
            if len(found) != 1:
                splits = ", ".join(sorted(map(str, found)))
                form = f"{name.repo}:{name.config or 'CONFIG'}:SPLIT"
                raise place.error(f"the data set has the splits {splits}", f"name one as {form}")
            (found,) = found.values()
        yield from found

    what = "there is no such file, and no data set of this name, configuration and split could be read from the hub"
    return _guarded(rows(), place, what, "check the name and the network, or download it and give the file")


def _guarded(rows: Iterable[object], place: Place, what: str, remedy: str) -> Numbered:
    """Number the rows; whatever a reader not our own raises becomes a sentence without its message."""
    number, iterator = 0, iter(rows)
    while True:
        try:
            row = next(iterator)
        except StopIteration:
            return
        except InputError:
            raise
        except Exception as error:
            failed = type(error).__name__
        else:
            number += 1
            yield number, row
            continue
        raise place.error(f"{what} ({failed})", remedy)
