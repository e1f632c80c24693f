"""Tensors that are encrypted before their first byte reaches the disk, under a key that can be destroyed.

Deleting a file does not erase it; destroying the key of what was only ever written encrypted does. One key for
each request (AES-256-GCM); every part is bound to its place in the file.
"""

import json
import os
import secrets
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from torch import Tensor

from unteach.edit.checkpoint import sync
from unteach.schema import InputError

PART = 1 << 26  # bytes encrypted at once
NONCE = 12


def new_key(path: Path) -> bytes:
    """A fresh key in a file that only its owner reads."""
    path.parent.mkdir(parents=True, exist_ok=True)
    key = secrets.token_bytes(32)
    handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(handle, "wb") as file:
        file.write(key)
        file.flush()
        os.fsync(file.fileno())
    sync(path.parent)
    return key


def seal(path: Path, key: bytes, header: Mapping[str, Any], tensors: Mapping[str, Tensor]) -> None:
    """Write the header and the tensors, encrypted; the file appears when it is whole."""
    shapes = {n: [str(t.dtype).removeprefix("torch."), list(t.shape)] for n, t in tensors.items()}
    staged = path.with_name(f".{path.name}-writing")
    cipher, count = AESGCM(key), 0
    with staged.open("wb") as file:
        for count, part in enumerate(_parts(header, shapes, tensors)):
            nonce = secrets.token_bytes(NONCE)
            body = nonce + cipher.encrypt(nonce, part, str(count).encode())
            file.write(len(body).to_bytes(8, "big") + body)
        nonce = secrets.token_bytes(NONCE)
        body = nonce + cipher.encrypt(nonce, b"", f"end {count}".encode())
        file.write(len(body).to_bytes(8, "big") + body)
        file.flush()
        os.fsync(file.fileno())
    os.replace(staged, path)
    sync(path.parent)


def _parts(header: Mapping[str, Any], shapes: Mapping[str, Any], tensors: Mapping[str, Tensor]) -> Iterator[bytes]:
    yield json.dumps({"header": header, "tensors": shapes}).encode()
    for tensor in tensors.values():
        flat = tensor.detach().cpu().contiguous().flatten().view(torch.uint8).numpy()
        for at in range(0, max(1, len(flat)), PART):
            yield flat[at : at + PART].tobytes()


def unseal(path: Path, key: bytes) -> tuple[dict[str, Any], dict[str, Tensor]]:
    """What `seal` wrote; a file that was changed, cut or sealed with another key is refused."""
    try:
        parts = _opened(path, key)
        about = json.loads(next(parts))
        tensors = {name: _tensor(parts, dtype, shape) for name, (dtype, shape) in about["tensors"].items()}
        if next(parts, None) is not None:
            raise InvalidTag
    except (InvalidTag, StopIteration, ValueError, RuntimeError) as broken:
        raise InputError(
            f"{path}: damaged, or sealed with another key; put back a whole copy, without which nothing in it can be read"
        ) from broken
    header: dict[str, Any] = about["header"]
    return header, tensors


def _opened(path: Path, key: bytes) -> Iterator[bytes]:
    cipher, index = AESGCM(key), 0
    with path.open("rb") as file:
        left = path.stat().st_size
        while size := int.from_bytes(file.read(8), "big"):
            left -= 8 + size
            if left < 0:
                raise InvalidTag
            body = file.read(size)
            last = len(body) == NONCE + 16
            if last:
                try:
                    cipher.decrypt(body[:NONCE], body[NONCE:], f"end {index - 1}".encode())
                    return
                except InvalidTag:
                    pass  # an empty part in the middle (a tensor without elements)
            yield cipher.decrypt(body[:NONCE], body[NONCE:], str(index).encode())
            index += 1
    raise InvalidTag


def _tensor(parts: Iterator[bytes], dtype: str, shape: list[int]) -> Tensor:
    kind: torch.dtype = getattr(torch, dtype)
    size = int(np.prod(shape)) * kind.itemsize
    bytes_ = bytearray(next(parts))
    while len(bytes_) < size:
        bytes_ += next(parts)
    if len(bytes_) != size:
        raise ValueError
    return torch.frombuffer(bytes_, dtype=kind).reshape(shape) if size else torch.empty(shape, dtype=kind)


def destroy(path: Path) -> None:
    """Overwrite a file in place, force that onto the disk, and unlink it."""
    size = path.stat().st_size
    with path.open("r+b") as file:
        for at in range(0, size, PART):
            file.write(secrets.token_bytes(min(PART, size - at)))
        file.flush()
        os.fsync(file.fileno())
    path.unlink()
    sync(path.parent)
