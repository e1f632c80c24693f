"""A model folder with a signature that other tools can check: OpenSSF Model Signing 1.0, by the package `model-signing`.

It says who vouches for these bytes, and nothing of what the model has forgotten: that is the certificate's part.
"""

import json
import logging
import warnings
from base64 import b64decode
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

from cryptography.hazmat.primitives.asymmetric.ec import (
    SECP256R1,
    EllipticCurve,
    EllipticCurvePrivateKey,
    EllipticCurvePublicKey,
    generate_private_key,
)

from unteach.report.atomic import put
from unteach.schema import InputError
from unteach.service import keys
from unteach.service.verify import Check

SIGNATURE = "model.sig"
CURVES = ("secp256r1", "secp384r1", "secp521r1")
UNREAD = (".git", ".github", ".gitattributes", ".gitignore")  # what the package leaves out of every signature
NO_PACKAGE = "a folder is signed with the package 'model-signing', which is not here; pip install 'unteach[sign]'"


def new(path: Path, passphrase: bytes | None = None) -> None:
    """A fresh key for folders (P-256) at `path` and its public half beside it, as `keys.new` makes an issuer's."""
    keys.keep(generate_private_key(SECP256R1()), path, passphrase)


def sign(place: Path, key: Path, passphrase: bytes | None = None) -> Path:
    """Write a folder's signature into it; another one that stands there is replaced.

    Raises:
        InputError: there is no such folder, it holds what no signature would cover, or the key cannot be used.
    """
    _whole(place)
    found = keys.private(key, passphrase)
    if not isinstance(found, EllipticCurvePrivateKey) or not _known(found.curve):
        raise InputError(f"{key}: not a key on P-256, P-384 or P-521; make one with unteach.service.signing.new")
    if uncovered := sorted(_uncovered(place)):
        raise InputError(f"{place}: no signature would cover {uncovered[0]}; take it out of the folder")
    with _quiet(), TemporaryDirectory() as scratch:
        from model_signing import hashing, signing  # here: it takes a second

        config = signing.Config().use_elliptic_key_signer(private_key=key, password=passphrase)
        config.set_hashing_config(hashing.Config().set_ignored_paths(paths=[SIGNATURE]))
        try:
            config.sign(place, Path(scratch) / SIGNATURE)
        except (OSError, ValueError):
            raise InputError(f"{place}: cannot be signed; a folder of plain files without links can be") from None
        return put(place / SIGNATURE, (Path(scratch) / SIGNATURE).read_bytes())


def signed(place: Path, key: Path) -> Check:
    """Whether a folder is as the key's owner signed it, all of it.

    Raises:
        InputError: there is no such folder, no signature in it, or the key cannot be used.
    """
    _whole(place)
    try:
        found, signature = keys.public(key.read_bytes(), key), (place / SIGNATURE).read_bytes()
    except OSError as refused:
        raise InputError(
            f"{refused.filename}: cannot be read ({refused.strerror}); name a signed folder and its key"
        ) from None
    if not isinstance(found, EllipticCurvePublicKey) or not _known(found.curve):
        raise InputError(f"{key}: not a key on P-256, P-384 or P-521; give the one that its owner publishes")
    with _quiet():
        from model_signing import verifying

        try:
            verifying.Config().use_elliptic_key_verifier(public_key=key).verify(place, place / SIGNATURE)
            ignored = _ignored(signature)
        except Exception as wrong:  # a signature is a stranger's bytes, on which the package fails in ways of its own
            return Check("folder", False, f"{_reason(wrong)}; do not load what is in {place}")
    if uncovered := sorted(_uncovered(place, ignored)):
        return Check("folder", False, f"the signature does not cover {uncovered[0]}; do not load what is in {place}")
    return Check("folder", True, f"every file of {place} is as the owner of this key signed it")


def _whole(place: Path) -> None:
    if not place.is_dir():
        raise InputError(f"{place}: there is no such folder; name the folder of a model")


def _known(curve: EllipticCurve) -> bool:
    return curve.name in CURVES


def _reason(wrong: Exception) -> str:
    """What is wrong; the package's own words would name every file."""
    mismatch = isinstance(wrong, ValueError) and str(wrong).startswith("Signature mismatch")
    return "files were altered, added or taken away" if mismatch else "the signature is not by this key, or is garbled"


def _ignored(signature: bytes) -> tuple[str, ...]:
    """The paths that a signature, which must have been verified, says it leaves out."""
    payload = json.loads(b64decode(json.loads(signature)["dsseEnvelope"]["payload"]))
    return tuple(map(str, payload["predicate"]["serialization"].get("ignore_paths", ())))


def _uncovered(place: Path, ignored: tuple[str, ...] = ()) -> Iterator[str]:
    """What lies in a folder, and is read for no signature."""
    for name in {*UNREAD, *ignored} - {SIGNATURE}:
        if (place / name).exists():
            yield name
    yield from (
        f"{p.relative_to(place)} (an empty folder)" for p in place.rglob("*") if p.is_dir() and not any(p.iterdir())
    )


@contextmanager
def _quiet() -> Iterator[None]:
    """Without the package's warnings and lines of log, and with a sentence where it is not installed."""
    before = logging.root.manager.disable
    logging.disable(logging.WARNING)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    except ModuleNotFoundError:
        raise InputError(NO_PACKAGE) from None
    finally:
        logging.disable(before)
