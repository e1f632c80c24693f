"""Files that are there whole or not at all."""

import os
from pathlib import Path
from secrets import token_hex

from unteach.schema import InputError

PRIVATE = 0o600  # the mode of what holds records


def folder(directory: str | Path) -> Path:
    """The folder, made where it was missing."""
    place = Path(directory)
    try:
        place.mkdir(parents=True, exist_ok=True)
    except (OSError, ValueError) as refused:
        why = getattr(refused, "strerror", None) or "no name of a folder"
        raise InputError(f"{place}: this folder cannot be made ({why}); name another one") from None
    return place


def put(path: Path, content: bytes, *, mode: int = 0o666) -> Path:
    """Write under a temporary name beside the place, sync, and rename: a reader never sees half a file.

    `mode` is what the file is made with, less what the process masks.
    """
    fresh = path.with_name(f".{path.name}.{token_hex(6)}.tmp")
    try:
        with open(fresh, "xb", opener=lambda name, flags: os.open(name, flags, mode)) as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        fresh.replace(path)
    except OSError as refused:
        raise InputError(f"{path}: cannot be written ({refused.strerror}); name another folder") from None
    finally:
        fresh.unlink(missing_ok=True)
    _sync(path.parent)
    return path


def _sync(place: Path) -> None:
    if os.name != "posix":  # a folder cannot be opened for syncing elsewhere
        return
    handle = os.open(place, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
