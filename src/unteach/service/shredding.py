"""Destroying what deleted rows fed: stages, merges of them, and the rows themselves. All of it can be done twice."""

from collections.abc import Collection, Mapping
from typing import Any

from unteach.edit.seal import destroy
from unteach.service.store import Store, now


def shred(store: Store, rids: Collection[str], touched: Collection[str]) -> Mapping[str, Any]:
    """Destroy the stages `touched`, every release that is no longer served, and the sealed rows; say how much that was."""
    blobs = _releases(store)
    rows = store.db.execute("SELECT id, blob FROM nodes").fetchall()
    blobs |= {blob for node, blob in rows if node in touched}
    needed = {blob for node, blob in rows if node not in touched}
    needed |= {b for (b,) in store.db.execute("SELECT blob FROM releases WHERE retired IS NULL")}
    gone = sorted(blobs - needed)
    for blob in gone:
        store.blobs.destroy(blob)
    store.db.executemany("DELETE FROM nodes WHERE id = ?", [(n,) for n in touched])
    subjects = _rows(store, rids)
    return {"destroyed": gone, "keys": subjects, "key_destroyed": now()}


def _releases(store: Store) -> set[str]:
    """The blobs of all releases that are no longer served; their folders are destroyed."""
    found = set()
    for number, blob in store.db.execute("SELECT number, blob FROM releases WHERE retired IS NOT NULL").fetchall():
        found.add(blob)
        place = store.place / "releases" / f"{number:06d}"
        for file in sorted(place.iterdir()) if place.is_dir() else ():
            destroy(file)
        if place.is_dir():
            place.rmdir()
    return found


def _rows(store: Store, rids: Collection[str]) -> int:
    """Seal again what is left of each subject, under a new key, or destroy all of it; the number of keys that went."""
    owners = sorted(set(store.owners(rids).values()))
    for owner in owners:
        if not store.vault.holds(owner):
            continue
        mine = store.vault.get(owner)
        left = [r for r in mine if store.rid(r.id) not in rids]
        if not left:
            store.vault.shred(owner)
        elif len(left) < len(mine):
            store.vault.put(owner, left)
    return len(owners)
