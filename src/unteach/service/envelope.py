"""Signed bytes: a DSSE envelope with one Ed25519 signature, in one form only.

What is signed names its type: PAE(type, body) = "DSSEv1" SP len(type) SP type SP len(body) SP body (DSSE v1,
secure-systems-lab). The envelope itself is canonical JSON too, so that one signature has one file and no other.
"""

from base64 import b64decode, b64encode
from collections.abc import Mapping
from typing import Any

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

from unteach.service.canonical import Rejected, canonical, parse
from unteach.service.keys import key_id

LARGEST = 1 << 24  # bytes

Keys = Mapping[str, Ed25519PublicKey]  # by their ids


def sign(payload: bytes, kind: str, key: Ed25519PrivateKey) -> bytes:
    """The envelope of some bytes of a kind."""
    signature = {"keyid": key_id(key.public_key()), "sig": _text(key.sign(_encoded(kind, payload)))}
    return canonical({"payload": _text(payload), "payloadType": kind, "signatures": [signature]})


def opened(data: bytes, kind: str, keys: Keys, what: str) -> tuple[bytes, str]:
    """The bytes that were signed and the id of the key, which must be one of `keys`; else `Rejected`."""
    if len(data) > LARGEST:
        raise Rejected(f"{what} is larger than any that was ever signed; take an undamaged copy")
    found = parse(data, what)
    payload, signature = _parts(found, kind, what)
    key = keys.get(signature["keyid"])
    if key is None:
        raise Rejected(f"{what} is signed by a key that is not among the given ones; ask its issuer for the public key")
    body = _bytes(payload, what)
    try:
        key.verify(_bytes(signature["sig"], what), _encoded(kind, body))
    except InvalidSignature:
        raise Rejected(f"{what} does not carry the signature of its key: it was altered; refuse it") from None
    return body, signature["keyid"]


def _parts(found: Any, kind: str, what: str) -> tuple[str, Mapping[str, str]]:
    """The two parts of an envelope that has exactly the members it should have, and one signature."""
    whole = isinstance(found, dict) and set(found) == {"payload", "payloadType", "signatures"}
    signatures = found["signatures"] if whole else None
    if not isinstance(signatures, list) or len(signatures) != 1:
        raise Rejected(f"{what} is no envelope with one signature; take an undamaged copy")
    (signature,) = signatures
    whole = isinstance(signature, dict) and set(signature) == {"keyid", "sig"}
    if not whole or not all(isinstance(v, str) for v in (found["payload"], *signature.values())):
        raise Rejected(f"{what} has an envelope with other members than it should have; take an undamaged copy")
    if found["payloadType"] != kind:
        raise Rejected(f"{what} is signed as something else than {kind}; give the file that is meant")
    return found["payload"], signature


def _encoded(kind: str, body: bytes) -> bytes:
    name = kind.encode()
    return b"DSSEv1 %d %b %d %b" % (len(name), name, len(body), body)


def _text(data: bytes) -> str:
    return b64encode(data).decode()


def _bytes(text: str, what: str) -> bytes:
    try:
        data = b64decode(text, validate=True)
    except ValueError:
        data = b""
    if not data or _text(data) != text:  # the last character may hold bits that nothing reads
        raise Rejected(f"{what} holds base64 in another form than it was signed in; take an undamaged copy")
    return data
