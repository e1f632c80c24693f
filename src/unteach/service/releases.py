"""What may be served: a merge of stages, as a blob and as an edit, and a pointer that is swapped in one step."""

import json
import shutil
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from torch import Tensor

from unteach.edit.edit import Edit
from unteach.edit.store import save
from unteach.methods.exact.guarantees import influence_free, retrain_equal
from unteach.methods.exact.shards import merge
from unteach.methods.exact.shards.nodes import Node
from unteach.methods.exact.shards.stage import WEIGHT, LMTrainer
from unteach.report.atomic import folder, put
from unteach.schema import Guarantee
from unteach.service.store import Store, now

CLAIMS: Mapping[str, Guarantee] = {
    "retrain-equal": retrain_equal("the merge of all shards"),
    "influence-free": influence_free("the merge of the stages that are served"),
}


def release(store: Store, trainer: LMTrainer, nodes: Sequence[Node], level: str, root: str, request: str) -> str:
    """Publish the merge of these stages (of the base alone where there are none) and return the hash of the blob.

    The blob is there before the folder, the folder before the pointer; a release of the same blob and level that is
    served already is left as it is.
    """
    parts = [_weights(store.get(n.id) or {}) for n in nodes] or [_weights(trainer.train(None, ()))]
    blob = store.blobs.put(merge.mean(merge.total(parts), len(parts)))
    edit = edit_of(store, trainer, blob, level)
    publish(store, blob, level, [n.id for n in nodes], root, request, lambda place: save(edit, place))
    return blob


def publish(
    store: Store, blob: str, level: str, made_of: Sequence[str], root: str, request: str, write: Callable[[Path], None]
) -> None:  # fmt: skip
    """Let a blob be served; `write` puts it into the folder of the release."""
    served = store.db.execute("SELECT number, blob, level FROM releases WHERE retired IS NULL").fetchall()
    if [s[1:] for s in served] == [(blob, level)] and _points_to(store, served[0][0]):
        return
    number = 1 + (store.db.execute("SELECT MAX(number) FROM releases").fetchone()[0] or 0)
    place = folder(store.place / "releases") / f"{number:06d}"
    shutil.rmtree(place, ignore_errors=True)
    write(place)
    body = {"blob": blob, "level": level, "request": request, "stages": len(made_of)}
    with store.change("released", f"release-{number}", body) as db:
        db.execute("UPDATE releases SET retired = ? WHERE retired IS NULL", (now(),))
        row = (number, level, blob, json.dumps(list(made_of)), root, now(), None)
        db.execute("INSERT INTO releases VALUES (?, ?, ?, ?, ?, ?, ?)", row)
    point(store)


def edit_of(store: Store, trainer: LMTrainer, blob: str, level: str) -> Edit:
    """The edit that a released blob is."""
    values = store.blobs.get(blob) or {}
    edit = Edit(trainer.lm.digest(), trainer.patches(values), made_by="mergeshards", guarantee=CLAIMS[level])
    return edit if store.settings.weight == 1 else edit.scaled(store.settings.weight)


def point(store: Store) -> None:
    """Let `current` name the newest release; the database knows which that is, so a kill in between is mended."""
    number = store.db.execute("SELECT MAX(number) FROM releases").fetchone()[0]
    if number is not None and not _points_to(store, number):
        put(store.place / "current", f"{number:06d}\n".encode())


def _points_to(store: Store, number: int) -> bool:
    file = store.place / "current"
    return file.is_file() and file.read_text(encoding="utf-8").strip() == f"{number:06d}"


def _weights(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    return {n: t for n, t in tensors.items() if n.startswith(WEIGHT)}
