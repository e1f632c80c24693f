"""One edit taken out of a release that later edits were made on, where that is exact.

A weight of floating-point numbers that two edits changed cannot be brought to what it would be with the second alone:
subtracting is not the inverse of adding, and the second was sought where the first was. Edits of different weights commute
bit for bit, so that the tensors from before the first can be put back under the second.
"""

from pathlib import Path

import torch
from torch import Tensor

from unteach.edit import release as shelf
from unteach.lm.load import load
from unteach.schema import InputError


def take_out(folder: Path, earlier: Path) -> str:
    """Put back into `folder`'s release what the edit in `earlier` changed; returns the digest of what is left.

    Refused where a later edit wrote into the same weights, and where the release does not hold that edit as it was made.
    """
    run, first = shelf.read_run(folder), shelf.read_run(earlier)
    if folder.resolve() == earlier.resolve():
        return shelf.undo(folder)
    for place, told in ((folder, run), (earlier, first)):
        if told["state"] == "undone" or told["form"] != "baked":
            why = "it was undone before" if told["state"] == "undone" else f"its release is an {told['form']}"
            raise InputError(f"{place}: {why}; an edit is taken out of one whole released model by another")
    originals, model = shelf.originals_of(earlier), folder / "release"
    found, left = (load(place, dtype="auto") for place in (model, earlier / "release"))
    for place, told, lm in ((folder, run, found), (earlier, first, left)):
        if lm.digest() != told["release"]:
            raise InputError(f"{place / 'release'}: changed since it was written; nothing can be taken out exactly")
    shared = [n for n in originals if not torch.equal(found.parameters()[n], left.parameters()[n])]
    if shared:
        raise InputError(
            f"{folder}: later edits wrote into {len(shared)} of {len(originals)} weights that {earlier} changed, and a "
            "sum of floating-point numbers cannot be taken apart exactly; undo the later edits first, the last one first"
        )
    return _put_back(folder, originals, model)


def _put_back(folder: Path, originals: dict[str, Tensor], model: Path) -> str:
    digest = shelf.restore(model, originals)
    shelf.note(folder, {**shelf.read_run(folder), "release": digest, "taken_out": True})
    return digest
