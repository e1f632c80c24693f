"""Opening a file that may be hostile, and its text with line numbers."""

import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

from unteach.data.rows import Place
from unteach.schema import InputError

MAX_BYTES = 2 << 30  # 2 GiB a file
MAX_LINE = 64 << 20  # 64 MiB a line
FORMATS = "give JSON lines, JSON, CSV, TSV or Parquet"
PARQUET = b"PAR1"
BOM = b"\xef\xbb\xbf"

_UNPACK = "unpack it and give the file inside"
_RECODE = "save it as UTF-8"
_MAGIC: tuple[tuple[bytes, str, str], ...] = (
    (b"PK\x03\x04", "a zip archive", _UNPACK),
    (b"PK\x05\x06", "a zip archive", _UNPACK),
    (b"\x1f\x8b", "gzip-compressed", _UNPACK),
    (b"BZh", "bzip2-compressed", _UNPACK),
    (b"\xfd7zXZ", "xz-compressed", _UNPACK),
    (b"\x28\xb5\x2f\xfd", "zstd-compressed", _UNPACK),
    (b"7z\xbc\xaf", "a 7-Zip archive", _UNPACK),
    (b"\xff\xfe", "UTF-16 text", _RECODE),
    (b"\xfe\xff", "UTF-16 text", _RECODE),
    (b"\x93NUMPY", "a NumPy array", FORMATS),
    (b"\x89HDF", "an HDF5 file", FORMATS),
    (b"\x89PNG", "a PNG image", FORMATS),
    (b"\xff\xd8\xff", "a JPEG image", FORMATS),
    (b"%PDF", "a PDF", FORMATS),
    (b"SQLite format 3", "an SQLite database", FORMATS),
    (b"ARROW1", "an Arrow file", FORMATS),
    (b"GGUF", "a GGUF model", FORMATS),
    (b"\x7fELF", "a program", FORMATS),
    *((bytes([0x80, protocol]), "a pickle, which is never loaded", FORMATS) for protocol in range(2, 6)),
)


@contextmanager
def opened(path: Path, place: Place) -> Iterator[BinaryIO]:
    """A regular, non-empty file below the size cap, at its first byte after any byte order mark.

    It is opened without blocking and examined afterwards, so a pipe put in its place cannot hold us up.
    """
    descriptor, failed = -1, ""
    try:
        flags = os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0)
        descriptor = os.open(path, flags)
    except FileNotFoundError:
        failed = "there is no such file"
    except PermissionError:
        failed = "the file may not be read"
    except (OSError, ValueError):
        failed = "the file cannot be opened"
    if failed:
        raise place.error(failed, "check the path and its permissions")
    try:
        _regular(os.fstat(descriptor), place)
    except InputError:
        os.close(descriptor)
        raise
    with open(descriptor, "rb") as file:
        _recognise(file, place)
        try:
            yield file
            return
        except OSError as error:
            failed = type(error).__name__
        raise place.error(f"the file cannot be read ({failed})", "check the disk")


def _regular(status: os.stat_result, place: Place) -> None:
    if stat.S_ISDIR(status.st_mode):
        raise place.error("this is a directory", "give one of the files in it")
    if not stat.S_ISREG(status.st_mode):
        raise place.error("this is a pipe, a socket or a device", "give a regular file")
    if status.st_size == 0:
        raise place.error("the file is empty", "give at least one row")
    if status.st_size > MAX_BYTES:
        raise place.error(f"the file is larger than {MAX_BYTES >> 30} GiB", "split it")


def _recognise(file: BinaryIO, place: Place) -> None:
    """Refuse by name what is no text of rows; step over a byte order mark."""
    head = file.read(16)
    for magic, name, remedy in _MAGIC:
        if head.startswith(magic):
            raise place.error(f"the file is {name}", remedy)
    if head[8:9] == b"{" and int.from_bytes(head[:8], "little") < MAX_BYTES:
        raise place.error("the file is a safetensors file", FORMATS)
    file.seek(len(BOM) if head.startswith(BOM) else 0)


def lines(file: BinaryIO, place: Place) -> Iterator[tuple[int, str]]:
    """Line number and line, with its line end."""
    number = 0
    while data := file.readline(MAX_LINE + 1):
        number += 1
        if len(data) > MAX_LINE:
            raise place.at(number).error(f"the line is longer than {MAX_LINE >> 20} MiB", "split it")
        yield number, _decode(data, number, place)


def text(file: BinaryIO, place: Place) -> str:
    """All of the file: a JSON list has no other bounds."""
    return _decode(file.read(), 1, place)


def _decode(data: bytes, number: int, place: Place) -> str:
    what = "holds a NUL byte"
    at = data.find(b"\0")
    if at < 0:
        try:
            return data.decode("utf-8")
        except UnicodeDecodeError as error:
            at, what = error.start, "is not UTF-8"
    raise _fault(data, number, at, what, place)


def _fault(data: bytes, number: int, at: int, what: str, place: Place) -> InputError:
    return place.at(number + data.count(b"\n", 0, at)).error(what, _RECODE)
