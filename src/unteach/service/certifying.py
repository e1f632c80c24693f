"""The certificate of a deletion, from what the store knows of it."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import partial
from hashlib import sha256
from pathlib import Path
from typing import Any

from unteach.lm.fingerprint import fingerprint
from unteach.machine import installed
from unteach.report.atomic import folder, put
from unteach.schema import Guarantee
from unteach.service import keys, ledger
from unteach.service.auditing import released, report_of
from unteach.service.deletion import Desk
from unteach.service.evidence import evidence
from unteach.service.lineage import Policy
from unteach.service.predicate import Asked, Deletion, Disposal, Entry, Issuer, Method, Roots, Stage, Superseded
from unteach.service.releases import CLAIMS
from unteach.service.requests import notes_of, reach, rids_of, state_of
from unteach.service.statement import sign, statement
from unteach.service.store import Store, now

UNATTACKED = ("No attack was made on the release for this certificate.",)
NOT_TESTED = ("Whether copies of the rows lie outside the store, in backups or with others.",)
UNSOUGHT: Mapping[Policy, str] = {  # what the policy of a request did not look for
    "record": "Other rows that say the same: none were looked for, and only the rows that were named went.",
    "exact": "Rows that say nearly the same, or the same in other words: copies alike but for case and spaces were looked for.",
    "near": "Rows that say the same in other words: copies that share most of their word triples were looked for.",
}
UNSAID = "Rows that were made of those that went and do not say so; what says so went with them."


def certify(desk: Desk, request: str, elsewhere: Path | None = None) -> Path:
    """Write and sign the certificate of a request whose rows are gone, and checkpoint the ledger, `elsewhere` too."""
    notes = notes_of(desk.store, request)
    numbers = {"trained": float(notes["trained"]), **counted(desk.store, request)}
    promise = replace(CLAIMS["retrain-equal"], numbers=numbers)
    return issue(desk.store, request, "merged-adapter", promise, partial(_deletion, desk, request, notes), elsewhere)


def counted(store: Store, request: str) -> Mapping[str, float]:
    """How many rows went, and for what."""
    notes = notes_of(store, request)
    return {k: float(notes[k]) for k in ("duplicates", "derived")} | {"records": float(len(rids_of(store, request)))}


def issue(
    store: Store, request: str, served: str, promise: Guarantee, done: Callable[[], Deletion], elsewhere: Path | None
) -> Path:
    """Sign what was done and promised of the artefact that a request led to; one that was issued stays."""
    place = folder(store.place / "certificates") / f"{request}.json"
    if state_of(store, request) == "certified" and place.is_file():
        return place
    key = issuer(store)
    about = Issuer("the operator of this store", keys.key_id(key.public_key()))
    blob = notes_of(store, request)["blob"]
    said = statement({served: blob}, promise, done(), about, id=f"C{request[1:]}", issued_at=now())
    put(place, sign(said, key))
    if state_of(store, request) != "certified":
        reach(store, request, "certified", {"certificate": sha256(place.read_bytes()).hexdigest()})
    for checkpoints in (store.place / "checkpoints", elsewhere):
        if checkpoints is not None:
            ledger.checkpoint(store.db, folder(checkpoints), key, now())
    return place


def issuer(store: Store) -> Any:
    """The store's signing key, made where it was missing; its public half lies beside it."""
    file = folder(store.place / "issuer") / "key.pem"
    return keys.load(file) if file.is_file() else keys.new(file)


def _deletion(desk: Desk, request: str, notes: Mapping[str, Any]) -> Deletion:
    store = desk.store
    build = {n.id: n for chain in desk.build(store.alive()).values() for n in chain}
    gone = tuple(Stage(n, blob, None) for n, blob in sorted(notes["made"].items()))
    stages = (*gone, *(Stage(n, None, store.blob_of(n)) for n in sorted(build)))
    file = report_of(store, request)
    audit = evidence(file.read_bytes(), released(desk, request).worn_digest) if file.is_file() else None
    untested = UNATTACKED if audit is None or not audit.attacks else ()
    found = done(store, request, "mergeshards", plan=f"{store.plan.shards}x{store.plan.slices}", untested=untested)
    return replace(found, stages=stages, fingerprint=fingerprint(desk.lm.device), audit=audit)


def done(
    store: Store, request: str, method: str, *, plan: str | None = None, untested: Sequence[str] = UNATTACKED
) -> Deletion:
    """What was done about a request, as far as every store knows it."""
    notes = notes_of(store, request)
    received, policy = store.db.execute("SELECT received, policy FROM requests WHERE id = ?", (request,)).fetchone()
    last = store.db.execute("SELECT seq, hash FROM events WHERE object = ? ORDER BY seq DESC LIMIT 1", (request,))
    settings = sha256(repr(store.settings).encode()).hexdigest()
    return Deletion(
        Asked(request, "records", tuple(sorted(rids_of(store, request))), received, notes["swapped"]),
        Method(method, installed("unteach") or "0", settings, plan=plan),
        Entry(*last.fetchone()),
        data=Roots(notes["root"], notes["root_after"]),
        superseded=tuple(Superseded(f"artefact-{b[:12]}", b, "destroyed") for b in notes["destroyed"]),
        disposal=Disposal(notes["key_destroyed"]),
        not_tested=(UNSOUGHT[policy], *((UNSAID,) if policy != "record" else ()), *untested, *NOT_TESTED),
    )
