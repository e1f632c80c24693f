"""A new folder of files that nobody else may read, there whole or not at all."""

import os
import shutil
from collections.abc import Mapping
from pathlib import Path
from secrets import token_hex

from unteach.report.atomic import folder
from unteach.schema import InputError


def free(directory: str | Path) -> Path:
    """The place of a folder that is still to be made, or is empty; any other is refused."""
    try:
        place = Path(directory).resolve()
        taken = place.exists() and (not place.is_dir() or any(place.iterdir()))
    except (OSError, ValueError, RuntimeError):
        raise InputError(f"{directory}: this folder cannot be looked into; name another one") from None
    if taken:
        raise InputError(f"{directory}: not an empty folder; name a new one")
    return place


def publish(files: Mapping[str, str], place: Path) -> None:
    """Write beside the place, sync, and rename."""
    staged = folder(place.parent) / f".{place.name}.{token_hex(6)}.tmp"
    try:
        for inner in sorted({staged / above for name in files for above in Path(name).parents}):
            inner.mkdir(mode=0o700)
        for name, text in files.items():
            _write(staged / name, text)
        if place.exists():
            place.rmdir()
        staged.rename(place)
    except OSError as refused:
        raise InputError(f"{place}: cannot be written ({refused.strerror}); name another folder") from None
    finally:
        shutil.rmtree(staged, ignore_errors=True)


def _write(path: Path, text: str) -> None:
    with open(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
        file.write(text.encode("utf-8"))
        file.flush()
        os.fsync(file.fileno())
