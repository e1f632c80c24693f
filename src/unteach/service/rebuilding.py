"""Stages trained again, to see whether they are what was signed: from their parents, or the whole shard from its start."""

from collections.abc import Mapping, Sequence
from hashlib import sha256
from pathlib import Path

from torch import Tensor

from unteach.lm.fingerprint import check_same, fingerprint
from unteach.lm.load import load
from unteach.methods.exact.shards.nodes import Node, grown, parted
from unteach.schema import InputError
from unteach.service.blobs import content_of
from unteach.service.deletion import Desk
from unteach.service.predicate import Statement
from unteach.service.store import opened


def rebuild(said: Statement, place: Path, stages: Sequence[str], *, clean: bool) -> Mapping[str, str]:
    """The SHA-256 of what each of these stages makes when it is trained again, on a machine like the one of the record.

    With `clean` every shard is trained from the base on, and nothing that lies in the store is used; else a stage goes on
    from the one before it as it lies there.
    """
    with opened(place) as store:
        lm = load(store.settings.base, device=store.settings.device)
        check_same(fingerprint(lm.device), dict(said.predicate.deletion.fingerprint))
        desk = Desk(store, lm)
        records = store.alive()
        build = desk.build(records)
        known = {n.id: n for chain in build.values() for n in chain}
        if strange := len(set(stages) - set(known)):
            raise InputError(f"{strange} stages are not of the store as it stands; a later deletion replaced them")
        parts = parted(store.plan, records)
        made: dict[str, Mapping[str, Tensor]] = {}

        def again(node: Node) -> Mapping[str, Tensor]:
            if node.id not in made:
                parent = known.get(node.parent)
                before = None if parent is None else again(parent) if clean else store.get(parent.id)
                mine = parts.get(node.shard, ())
                made.update((n.id, t) for n, t in grown([node], before, store.plan, desk.trainer, mine))
            return made[node.id]

        return {s: sha256(content_of(again(known[s]))).hexdigest() for s in stages}
