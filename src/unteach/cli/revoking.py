"""The command that takes a certificate back; it needs no model and no trainer."""

import os
from datetime import UTC, datetime
from hashlib import sha256
from pathlib import Path
from typing import Annotated

import typer

from unteach.cli.app import app, out
from unteach.registry import command
from unteach.report.atomic import put
from unteach.schema import InputError
from unteach.service import keys, ledger, revocation
from unteach.service.verify import certificate as signed

PASSPHRASE = "UNTEACH_PASSPHRASE"


@app.command("revoke")
@command("revoke", tested_by="test_a_revoked_certificate_no_longer_verifies")
def revoke(
    certificate: Annotated[Path, typer.Argument(help="the deletion certificate that no longer holds")],
    reason: Annotated[str, typer.Option(help="mistaken, returned, untrusted or key")],
    key: Annotated[Path, typer.Option(help="the private key that signed it; a passphrase in $UNTEACH_PASSPHRASE")],
    listed: Annotated[Path, typer.Option("--list", help="the signed list; it is made, or gets one line more")],
    log: Annotated[Path | None, typer.Option(metavar="STORE", help="also note it in the ledger of this store")] = None,
) -> None:
    """Take a deletion certificate back: put it on a signed list, for `unteach verify --revocations`.

    Publish the list where the certificates are published. mistaken: it says what is not so. returned: the records came back.
    untrusted: how it was made is no longer vouched for. key: somebody else may have signed with the key.
    """
    issuer = keys.load(key, os.environ.get(PASSPHRASE, "").encode() or None)
    trust = {keys.key_id(issuer.public_key()): issuer.public_key()}
    data = _content(certificate)
    earlier = revocation.read(listed.read_bytes(), trust, listed.name) if listed.exists() else None
    ts = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    said, name = signed(data, trust, certificate.name), sha256(data).hexdigest()
    found = revocation.revoke(said, name, reason, ts, issuer, earlier)
    if log is not None:
        with ledger.writing(log) as connection:
            ledger.append(connection, revocation.EVENT, name, {"reason": reason}, ts, "issuer")
            put(listed, revocation.sign(found, issuer))
    else:
        put(listed, revocation.sign(found, issuer))
    out.print(f"revoked: {said.predicate.id}; {listed} now holds {len(found.revoked)}, publish it", markup=False)


def _content(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as refused:
        raise InputError(f"{path}: cannot be read ({refused.strerror}); name a certificate") from None
