"""Ed25519 keys: made, kept in a file that only its owner reads, named by a hash, and trusted by a reader's list."""

import json
import os
import stat
from collections.abc import Mapping
from hashlib import sha256
from pathlib import Path

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePrivateKey
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from cryptography.hazmat.primitives.asymmetric.types import PrivateKeyTypes, PublicKeyTypes
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
    load_pem_private_key,
    load_pem_public_key,
)

from unteach.report.atomic import folder, put
from unteach.schema import InputError

ROLES = ("issuer", "log")  # who signs certificates, who signs checkpoints of a ledger


def key_id(key: Ed25519PublicKey) -> str:
    """SHA-256 of the key as SubjectPublicKeyInfo (DER), in hex."""
    return sha256(key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)).hexdigest()


def new(path: Path, passphrase: bytes | None = None) -> Ed25519PrivateKey:
    """A fresh key at `path` (PKCS 8, mode 0600) and its public half beside it at `path`.pub; none is overwritten."""
    key = Ed25519PrivateKey.generate()
    keep(key, path, passphrase)
    return key


def keep(key: Ed25519PrivateKey | EllipticCurvePrivateKey, path: Path, passphrase: bytes | None = None) -> None:
    """Write a key and its public half as `new` does."""
    public = path.with_name(f"{path.name}.pub")
    for standing in (path, public):
        if standing.exists():
            raise InputError(f"{standing}: a key is there already; name another file")
    cipher = BestAvailableEncryption(passphrase) if passphrase else NoEncryption()
    folder(path.parent)
    put(path, key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, cipher), mode=0o600)
    put(public, key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo))


def load(path: Path, passphrase: bytes | None = None) -> Ed25519PrivateKey:
    """The key in a file; one that others may read is refused."""
    key = private(path, passphrase)
    if not isinstance(key, Ed25519PrivateKey):
        raise InputError(f"{path}: not an Ed25519 key; make one with unteach.service.keys.new")
    return key


def private(path: Path, passphrase: bytes | None = None) -> PrivateKeyTypes:
    """The key of any kind in a file; one that others may read is refused."""
    content = _content(path)
    if os.name == "posix" and stat.S_IMODE(path.stat().st_mode) & 0o077:
        raise InputError(f"{path}: others may read this key; run chmod 600 on it, or make a new one")
    try:
        return load_pem_private_key(content, passphrase)
    except TypeError:
        need = "needs no passphrase; leave it out" if passphrase else "needs a passphrase; give it"
        raise InputError(f"{path}: the key {need}") from None
    except (ValueError, UnsupportedAlgorithm):
        raise InputError(f"{path}: not a private key in PEM, or another passphrase; name the issuer's key") from None


def trusted(path: Path, role: str) -> Mapping[str, Ed25519PublicKey]:
    """The keys that a reader trusts in a role, by their ids.

    A PEM file holds one key, trusted in every role. A trust file is JSON: {"keys": [{"pem": ..., "roles": ["issuer", "log"]}]}.
    """
    content = _content(path)
    if content.lstrip().startswith(b"{"):
        keys = [_public(pem.encode(), path) for pem, roles in _listed(content, path) if role in roles]
    else:
        keys = [_public(content, path)]
    return {key_id(key): key for key in keys}


def _listed(content: bytes, path: Path) -> list[tuple[str, list[str]]]:
    try:
        found = [(entry["pem"], entry["roles"]) for entry in json.loads(content)["keys"]]
        good = all(
            isinstance(pem, str) and isinstance(roles, list) and set(roles) <= set(ROLES) for pem, roles in found
        )
    except (ValueError, KeyError, TypeError, RecursionError):
        good = False
    if not good:
        raise InputError(f'{path}: not a trust file; write {{"keys": [{{"pem": ..., "roles": ["issuer", "log"]}}]}}')
    return found


def _public(pem: bytes, path: Path) -> Ed25519PublicKey:
    key = public(pem, path)
    if not isinstance(key, Ed25519PublicKey):
        raise InputError(f"{path}: not an Ed25519 key; give the file that the issuer publishes")
    return key


def public(pem: bytes, path: Path) -> PublicKeyTypes:
    """The key of any kind that stands in a PEM file."""
    try:
        return load_pem_public_key(pem)
    except (ValueError, UnsupportedAlgorithm):
        raise InputError(f"{path}: not a public key in PEM; give the file that the issuer publishes") from None


def _content(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as refused:
        raise InputError(f"{path}: cannot be read ({refused.strerror}); name the file of a key") from None
