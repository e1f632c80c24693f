"""Artefacts by the hash of their content: written once, never changed, looked at again whenever they are read."""

import os
from collections.abc import Mapping
from dataclasses import dataclass
from hashlib import file_digest, sha256
from pathlib import Path

from safetensors import SafetensorError
from safetensors.torch import load, save
from torch import Tensor

from unteach.edit.seal import destroy
from unteach.report.atomic import folder, put


def content_of(tensors: Mapping[str, Tensor]) -> bytes:
    """Tensors as safetensors, sorted by name: the same tensors are the same bytes."""
    found: bytes = save({n: t.detach().cpu().contiguous() for n, t in sorted(tensors.items())})
    return found


@dataclass(frozen=True)
class Blobs:
    """Files named by their SHA-256."""

    place: Path

    def put(self, tensors: Mapping[str, Tensor]) -> str:
        """Write tensors, unless they are there; the name of their file."""
        content = content_of(tensors)
        name = sha256(content).hexdigest()
        if not self.whole(name):
            put(folder(self.place) / name, content)
        return name

    def get(self, name: str) -> dict[str, Tensor] | None:
        """The tensors of a blob; None where it is missing or its content has another hash."""
        try:
            content = (self.place / name).read_bytes()
        except FileNotFoundError:
            return None
        if sha256(content).hexdigest() != name:
            return None
        try:
            found: dict[str, Tensor] = load(content)
            return found
        except SafetensorError:
            return None

    def whole(self, name: str) -> bool:
        """Whether the file is there and is what its name says."""
        try:
            with (self.place / name).open("rb") as file:
                return file_digest(file, "sha256").hexdigest() == name
        except FileNotFoundError:
            return False

    def destroy(self, name: str) -> None:
        """Overwrite and remove; one that is gone stays gone."""
        if (self.place / name).exists():
            destroy(self.place / name)

    def sweep(self) -> None:
        """Remove what a killed writer left under a temporary name."""
        for file in self.place.glob(".*.tmp"):
            os.unlink(file)
