"""What a forgetting leaves on disk: `release`, which ships, and `private`, which can take it back until it is destroyed.

DIR/release    the baked model, the adapter, or the edit alone
DIR/private    the edit and the original tensors, sealed; `finalise` destroys it
DIR/run.json   what was done, by digests and settings
"""

import json
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

import torch
from torch import Tensor

from unteach.edit import seal
from unteach.edit.bake import bake, baked_state, mend, publish, save_adapter, staged_beside, withdraw
from unteach.edit.checkpoint import sync, write
from unteach.edit.edit import Edit, describe
from unteach.edit.store import of_description, save
from unteach.lm.load import load as load_model
from unteach.lm.load import quiet, unbounded
from unteach.lm.model import LM, weights_digest
from unteach.schema import InputError

Form = Literal["baked", "adapter", "edit"]
STATES = ("released", "undone", "final")


def release(
    edit: Edit, lm: LM, folder: Path, *, form: Form = "baked", about: Mapping[str, Any] | None = None, card: str = ""
) -> None:
    """Write `release` with `card` as its README.md, the sealed `private`, and last run.json with `about` in it."""
    private = folder / "private"
    before = baked_state(None, lm)
    originals = {n: before[n] for n in edit.weights} if form == "baked" else {}
    described, tensors = describe(edit)
    if name := unbounded(tensors.items()):
        raise InputError(
            f"the edit is not finite in '{name}'; nothing was released; choose a smaller rate, or another method"
        )
    sealed = {f"edit.{k}": t for k, t in tensors.items()} | {f"original.{k}": t for k, t in originals.items()}
    notes = {"edit": described, "form": form, "base": weights_digest(before)}
    if form == "baked":
        after = bake(edit, lm, folder / "release", card=card)
    else:
        _ship(edit, folder / "release", card) if form == "edit" else save_adapter(
            edit, lm, folder / "release", card=card
        )
        after = edit.worn_digest
    for old in (private / "key", private / "sealed"):
        if old.exists():
            seal.destroy(old)
    seal.seal(private / "sealed", seal.new_key(private / "key"), notes, sealed)
    run = {"state": "released", "form": form, "base": notes["base"], "edit": edit.digest(), "release": after}
    note(folder, run | dict(about or {}))


def _ship(edit: Edit, folder: Path, card: str) -> None:
    """The edit by itself, to be worn over the model that it was made on."""
    staged = staged_beside(folder)
    save(edit, staged)
    if card:
        (staged / "README.md").write_text(card, encoding="utf-8")
    publish(staged, folder)


def read_edit(folder: Path) -> Edit:
    """The edit that `private` keeps."""
    notes, tensors = _unsealed(folder)
    inner = {k.removeprefix("edit."): t for k, t in tensors.items() if k.startswith("edit.")}
    return of_description(notes["edit"], inner)


def undo(folder: Path) -> str:
    """Put the original tensors back into `release`, bit for bit; returns the model's digest, which is the original's.

    An adapter or an edit is simply removed: the model it was made for was never changed.
    """
    run = read_run(folder)
    if run["state"] == "undone":
        raise InputError(f"{folder}: it was undone before; the release holds the original")
    if run.get("taken_out"):
        raise InputError(
            f"{folder}: an earlier edit was taken out of it, which its way back does not know; make the last edit again"
        )
    notes, tensors = _unsealed(folder)
    base = str(notes["base"])
    if notes["form"] != "baked":
        withdraw(folder / "release")
    else:
        restore(folder / "release", _originals(tensors), base)
    note(folder, {**run, "state": "undone", "release": base})
    return base


def originals_of(folder: Path) -> dict[str, Tensor]:
    """The tensors from before the edit, which `private` keeps."""
    return _originals(_unsealed(folder)[1])


def _originals(sealed: Mapping[str, Tensor]) -> dict[str, Tensor]:
    return {k.removeprefix("original."): t for k, t in sealed.items() if k.startswith("original.")}


def restore(model: Path, originals: Mapping[str, Tensor], base: str = "") -> str:
    """Put tensors back into a model on disk; returns its digest, which must be `base` where that is given."""
    mend(model)
    if not model.is_dir():
        raise InputError(f"{model}: is gone; copy it back, then undo")
    staged = staged_beside(model)
    shutil.copytree(model, staged, dirs_exist_ok=True)
    try:
        lm = load_model(staged, dtype="auto")
        found = lm.parameters()
        with torch.no_grad():
            for name, tensor in originals.items():  # by the model's names, which are not always those in its files
                found[name].copy_(tensor)
        digest = lm.digest()
        if base and digest != base:
            raise KeyError
    except (InputError, KeyError, RuntimeError) as other:
        shutil.rmtree(staged)
        raise InputError(f"{model}: changed since it was written; the original cannot be restored there") from other
    (staged / "README.md").unlink(missing_ok=True)  # the card speaks of the edited model
    for old in staged.glob("*.safetensors*"):
        old.unlink()
    with quiet():
        lm.model.save_pretrained(staged)
    publish(staged, model)
    return digest


def finalise(folder: Path) -> None:
    """Destroy `private`: after this nothing in the folder knows what was forgotten, and nothing can be undone.

    Once begun it can only be finished: after an interruption the same call goes on.
    """
    run = read_run(folder)
    private = folder / "private"
    if run["state"] == "final":
        raise InputError(f"{folder}: it was finalised before; there is no private part")
    mend(folder / "release")  # an undo that was interrupted leaves the original there
    for path in sorted(private.rglob("*"), key=lambda p: p.name != "key"):  # the key first
        if path.is_file() and not path.is_symlink():
            seal.destroy(path)
    shutil.rmtree(private, ignore_errors=True)
    sync(folder)
    note(folder, {k: v for k, v in run.items() if k not in ("base", "edit", "request")} | {"state": "final"})


def read_run(folder: Path) -> dict[str, Any]:
    """What run.json says; a folder without one is no result of a forgetting."""
    try:
        run: dict[str, Any] = json.loads((folder / "run.json").read_text(encoding="utf-8"))
        if not isinstance(run, dict) or run.get("state") not in STATES:
            raise ValueError
    except (OSError, ValueError, RecursionError) as missing:
        raise InputError(
            f"{folder}: no readable run.json; name the folder given to `unteach forget --out`"
        ) from missing
    return run


def _unsealed(folder: Path) -> tuple[dict[str, Any], dict[str, Tensor]]:
    try:
        key = (folder / "private" / "key").read_bytes()
        return seal.unseal(folder / "private" / "sealed", key)
    except OSError as gone:
        raise InputError(
            f"{folder}: its private part is gone (finalised, or moved); undo is no longer possible"
        ) from gone


def note(folder: Path, run: Mapping[str, Any]) -> None:
    """Write run.json."""
    write(folder / ".run.json", json.dumps(run, indent=2))
    (folder / ".run.json").replace(folder / "run.json")
    sync(folder)
