"""A store of a head on frozen features: what the learner knows is sealed, and a deletion seals what it knows then.

Nothing of the base model is trained, and a deletion does not open it. The features of a row are worked out by themselves,
so that no other row has a part in them. The state lies under a key of its own, with the promises of the deletions that
made it; a new one is there before the old key is destroyed.
"""

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, replace
from functools import partial
from inspect import signature
from pathlib import Path
from time import perf_counter
from typing import Any

import numpy as np
from safetensors.torch import load_file

from unteach.lm.heads import Table, features
from unteach.lm.model import LM
from unteach.methods.exact.shards.nodes import merkle
from unteach.methods.exact.shards.shardplan import digest_of
from unteach.registry import build, entry, find
from unteach.report.atomic import folder, put
from unteach.schema import Guarantee, InputError, Record
from unteach.service.blobs import content_of
from unteach.service.certifying import counted, done, issue
from unteach.service.closing import close, gone
from unteach.service.releases import point, publish
from unteach.service.requests import State, Steps, rids_of, walk
from unteach.service.shredding import shred
from unteach.service.states import packed, types_of, unpacked
from unteach.service.store import Store, check_base, now

STATE = "state"  # its name in the vault
UNTESTED = ("What the head still says of the rows was not measured for this certificate.",)


def learns_heads(name: str, options: Mapping[str, Any]) -> Any:
    """A learner by its name, if it learns from rows of features."""
    entry("learner", name)
    if signature(find("learner", name).fit).parameters["data"].annotation is not Table:
        raise InputError(f"{name} does not learn a head from labelled rows; leave --learner out, or use it from Python")
    return build("learner", name, options)


def learned(name: str, options: Mapping[str, Any], lm: LM, records: Sequence[Record]) -> Any:
    """What a learner knows after these records; none of it is written."""
    return learns_heads(name, options).fit(_table(lm, records))


def fit(store: Store, lm: LM, state: Any = None) -> None:
    """Learn the head of a store, where its `state` is not given, and release it; one that was learned stays."""
    check_base(store, lm)
    if not store.vault.holds(STATE):
        about = store.settings
        _keep(store, state if state is not None else learned(about.learner, about.options, lm, store.alive()), {})
    if store.db.execute("SELECT 1 FROM releases").fetchone() is None:
        _release(store, "training")


def advance(store: Store, request: str, *, until: State = "shredded", say: Callable[[str], None]) -> None:
    """Bring a request to a state, from whichever it is in."""
    steps: Steps = {
        "closed": partial(close, store), "planned": partial(_plan, store), "fenced": lambda _: {},
        "swapped": partial(_swap, store), "verified": lambda _: {}, "released": partial(_done, store),
        "shredded": partial(_shred, store),
    }  # fmt: skip
    point(store)
    walk(store, request, steps, until, say)


def certify(store: Store, request: str, elsewhere: Path | None = None) -> Path:
    """The certificate of a deletion, in the class that the learner promised when it made the state that is served."""
    promise = promised(store, request)
    numbered = replace(promise, numbers={**promise.numbers, **counted(store, request)})
    what = partial(done, store, request, store.settings.learner, untested=UNTESTED)
    return issue(store, request, "head", numbered, what, elsewhere)


def promised(store: Store, request: str) -> Guarantee:
    """What the learner promised of a deletion; it lies sealed beside the state that the deletion made."""
    return Guarantee(**store.vault.kept(STATE)[0]["promises"][request])


def served(place: Path) -> Any:
    """The head in the folder of a release."""
    said = json.loads((place / "head.json").read_text(encoding="utf-8"))
    tensors = load_file(place / "head.safetensors")
    return unpacked(said["form"], tensors, types_of(find("learner", said["learner"])))


def _learner(store: Store) -> Any:
    return build("learner", store.settings.learner, store.settings.options)


def _table(lm: LM, records: Sequence[Record]) -> Table:
    """One pass a row: in a batch the length of one row can move the last bits of another."""
    rows = [features(lm, [r]) for r in records]
    return Table(tuple(r.id for r in records), np.concatenate([r.x for r in rows]), np.concatenate([r.y for r in rows]))


def _keep(store: Store, state: Any, promises: Mapping[str, Any]) -> None:
    form, tensors = packed(state)
    store.vault.keep(STATE, {"form": form, "promises": dict(promises)}, tensors)


def _kept(store: Store) -> tuple[Any, dict[str, Any]]:
    """The state, and the promises of the deletions that made it, by request."""
    header, tensors = store.vault.kept(STATE)
    return unpacked(header["form"], tensors, types_of(type(_learner(store)))), header["promises"]


def _release(store: Store, request: str) -> str:
    state, promises = _kept(store)
    form, tensors = packed(_learner(store).release(state))
    blob = store.blobs.put(tensors)

    def write(place: Path) -> None:
        put(folder(place) / "head.safetensors", content_of(tensors))
        put(place / "head.json", json.dumps({"learner": store.settings.learner, "form": form}, indent=1).encode())

    level = promises[request]["kind"] if request in promises else "fitted"
    publish(store, blob, level, [], _root(store.alive(), store), request, write)
    return blob


def _root(records: Sequence[Record], store: Store) -> str:
    return merkle(digest_of(r, store.plan.key) for r in records)


def _plan(store: Store, request: str) -> Mapping[str, Any]:
    return {"root": _root(gone(store, request)[0], store)}


def _swap(store: Store, request: str) -> Mapping[str, Any]:
    """Take the rows out of what the learner knows, unless that was done, and serve what is released then."""
    began = perf_counter()
    state, promises = _kept(store)
    if request not in promises:
        left, promise = _learner(store).delete(state, [r.id for r in gone(store, request)[1]])
        _keep(store, left, {**promises, request: asdict(promise)})
    blob = _release(store, request)
    return {"swapped": now(), "served": blob, "took": round(perf_counter() - began, 3)}


def _done(store: Store, _request: str) -> Mapping[str, Any]:
    (blob,) = store.db.execute("SELECT blob FROM releases WHERE retired IS NULL").fetchone()
    return {"blob": blob, "root_after": _root(store.alive(), store)}


def _shred(store: Store, request: str) -> Mapping[str, Any]:
    return shred(store, set(rids_of(store, request)), ())
