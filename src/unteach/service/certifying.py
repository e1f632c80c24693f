"""The certificate of a deletion, from what the store knows of it."""

from collections.abc import Mapping
from dataclasses import replace
from hashlib import sha256
from pathlib import Path
from typing import Any

from unteach.lm.fingerprint import fingerprint
from unteach.machine import installed
from unteach.report.atomic import folder, put
from unteach.service import keys, ledger
from unteach.service.deletion import Desk
from unteach.service.predicate import Asked, Deletion, Disposal, Entry, Issuer, Method, Roots, Stage, Superseded
from unteach.service.releases import CLAIMS
from unteach.service.requests import Policy, notes_of, reach, rids_of, state_of
from unteach.service.statement import sign, statement
from unteach.service.store import Store, now

NOT_TESTED = (
    "No attack was made on the release for this certificate; audit it with `unteach audit`.",
    "Whether copies of the rows lie outside the store, in backups or with others.",
)
UNSOUGHT: Mapping[Policy, str] = {  # what the policy of a request did not look for
    "record": "Other rows that say the same: none were looked for, and only the rows that were named went.",
    "exact": "Rows that say nearly the same, or the same in other words: copies alike but for case and spaces were looked for.",
    "near": "Rows that say the same in other words: copies that share most of their word triples were looked for.",
}


def certify(desk: Desk, request: str, elsewhere: Path | None = None) -> Path:
    """Write and sign the certificate of a request whose rows are gone, and checkpoint the ledger, `elsewhere` too."""
    store = desk.store
    place = folder(store.place / "certificates") / f"{request}.json"
    if state_of(store, request) == "certified" and place.is_file():
        return place
    key = issuer(store)
    about = Issuer("the operator of this store", keys.key_id(key.public_key()))
    notes = notes_of(store, request)
    numbers = {k: float(notes[k]) for k in ("duplicates", "trained")} | {"records": float(len(rids_of(store, request)))}
    said = statement(
        {"merged-adapter": notes["blob"]}, replace(CLAIMS["retrain-equal"], numbers=numbers), _deletion(desk, request, notes), about,
        id=f"C{request[1:]}", issued_at=now(),
    )  # fmt: skip
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
    received, policy = store.db.execute("SELECT received, policy FROM requests WHERE id = ?", (request,)).fetchone()
    asked = Asked(request, "records", tuple(sorted(rids_of(store, request))), received, notes["swapped"])
    settings = sha256(repr(store.settings).encode()).hexdigest()
    build = {n.id: n for chain in desk.build(store.alive()).values() for n in chain}
    gone = tuple(Stage(n, blob, None) for n, blob in sorted(notes["made"].items()))
    stages = (*gone, *(Stage(n, None, store.blob_of(n)) for n in sorted(build)))
    last = store.db.execute("SELECT seq, hash FROM events WHERE object = ? ORDER BY seq DESC LIMIT 1", (request,))
    return Deletion(
        asked,
        Method("mergeshards", installed("unteach") or "0", settings, plan=f"{store.plan.shards}x{store.plan.slices}"),
        Entry(*last.fetchone()),
        data=Roots(notes["root"], notes["root_after"]),
        stages=stages,
        fingerprint=fingerprint(desk.lm.device),
        superseded=tuple(Superseded(f"artefact-{b[:12]}", b, "destroyed") for b in notes["destroyed"]),
        disposal=Disposal(notes["key_destroyed"]),
        not_tested=(UNSOUGHT[policy], *NOT_TESTED),
    )
