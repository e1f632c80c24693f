"""A store's files: documents and vectors, each named for its content, and a manifest that names the two in force.

A change writes new files, then the manifest in one step, and then destroys what the manifest no longer names. Killed
anywhere between, it leaves the store as it was before or as it is after.
"""

import fcntl
import json
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from hashlib import sha256
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from safetensors import SafetensorError
from safetensors.numpy import load, save

from unteach.data.documents import Document
from unteach.edit.seal import destroy
from unteach.methods.conversation.store.tombstones import LEDGER
from unteach.report.atomic import PRIVATE, put
from unteach.schema import InputError

MANIFEST = "store.json"
FORMAT = 1
FILES = ("documents-*.jsonl", "vectors-*.safetensors", ".*.tmp")  # all that a change may leave behind


@dataclass(frozen=True)
class Settings:
    """How long a passage is, which sentence-transformers model made the vectors (empty: letters), and what finds them."""

    length: int = 600
    embedder: str = ""
    index: str = "numpy"


@dataclass(frozen=True, repr=False)
class Content:
    """What a store holds: documents, sorted by their ids, and a row for each passage of each, in that order."""

    settings: Settings
    documents: tuple[Document, ...]
    rows: NDArray[np.float32]


@contextmanager
def locked(folder: Path) -> Iterator[None]:
    """A store to change; a second process waits until the first one is done."""
    with (folder / "lock").open("a") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def holds(folder: Path) -> bool:
    """Whether there is a store."""
    return (folder / MANIFEST).is_file()


def stamp(folder: Path) -> tuple[bytes, int, int, int]:
    """What changes with every change of a store, and costs no more than two small files to look at."""
    try:
        ledger = (folder / LEDGER).stat()
        return (folder / MANIFEST).read_bytes(), ledger.st_mtime_ns, ledger.st_size, ledger.st_ino
    except OSError:
        raise InputError(
            f"{folder}: there is no store of documents, or not all of it; name a folder that holds one"
        ) from None


def read(folder: Path) -> Content:
    """What the manifest names. Raises FileNotFoundError where a change came between the two steps."""
    path = folder / MANIFEST
    try:
        said: dict[str, Any] = json.loads(path.read_bytes())
        settings, names = Settings(**said["settings"]), [said["documents"], said["vectors"]]
        if said["format"] != FORMAT or [n for n in names if Path(n).name != n]:
            raise ValueError
        lines, vectors = (_named(folder / name) for name in names)
        rows = load(vectors)["vectors"]
        return Content(settings, tuple(Document(**json.loads(line)) for line in lines.splitlines()), rows)
    except (ValueError, KeyError, TypeError, SafetensorError):
        raise InputError(f"{path}: not the manifest of a store of documents; build the store anew") from None


def write(folder: Path, content: Content) -> None:
    """Put the content in force and destroy all other."""
    lines = b"".join(f"{json.dumps(asdict(d), ensure_ascii=False)}\n".encode() for d in content.documents)
    vectors = save({"vectors": content.rows if len(content.rows) else np.zeros((0, 0), dtype=np.float32)})
    names = [f"documents-{sha256(lines).hexdigest()}.jsonl", f"vectors-{sha256(vectors).hexdigest()}.safetensors"]
    for name, file in zip(names, (lines, vectors), strict=True):
        put(folder / name, file, mode=PRIVATE)
    said = {"format": FORMAT, "settings": asdict(content.settings), "documents": names[0], "vectors": names[1]}
    put(folder / MANIFEST, json.dumps(said, indent=1).encode())
    _sweep(folder, names)


def _sweep(folder: Path, named: Sequence[str]) -> None:
    """Overwrite and unlink what the manifest does not name: earlier content, and what a killed change began."""
    for path in sorted(path for pattern in FILES for path in folder.glob(pattern) if path.name not in named):
        destroy(path)


def _named(path: Path) -> bytes:
    content = path.read_bytes()
    if sha256(content).hexdigest() != path.stem.rpartition("-")[2]:
        raise InputError(f"{path}: altered since it was written; put it back, or build the store anew")
    return content
