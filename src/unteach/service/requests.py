"""The requests of a store: what was asked, where each stands, and what was found on its way."""

import json
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Literal

from unteach.schema import InputError
from unteach.service.lineage import Policy, meant
from unteach.service.store import Store, now

State = Literal[
    "received", "closed", "planned", "fenced", "swapped", "verified", "released", "shredded", "certified", "refused"
]
ORDER: tuple[State, ...] = (
    "received", "closed", "planned", "fenced", "swapped", "verified", "released", "shredded", "certified",
)  # fmt: skip

Steps = Mapping[State, Callable[[str], Mapping[str, Any]]]  # what is done to reach a state; what was found on the way


def receive(store: Store, ids: Sequence[str], policy: Policy = "exact") -> str:
    """Take in a request for these records, and return its number; unknown ids are refused, and how many there are."""
    rids = [store.rid(r.id) for r in meant(store.alive(), ids)]
    (count,) = store.db.execute("SELECT COUNT(*) FROM requests").fetchone()
    request = f"R{count + 1:06d}"
    row = (request, "received", policy, now(), json.dumps(sorted(rids)), "{}")
    with store.change("received", request, {"records": len(rids), "policy": policy}) as db:
        db.execute("INSERT INTO requests VALUES (?, ?, ?, ?, ?, ?)", row)
    return request


def subject_ids(store: Store, subject: str) -> list[str]:
    """The ids of everything that belongs to a subject."""
    found = [r.id for r in store.alive() if r.subject == subject]
    if not found:
        raise InputError("no record of the store bears this subject; look with `unteach plan`, or name ids")
    return found


def open_requests(store: Store) -> list[str]:
    """Requests that are not at their end, the oldest first."""
    rows = store.db.execute("SELECT id FROM requests WHERE state NOT IN ('certified', 'refused') ORDER BY received, id")
    return [r[0] for r in rows]


def state_of(store: Store, request: str) -> State:
    """Where a request stands."""
    row = store.db.execute("SELECT state FROM requests WHERE id = ?", (request,)).fetchone()
    if row is None:
        raise InputError(f"there is no request {request} in this store; `unteach delete` names those that are open")
    found: State = row[0]
    return found


def reach(store: Store, request: str, state: State, body: Mapping[str, Any]) -> None:
    """The next state with what was found on the way, in one transaction with its line."""
    notes = notes_of(store, request) | dict(body)
    rids = notes.pop("rids", None)
    with store.change(state, request, {k: v for k, v in body.items() if k != "rids"}) as db:
        db.execute("UPDATE requests SET state = ?, notes = ? WHERE id = ?", (state, json.dumps(notes), request))
        if rids is not None:
            db.execute("UPDATE requests SET rids = ? WHERE id = ?", (json.dumps(rids), request))
        if state == "fenced":
            db.executemany("UPDATE records SET alive = 0 WHERE rid = ?", [(r,) for r in rids_of(store, request)])


def walk(store: Store, request: str, steps: Steps, until: State, say: Callable[[str], None]) -> None:
    """Bring a request to a state, from whichever it is in; a step may be done twice, and its state is reached once."""
    while ORDER.index(state_of(store, request)) < ORDER.index(until):
        wanted = ORDER[ORDER.index(state_of(store, request)) + 1]
        say(f"{request}: {wanted}")
        reach(store, request, wanted, steps[wanted](request))


def notes_of(store: Store, request: str) -> dict[str, Any]:
    """What was found on a request's way so far."""
    found: dict[str, Any] = json.loads(
        store.db.execute("SELECT notes FROM requests WHERE id = ?", (request,)).fetchone()[0]
    )
    return found


def rids_of(store: Store, request: str) -> list[str]:
    """What stands for the records of a request."""
    found: list[str] = json.loads(store.db.execute("SELECT rids FROM requests WHERE id = ?", (request,)).fetchone()[0])
    return found
