"""Trained editors on disk: their numbers in `editor.safetensors`, what they are in `editor.json`; never pickled."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import nn

from unteach.edit.checkpoint import file_digest, sync, write
from unteach.lm.model import LM
from unteach.schema import InputError

FORMAT = 1
TENSORS, ABOUT = "editor.safetensors", "editor.json"


@dataclass(frozen=True)
class Kind:
    """What an editor is: the method it serves, the model it was made for, the maps it changes, its own sizes."""

    method: str
    model: str
    maps: Mapping[str, tuple[int, int]]
    sizes: Mapping[str, float]

    @property
    def described(self) -> dict[str, Any]:
        maps = {path: list(shape) for path, shape in self.maps.items()}
        return {"method": self.method, "model": self.model, "maps": maps, "sizes": dict(self.sizes)}


def save(folder: Path, kind: Kind, net: nn.Module, notes: Mapping[str, Any]) -> None:
    """Write an editor; the description names the SHA-256 of its numbers and is written last."""
    folder.mkdir(parents=True, exist_ok=True)
    staged = folder / f".{TENSORS}"
    save_file({n: t.detach().cpu().contiguous() for n, t in net.state_dict().items()}, staged)
    sync(staged)
    digest = file_digest(staged)
    staged.rename(folder / TENSORS)
    write(
        folder / f".{ABOUT}",
        json.dumps({"format": FORMAT, "sha256": digest, **kind.described, "notes": dict(notes)}, indent=1),
    )
    (folder / f".{ABOUT}").rename(folder / ABOUT)
    sync(folder)


def kind_in(folder: Path, method: str, lm: LM) -> tuple[Kind, str]:
    """What the editor in a folder is, and the digest of its numbers; one for another method or model is refused."""
    try:
        about = json.loads((folder / ABOUT).read_text(encoding="utf-8"))
        maps = {str(path): (int(shape[0]), int(shape[1])) for path, shape in about["maps"].items()}
        kind = Kind(
            str(about["method"]), str(about["model"]), maps, {str(k): float(v) for k, v in about["sizes"].items()}
        )
        version, digest = about["format"], str(about["sha256"])
    except OSError as missing:
        raise InputError(
            f"{folder / ABOUT}: cannot be read; name a folder that `unteach train-editor` wrote"
        ) from missing
    except (ValueError, KeyError, TypeError, IndexError, AttributeError, RecursionError) as damaged:
        raise InputError(f"{folder / ABOUT}: not a description of an editor; copy the editor again") from damaged
    if version != FORMAT:
        raise InputError(f"{folder / ABOUT}: not an editor of format {FORMAT}; read it with the version that wrote it")
    if kind.method != method:
        raise InputError(f"{folder}: holds an editor for another method; train one for '{method}'")
    if kind.model != lm.digest():
        raise InputError(
            f"{folder}: the editor was trained for another model (their digests differ); train one for this"
        )
    return kind, digest


def fill(folder: Path, digest: str, net: nn.Module) -> None:
    """Put the numbers of a saved editor into a newborn one."""
    file = folder / TENSORS
    if not file.is_file() or file_digest(file) != digest:
        raise InputError(f"{file}: missing, or not the file its description names; copy the editor again")
    try:
        net.load_state_dict(load_file(file))
    except (SafetensorError, RuntimeError) as damaged:
        raise InputError(f"{file}: does not fit its description; copy the editor again") from damaged
    net.eval()
