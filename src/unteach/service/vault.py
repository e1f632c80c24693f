"""Records that are written encrypted, under one key for each subject; destroying the key destroys them.

A deleted file is still on the disk, and so is a key that a database ever held: 5,482 copies of wrapped keys were found in
one after DELETE and VACUUM. So keys are files of their own, which are overwritten before they go. A copy-on-write or flash
disk promises nothing about that; keep `keys/` where an overwrite reaches the medium.
"""

import hmac
import json
import secrets
from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass
from hashlib import sha256
from pathlib import Path
from typing import Any

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from unteach.edit.seal import destroy
from unteach.report.atomic import folder, put
from unteach.schema import InputError, Message, Record, Span

NONCE = 12
SALT = "salt"


@dataclass(frozen=True)
class Vault:
    """A folder with `data/OWNER`, the sealed records of one subject each, and `keys/OWNER`."""

    place: Path

    @classmethod
    def new(cls, place: Path) -> "Vault":
        found = cls(place)
        folder(place / "data")
        keys = folder(place / "keys")
        keys.chmod(0o700)
        _key(keys / SALT)
        return found

    def commitment(self, kind: str, name: str) -> str:
        """What stands for an id or a subject outside the vault: HMAC-SHA256 under a salt that can be destroyed."""
        return hmac.new(self._salt, f"{kind}\x1f{name}".encode("utf-8", "surrogatepass"), sha256).hexdigest()

    @property
    def _salt(self) -> bytes:
        return _read(self.place / "keys" / SALT)

    @property
    def plan_key(self) -> str:
        """The key of every draw of the plan."""
        return hmac.new(self._salt, b"plan", sha256).hexdigest()

    def owner(self, record: Record) -> str:
        """The name of the sealed file of a record."""
        return self.commitment("subject", record.subject) if record.subject else self.commitment("record", record.id)

    def put(self, owner: str, records: Iterable[Record]) -> None:
        """Seal all that a subject has under a new key; what was there before is destroyed after that."""
        name = f"{owner}.{1 + max(map(_generation, self._files('keys', owner)), default=0):06d}"
        key = _key(self.place / "keys" / name)
        text = json.dumps([asdict(r) for r in records]).encode()
        nonce = secrets.token_bytes(NONCE)
        put(self.place / "data" / name, nonce + AESGCM(key).encrypt(nonce, text, owner.encode()), mode=0o600)
        self._destroy_others(owner, name)

    def get(self, owner: str) -> tuple[Record, ...]:
        """A subject's records."""
        file = self._newest(owner)
        if file is None:
            raise InputError(f"{self.place}: the sealed records of a subject are missing; put them back from a backup")
        sealed = file.read_bytes()
        try:
            text = AESGCM(_read(self.place / "keys" / file.name)).decrypt(
                sealed[:NONCE], sealed[NONCE:], owner.encode()
            )
        except InvalidTag:
            raise InputError(f"{file}: damaged, or sealed under another key; put it back from a backup") from None
        return tuple(_record(each) for each in json.loads(text))

    def holds(self, owner: str) -> bool:
        """Whether there is anything of a subject."""
        return self._newest(owner) is not None

    def shred(self, owner: str) -> None:
        """Destroy a subject's key, and then the sealed file."""
        for file in [*self._files("keys", owner), *self._files("data", owner)]:
            destroy(file)

    def sweep(self) -> None:
        """Destroy what a kill left: of each subject everything but the newest whole pair of file and key."""
        for owner in {f.name.split(".")[0] for kind in ("data", "keys") for f in (self.place / kind).iterdir()} - {
            SALT
        }:
            newest = self._newest(owner)
            self._destroy_others(owner, newest.name if newest else "")

    def _newest(self, owner: str) -> Path | None:
        whole = [f for f in self._files("data", owner) if (self.place / "keys" / f.name).is_file()]
        return max(whole, key=_generation, default=None)

    def _destroy_others(self, owner: str, name: str) -> None:
        for file in [*self._files("keys", owner), *self._files("data", owner)]:
            if file.name != name:
                destroy(file)

    def _files(self, kind: str, owner: str) -> Iterator[Path]:
        return (self.place / kind).glob(f"{owner}.*")


def _generation(file: Path) -> int:
    return int(file.name.rpartition(".")[2])


def _key(path: Path) -> bytes:
    key = secrets.token_bytes(32)
    put(path, key, mode=0o600)
    return key


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError:
        raise InputError(f"{path}: the key is missing; without it nothing that it sealed can be read") from None


def _record(kept: dict[str, Any]) -> Record:
    whole = {
        "messages": tuple(Message(**m) for m in kept["messages"]),
        "spans": tuple(Span(**s) for s in kept["spans"]),
        "paraphrases": tuple(kept["paraphrases"]),
        "perturbed": tuple(kept["perturbed"]),
    }
    return Record(**kept | whole)
