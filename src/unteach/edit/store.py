"""Edits on disk: `edit.safetensors` beside `edit.json`. Tensors are mapped into memory when read, not copied."""

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from unteach.edit.checkpoint import file_digest, sync, write
from unteach.edit.edit import Edit, describe, digest_of
from unteach.edit.maps import MAPS
from unteach.edit.patches import unpack, unpack_as
from unteach.registry import build
from unteach.schema import Guarantee, InputError

FORMAT = 1
PART = 1 << 20  # bytes read at once


def save(edit: Edit, folder: str | Path) -> None:
    """Write an edit; the description names the tensors' SHA-256 and is written last."""
    place = Path(folder)
    place.mkdir(parents=True, exist_ok=True)
    described, tensors = describe(edit)
    staged = place / ".edit.safetensors"
    save_file(_apart(tensors), staged)
    sync(staged)
    described |= {
        "format": FORMAT,
        "sha256": file_digest(staged),
        "digest": edit.digest(),
        "history": list(edit.history),
    }
    staged.rename(place / "edit.safetensors")
    write(place / ".edit.json", json.dumps(described, indent=1))
    (place / ".edit.json").rename(place / "edit.json")
    sync(place)


def _apart(tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    """Tensors that share no memory, as the format wants them."""
    found, seen = {}, set()
    for name, tensor in tensors.items():
        whole = tensor.detach().cpu().contiguous()
        where = whole.untyped_storage().data_ptr()
        found[name] = whole.clone() if where in seen else whole
        seen.add(where)
    return found


def load(folder: str | Path) -> Edit:
    """Read an edit; anything damaged, half-written or unknown is refused in a sentence."""
    place = Path(folder)
    described = _description(place)
    tensors_file = place / "edit.safetensors"
    if not tensors_file.is_file() or file_digest(tensors_file) != described.get("sha256"):
        raise InputError(f"{tensors_file}: missing, or not the file its description names; copy the edit again")
    try:
        with safe_open(tensors_file, framework="pt") as file:
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 - not a mapping
        edit = of_description(described, tensors)
        digest = digest_of(*describe(edit), _content(tensors_file))
    except (SafetensorError, KeyError, TypeError, ValueError, AttributeError, RecursionError) as damaged:
        raise InputError(f"{place / 'edit.json'}: not a description of an edit; copy the edit again") from damaged
    if digest != described.get("digest"):
        raise InputError(f"{place}: the edit is not the one that was saved (its digest differs); copy it again")
    vars(edit)["_own"] = (digest,)  # so that the mapped tensors are not read for it
    return edit


def _content(path: Path) -> Callable[[str], Iterator[bytes]]:
    """Reads the bytes of a tensor by its name, through the file and not through the mapping, which they would fill."""
    with path.open("rb") as file:
        size = int.from_bytes(file.read(8), "little")
        header = json.loads(file.read(size))

    def content(name: str) -> Iterator[bytes]:
        first, last = header[name]["data_offsets"]
        with path.open("rb") as file:
            file.seek(8 + size + first)
            while first < last and (part := file.read(min(PART, last - first))):
                first += len(part)
                yield part

    return content


def of_description(described: dict[str, Any], tensors: dict[str, Any]) -> Edit:
    """The edit that `edit.describe` described."""
    return Edit(
        base=described["base"],
        weights={n: tuple(unpack(p, tensors) for p in chain) for n, chain in described["weights"].items()},
        activations={
            n: tuple(unpack_as(MAPS, p, tensors) for p in chain) for n, chain in described["activations"].items()
        },
        guards=tuple(
            build("guard", g["guard"], {k: v for k, v in g.items() if k != "guard"}) for g in described["guards"]
        ),
        made_by=described["made_by"],
        guarantee=Guarantee(**described["guarantee"]),
        links=tuple(described["links"]),
        history=tuple(described.get("history", ())),
    )


def _description(place: Path) -> dict[str, Any]:
    path = place / "edit.json"
    try:
        described: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    except OSError as missing:
        raise InputError(f"{path}: cannot be read; name the folder that an edit was saved in") from missing
    except (ValueError, RecursionError) as damaged:
        raise InputError(f"{path}: not valid JSON; copy the edit again") from damaged
    if not isinstance(described, dict) or described.get("format") != FORMAT:
        raise InputError(f"{path}: not an edit of format {FORMAT}; read it with the version that wrote it")
    return described
