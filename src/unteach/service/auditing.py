"""An audit of the release that a request led to, while the rows of the request can still be read.

The model before is the release that they fed. The rows that go are asked, and some of those that stay; rows never seen
have to be given. The report lies in the store and holds no text, so a certificate can be drawn from it after the rows are gone.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import partial
from hashlib import sha256
from pathlib import Path

from unteach.audit.audit import audit
from unteach.audit.models import Worn
from unteach.audit.suite import DEFAULT, Suite
from unteach.edit.edit import Edit
from unteach.report import to_json, write
from unteach.report.atomic import folder, put
from unteach.schema import InputError, Record
from unteach.service.closing import gone
from unteach.service.deletion import Desk
from unteach.service.releases import CLAIMS, edit_of
from unteach.service.requests import ORDER, notes_of, state_of
from unteach.service.store import Store, now
from unteach.sets import drawn

ASKED = 400  # rows of each set


def report_of(store: Store, request: str) -> Path:
    """Where the report of a request lies, if its release was audited."""
    return store.place / "audits" / f"{request}.json"


def auditable(store: Store, request: str) -> None:
    """Refuse a request whose rows are destroyed, so that nobody can ask about them."""
    if ORDER.index(state_of(store, request)) > ORDER.index("released") and not report_of(store, request).is_file():
        raise InputError(f"the rows of {request} are destroyed, so its audit has nothing to ask; leave --audit out")


def audited(desk: Desk, request: str, out: Path, unseen: Sequence[Record] = (), suite: Suite = DEFAULT) -> Path:
    """Ask the release of a request, and the one before; the report, also at `out`. One that was made is kept."""
    store, made = desk.store, report_of(desk.store, request)
    if not made.is_file():
        _, going = gone(store, request)
        sets = {"forget": going, "retain": store.alive(), "holdout": unseen}
        asked = {name: drawn(name, records, ASKED) for name, records in sets.items() if records}
        models: Mapping[str, Worn] = {
            "original": _before(desk, request),
            "edited": partial(released(desk, request).on, desk.lm),
        }
        found = audit(
            models, asked, roles={name: name for name in asked}, suite=suite, guarantee=CLAIMS["retrain-equal"],
            title=f"Deletion {request}", progress=lambda model: desk.say(f"{request}: asking the {model}"),
        )  # fmt: skip
        found = replace(found, created=now(), request={"id": request})
        write(found, folder(out) / request)
        content = to_json(found).encode()
        with store.change("audited", request, {"report": sha256(content).hexdigest()}):
            pass  # the line first: a kill here leaves one too many, and never a report that no line tells of
        put(folder(made.parent) / made.name, content)
    return out / request / "report.html"


def released(desk: Desk, request: str) -> Edit:
    """The edit that a request led to."""
    return edit_of(desk.store, desk.trainer, notes_of(desk.store, request)["blob"], "retrain-equal")


def _before(desk: Desk, request: str) -> Worn:
    """The newest release that the rows of a request fed; the base where none is left."""
    touched = set(notes_of(desk.store, request)["touched"])
    for blob, level, nodes in desk.store.db.execute("SELECT blob, level, nodes FROM releases ORDER BY number DESC"):
        if touched & set(json.loads(nodes)) and desk.store.blobs.whole(blob):
            return partial(edit_of(desk.store, desk.trainer, blob, level).on, desk.lm)
    return desk.lm
