"""Records that are written encrypted, under one key for each subject; destroying the key destroys them.

A deleted file is still on the disk, and so is a key that a database ever held: 5,482 copies of wrapped keys were found in
one after DELETE and VACUUM. So keys are files of their own, which are overwritten before they go. A copy-on-write or flash
disk promises nothing about that; keep `keys/` where an overwrite reaches the medium.
"""

from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress
from dataclasses import asdict, dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from torch import Tensor

from unteach.edit.checkpoint import sync
from unteach.edit.seal import destroy, new_key, seal, unseal
from unteach.report.atomic import folder
from unteach.schema import InputError, Message, Record, Span
from unteach.service.statement import commitment

SALT = "salt"


@dataclass(frozen=True)
class Vault:
    """A folder with `data/OWNER/N`, the sealed records of one subject each, and `keys/OWNER/N`; the newest N holds."""

    place: Path

    @classmethod
    def new(cls, place: Path) -> "Vault":
        for kind in ("data", "keys"):
            folder(place / kind).chmod(0o700)
        new_key(place / "keys" / SALT)
        return cls(place)

    def commitment(self, kind: str, name: str) -> str:
        """What stands for an id or a subject outside the vault, under a salt that can be destroyed."""
        return commitment(self._salt, kind, name)

    @cached_property
    def _salt(self) -> bytes:
        return _read(self.place / "keys" / SALT)

    @property
    def plan_key(self) -> str:
        """The key of every draw of the plan."""
        return self.commitment("plan", "")

    def owner(self, record: Record) -> str:
        """The name of the sealed file of a record."""
        return self.commitment("subject", record.subject) if record.subject else self.commitment("record", record.id)

    def put(self, owner: str, records: Iterable[Record]) -> None:
        """Seal all that a subject has under a new key; what was there before is destroyed after that."""
        self.keep(owner, {"records": [asdict(r) for r in records]}, {})

    def keep(self, owner: str, content: Mapping[str, Any], tensors: Mapping[str, Tensor]) -> None:
        """The same for anything that JSON and tensors can hold."""
        number = f"{1 + max((int(f.name) for f in self._files(owner) if f.name.isdecimal()), default=0):06d}"
        key = new_key(self.place / "keys" / owner / number)
        seal(folder(self.place / "data" / owner) / number, key, {"owner": owner, **content}, tensors)
        for kind in ("data", "keys"):
            sync(self.place / kind)
        self._destroy_others(owner, number)

    def get(self, owner: str) -> tuple[Record, ...]:
        """A subject's records."""
        return tuple(_record(each) for each in self.kept(owner)[0]["records"])

    def kept(self, owner: str) -> tuple[dict[str, Any], dict[str, Tensor]]:
        """What was sealed of an owner."""
        file = self._newest(owner)
        if file is None:
            raise InputError(f"{self.place}: the sealed records of a subject are missing; put them back from a backup")
        header, tensors = unseal(file, _read(self.place / "keys" / owner / file.name))
        if header["owner"] != owner:
            raise InputError(f"{file}: holds the records of another subject; put it back from a backup")
        return header, tensors

    def holds(self, owner: str) -> bool:
        """Whether there is anything of a subject."""
        return self._newest(owner) is not None

    def shred(self, owner: str) -> None:
        """Destroy a subject's key, and then the sealed file."""
        self._destroy_others(owner, "")
        for kind in ("keys", "data"):
            with suppress(FileNotFoundError):
                (self.place / kind / owner).rmdir()

    def sweep(self) -> None:
        """Destroy what a kill left: of each subject everything but the newest whole pair of file and key."""
        owners = {f.name for kind in ("data", "keys") for f in (self.place / kind).iterdir() if f.is_dir()}
        for owner in owners:
            newest = self._newest(owner)
            if newest is None:
                self.shred(owner)
            else:
                self._destroy_others(owner, newest.name)

    def _newest(self, owner: str) -> Path | None:
        sealed = (f for f in self._files(owner, "data") if f.name.isdecimal())
        whole = [f for f in sealed if (self.place / "keys" / owner / f.name).is_file()]
        return max(whole, key=lambda f: int(f.name), default=None)

    def _destroy_others(self, owner: str, name: str) -> None:
        for file in list(self._files(owner)):
            if file.name != name:
                destroy(file)

    def _files(self, owner: str, *kinds: str) -> Iterator[Path]:
        for kind in kinds or ("keys", "data"):
            with suppress(FileNotFoundError):
                yield from (self.place / kind / owner).iterdir()


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
        "derived_from": tuple(kept.get("derived_from", ())),
    }
    return Record(**kept | whole)
