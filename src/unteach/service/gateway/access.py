"""Who may come: API keys, of which only SHA-256 hashes are kept."""

import json
from dataclasses import dataclass, field
from hashlib import sha256
from hmac import compare_digest
from pathlib import Path
from secrets import token_bytes, token_urlsafe
from typing import Literal

from pydantic import TypeAdapter, ValidationError

from unteach.report.atomic import PRIVATE, put
from unteach.schema import InputError

KeyRole = Literal["client", "admin"]
START = "sk-"


@dataclass(frozen=True)
class Key:
    """A key as it is kept: its hash, whose it is, and what it may do. An admin may do what a client may."""

    sha256: str = field(repr=False)
    tenant: str
    role: KeyRole = "client"


@dataclass(frozen=True)
class Keyring:
    """The keys that are known, and a secret with which what could be guessed is hashed."""

    keys: tuple[Key, ...] = ()
    secret: str = field(default_factory=lambda: token_bytes(32).hex(), repr=False)

    def holder(self, token: str) -> Key | None:
        """The key that a token is; every hash is compared, in the same time."""
        digest, found = sha256(token.encode("utf-8", "surrogatepass")).hexdigest(), None
        for key in self.keys:
            if compare_digest(key.sha256, digest):
                found = key
        return found

    def minted(self, tenant: str, role: KeyRole = "client") -> tuple["Keyring", str]:
        """The same with a new key of 32 random bytes, and its token, which is kept nowhere."""
        token = START + token_urlsafe(32)
        return Keyring((*self.keys, Key(sha256(token.encode()).hexdigest(), tenant, role)), self.secret), token


def mint(path: Path, tenant: str, role: KeyRole = "client") -> str:
    """Add a key to a file, which is made where there is none: its token, which is told this once."""
    ring, token = (read(path) if path.exists() else Keyring()).minted(tenant, role)
    content = {"secret": ring.secret, "keys": [vars(key) for key in ring.keys]}
    put(path, (json.dumps(content, indent=1) + "\n").encode(), mode=PRIVATE)
    return token


def read(path: Path) -> Keyring:
    """The keys in a file."""
    try:
        return TypeAdapter(Keyring).validate_json(path.read_bytes())
    except OSError as missing:
        what = f"cannot be read ({missing.strerror})"
        raise InputError(f"{path}: {what}; make it with `unteach serve --new-key TENANT --keys FILE`") from None
    except ValidationError:
        raise InputError(f"{path}: not a file of keys; make it with `unteach serve --new-key TENANT`") from None
