"""The command that checks certificates and ledgers; it needs no model, no trainer and no network."""

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict
from hashlib import sha256
from pathlib import Path
from typing import Annotated

import typer

from unteach.cli.app import app, out
from unteach.data.rows import printable
from unteach.registry import command
from unteach.schema import InputError
from unteach.service import signing
from unteach.service.canonical import Rejected
from unteach.service.keys import trusted
from unteach.service.predicate import Statement
from unteach.service.statement import written
from unteach.service.told import lines
from unteach.service.verify import BLOBS, Check, artefacts, chain, entry, rebuilt, reported, unrevoked
from unteach.service.verify import certificate as signed


@app.command("verify")
@command("verify", tested_by="test_a_certificate_is_verified_and_an_altered_one_refused")
def verify(
    certificate: Annotated[Path | None, typer.Argument(help="a deletion certificate")] = None,
    key: Annotated[Path | None, typer.Option(help="the issuer's public key (PEM), or a trust file")] = None,
    store: Annotated[Path | None, typer.Option(help="also look for what the certificate names in this store")] = None,
    log: Annotated[Path | None, typer.Option(metavar="STORE", help="check the ledger of a store")] = None,
    checkpoints: Annotated[Path | None, typer.Option(help="folder of signed checkpoints of that ledger")] = None,
    report: Annotated[Path | None, typer.Option(help="the report.json that the certificate's scores are from")] = None,
    revocations: Annotated[Path | None, typer.Option(help="its issuer's signed list of revocations")] = None,
    folder: Annotated[
        Path | None, typer.Option(help="check the model.sig in this folder, with its owner's key")
    ] = None,
    spot: Annotated[bool, typer.Option("--spot", help="with --store: train one stage again and compare")] = False,
    rebuild: Annotated[
        bool, typer.Option("--rebuild", help="with --store: train every stage again and compare")
    ] = False,
    as_json: Annotated[bool, typer.Option("--json", help="as JSON")] = False,
) -> None:
    """Check a deletion certificate, with --log the ledger of a store, or with --folder a folder that was signed.

    Exit code 0: everything holds. 1: something does not, and must not be trusted. 2: something you gave cannot be used.
    """
    its = {"--store": store, "--report": report, "--revocations": revocations}
    _complete(certificate, key, log, checkpoints, folder, its)
    said: Statement | None = None
    checks: list[Check] = []
    if certificate is not None and key is not None:
        data = _content(certificate, "a certificate")
        said, first = _signature(data, key, certificate.name)
        checks.append(first)
        if said is not None:
            checks += _beside(said, sha256(data).hexdigest(), key, revocations, store, report)
        if said is not None and (spot or rebuild):
            checks.append(_again(said, store, spot=spot))
    if log is not None:
        checks.append(chain(log, checkpoints, trusted(key, "log") if key is not None else None))
    if folder is not None and key is not None:
        checks.append(signing.signed(folder, key))
    _say(said, checks, as_json=as_json)
    if not all(c.passed for c in checks):
        raise typer.Exit(1)


def _complete(
    certificate: Path | None,
    key: Path | None,
    log: Path | None,
    checkpoints: Path | None,
    folder: Path | None,
    its: Mapping[str, Path | None],
) -> None:
    """Refuse what does not go together."""
    if certificate is None and log is None and folder is None:
        raise InputError(
            "there is nothing to verify; name a certificate, a store with --log, or a folder with --folder"
        )
    if folder is not None and (certificate is not None or log is not None):
        raise InputError("a folder is signed with a key of another kind; check it by itself")
    if key is None and (certificate is not None or checkpoints is not None or folder is not None):
        raise InputError("a signature is checked with a key; give the issuer's public key with --key")
    if checkpoints is not None and log is None:
        raise InputError("checkpoints belong to a ledger; name its store with --log")
    if certificate is None and (given := [flag for flag, value in its.items() if value is not None]):
        raise InputError(f"{given[0]} is about a certificate; name the certificate, or use --log alone")


def _signature(data: bytes, key: Path, name: str) -> tuple[Statement | None, Check]:
    """What a certificate says, or None where it must not be trusted."""
    try:
        said = signed(data, trusted(key, "issuer"), name)
    except Rejected as wrong:
        return None, Check("signature", False, str(wrong))
    issuer = said.predicate.issuer
    return said, Check("signature", True, f"{issuer.name} signed this with the key {issuer.key_id}")


def _beside(
    said: Statement, certificate: str, key: Path, revocations: Path | None, store: Path | None, report: Path | None
) -> Iterator[Check]:
    """What is looked up beside a certificate, which goes by the SHA-256 of its file."""
    if revocations is not None:
        listed = _content(revocations, "its issuer's list of revocations")
        yield unrevoked(said, certificate, listed, trusted(key, "issuer"), revocations.name)
    if store is not None:
        if not store.is_dir():
            raise InputError(f"{store}: there is no such folder; name the folder of the store")
        yield artefacts(said, store / BLOBS)
        yield entry(said, store, certificate)
    if report is not None:
        yield reported(said, _content(report, "a report.json"), report.name)


def _content(path: Path, what: str) -> bytes:
    try:
        return path.read_bytes()
    except OSError as refused:
        raise InputError(f"{path}: cannot be read ({refused.strerror}); name {what}") from None


def _again(said: Statement, store: Path | None, *, spot: bool) -> Check:
    if store is None:
        raise InputError("--spot and --rebuild train stages of a store again; give --store")
    from unteach.service.rebuilding import rebuild  # here: it needs PyTorch, and the other checks do not

    return rebuilt(said, lambda stages: rebuild(said, store, stages, clean=not spot), spot=spot)


def _say(said: Statement | None, checks: Sequence[Check], *, as_json: bool) -> None:
    if as_json:
        members = json.loads(written(said)) if said is not None else None
        found = {
            "verified": all(c.passed for c in checks),
            "checks": [asdict(c) for c in checks],
            "certificate": members,
        }
        print(json.dumps(found, indent=1, ensure_ascii=False))
        return
    for line in (*(lines(said) if said is not None else ()), *map(_checked, checks)):
        out.print(printable(line), markup=False)


def _checked(check: Check) -> str:
    return f"{'holds' if check.passed else 'FAILS'}: {check.name}. {check.said}"
