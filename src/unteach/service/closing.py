"""Which rows a request is about: those that were named, and those that go with them."""

from collections.abc import Mapping
from typing import Any

from unteach.schema import InputError, Record
from unteach.service.lineage import closure, made_of, policy
from unteach.service.requests import reach, rids_of
from unteach.service.store import Store


def gone(store: Store, request: str) -> tuple[tuple[Record, ...], list[Record]]:
    """All records, those of the request among them, and those alone; what was fenced is still sealed."""
    rids = set(rids_of(store, request))
    owners = set(store.owners(rids).values())
    alive = {store.rid(r.id): r for r in store.alive()}
    held = [o for o in owners if store.vault.holds(o)]  # a killed shredding may have destroyed some
    mine = {k: r for o in held for r in store.vault.get(o) if (k := store.rid(r.id)) in rids}
    return tuple(sorted((alive | mine).values(), key=lambda r: r.id)), list(mine.values())


def close(store: Store, request: str) -> Mapping[str, Any]:
    """Find what goes with the rows of a request; one that would leave nothing is refused."""
    how = store.db.execute("SELECT policy FROM requests WHERE id = ?", (request,)).fetchone()[0]
    records, going = gone(store, request)
    twins = closure(records, going, policy(how))
    if len(going) + len(twins) == len(records):
        reach(store, request, "refused", {"duplicates": len(twins)})
        raise InputError(f"request {request} is refused: nothing would be left of the data; retire the store instead")
    every = {r.id for r in (*going, *twins)}
    derived = sum(made_of(r, every) for r in twins)
    return {"rids": sorted(map(store.rid, every)), "duplicates": len(twins) - derived, "derived": derived}
