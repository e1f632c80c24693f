"""What was deleted, known again and not told: salted hashes of the texts."""

import hmac
import json
import secrets
from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from hashlib import sha256
from pathlib import Path

from unteach.data.documents import Document
from unteach.data.fold import fold
from unteach.report.atomic import PRIVATE, put
from unteach.schema import InputError

LEDGER = "tombstones.json"
FORMAT = 1


@dataclass(frozen=True)
class Tombstones:
    """HMAC-SHA256(salt, text) of each deleted document, whatever its case, spacing and punctuation.

    Whoever holds the file can try texts out, and learns which of them were deleted.
    """

    salt: bytes = field(repr=False)
    hashes: frozenset[str] = field(default=frozenset(), repr=False)

    def hold(self, document: Document) -> bool:
        """Whether a document of this text was deleted."""
        return bool(self.hashes) and self._hash(document) in self.hashes

    def over(self, documents: Iterable[Document]) -> "Tombstones":
        """The same with those of further documents."""
        return replace(self, hashes=self.hashes | {self._hash(d) for d in documents})

    def _hash(self, document: Document) -> str:
        return hmac.new(self.salt, fold(document.text).encode(), sha256).hexdigest()


def read(folder: Path) -> Tombstones:
    """The tombstones of a store; a store that has lost them would take back what was deleted, and is refused."""
    path = folder / LEDGER
    try:
        said = json.loads(path.read_text(encoding="utf-8"))
        found = Tombstones(bytes.fromhex(said["salt"]), frozenset(said["hashes"]))
        if said["format"] != FORMAT or not all(isinstance(h, str) for h in found.hashes):
            raise ValueError
    except (OSError, ValueError, KeyError, TypeError):
        raise InputError(f"{path}: missing or damaged, so that what was deleted is not known; put it back") from None
    return found


def begun(folder: Path) -> Tombstones:
    """Those that are there, or none yet under a salt of their own."""
    return read(folder) if (folder / LEDGER).exists() else write(folder, Tombstones(secrets.token_bytes(32)))


def write(folder: Path, found: Tombstones) -> Tombstones:
    """Write them, sorted, so that their order tells nothing."""
    said = {"format": FORMAT, "salt": found.salt.hex(), "hashes": sorted(found.hashes)}
    put(folder / LEDGER, json.dumps(said, indent=0).encode(), mode=PRIVATE)
    return found
