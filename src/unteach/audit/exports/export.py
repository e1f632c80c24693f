"""A forget set, and a retain set beside it, for every tool that is named."""

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

from unteach.audit.exports.folder import free, publish
from unteach.audit.exports.garak import garak
from unteach.audit.exports.inspect import inspect
from unteach.audit.exports.lmeval import lmeval
from unteach.audit.exports.question import Export, Part, questions
from unteach.registry import hint
from unteach.schema import InputError, Record

FORMATS: Mapping[str, Export] = {"inspect": inspect, "garak": garak, "lmeval": lmeval}


def export(
    directory: str | Path, forget: Iterable[Record], *, retain: Iterable[Record] = (), formats: Sequence[str] = ()
) -> dict[str, Part]:  # fmt: skip
    """Write the rows as tests into a new folder, in a folder for each format; all formats where none is named.

    The files hold the records themselves: only their owner may read them, and none is there if one cannot be written.
    A format for which no row can be asked gets no files.
    """
    for name in formats:
        if name not in FORMATS:
            raise InputError(f"there is no export format '{name[:40]}'; {hint(name, FORMATS)}")
    place = free(directory)
    sets = {name: asked for name, rows in (("forget", forget), ("retain", retain)) if (asked := questions(rows))}
    if "forget" not in sets:
        raise InputError("no row to forget has words that another tool could look for; give rows with answers in words")
    parts = {name: FORMATS[name](sets) for name in dict.fromkeys(formats or FORMATS)}
    files = {f"{name}/{path}": text for name, part in parts.items() for path, text in part.files.items()}
    if not files:
        raise InputError(f"no row can be asked by {', '.join(parts)}; choose another format")
    publish(files, place)
    return parts
