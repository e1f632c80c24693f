"""What is sealed cannot be read, changed, cut or put together anew without its key."""

import stat
from pathlib import Path

import pytest
import torch
from torch import Tensor

from unteach.edit import seal
from unteach.schema import InputError

SECRET = "the harbour of green copper"
TENSORS: dict[str, Tensor] = {
    "a": torch.arange(100.0),
    "half": torch.linspace(-2, 2, 7).bfloat16().view(7, 1),
    "ids": torch.arange(5),
    "mask": torch.tensor([True, False]),
    "one": torch.tensor(3.5),
    "none": torch.empty(0, 4),
    "turned": torch.arange(6.0).view(2, 3).T,
}


@pytest.fixture
def sealed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> tuple[Path, bytes]:
    monkeypatch.setattr(seal, "PART", 64)  # so that one tensor takes several parts
    key = seal.new_key(tmp_path / "private" / "key")
    seal.seal(tmp_path / "private" / "sealed", key, {"about": SECRET, "n": [1, 2]}, TENSORS)
    return tmp_path / "private" / "sealed", key


def test_what_was_sealed_is_unsealed_bit_for_bit(sealed: tuple[Path, bytes]) -> None:
    header, tensors = seal.unseal(*sealed)
    assert header == {"about": SECRET, "n": [1, 2]}
    assert list(tensors) == list(TENSORS)
    for name, tensor in TENSORS.items():
        assert tensors[name].dtype == tensor.dtype
        assert torch.equal(tensors[name], tensor)
    assert [p.name for p in sorted(sealed[0].parent.iterdir())] == ["key", "sealed"]


def test_nothing_of_it_stands_there_in_clear(sealed: tuple[Path, bytes]) -> None:
    body = sealed[0].read_bytes()
    raw = TENSORS["a"].numpy().tobytes()
    assert SECRET.encode() not in body
    assert b"float32" not in body
    assert not any(raw[i : i + 12] in body for i in range(0, len(raw), 4))


def test_the_same_is_never_sealed_the_same(sealed: tuple[Path, bytes]) -> None:
    path, key = sealed
    again = path.with_name("again")
    seal.seal(again, key, {"about": SECRET, "n": [1, 2]}, TENSORS)
    assert again.stat().st_size == path.stat().st_size
    assert again.read_bytes() != path.read_bytes()


REFUSED = "damaged, or sealed with another key; put back a whole copy"


def test_every_changed_byte_is_noticed(sealed: tuple[Path, bytes]) -> None:
    path, key = sealed
    body = path.read_bytes()
    for at in range(len(body)):
        for bit in (1, 128) if at < 8 else (1 << at % 8,):
            path.write_bytes(body[:at] + bytes([body[at] ^ bit]) + body[at + 1 :])
            with pytest.raises(InputError, match=REFUSED):
                seal.unseal(path, key)


def test_every_cut_is_noticed(sealed: tuple[Path, bytes]) -> None:
    path, key = sealed
    body = path.read_bytes()
    for size in range(len(body)):
        path.write_bytes(body[:size])
        with pytest.raises(InputError, match=REFUSED):
            seal.unseal(path, key)


def parts(body: bytes) -> list[bytes]:
    found = []
    while body:
        size = 8 + int.from_bytes(body[:8], "big")
        found.append(body[:size])
        body = body[size:]
    return found


def test_parts_cannot_be_dropped_doubled_or_swapped(sealed: tuple[Path, bytes]) -> None:
    path, key = sealed
    whole = parts(path.read_bytes())
    assert len(whole) > 10
    orders = [whole[:i] + whole[i + 1 :] for i in range(len(whole))]
    orders += [whole[: i + 1] + whole[i:] for i in range(len(whole) - 1)]
    orders += [[*whole[:i], whole[i + 1], whole[i], *whole[i + 2 :]] for i in range(len(whole) - 1)]
    orders += [[*whole[:i], whole[-1]] for i in range(len(whole) - 1)]
    for order in orders:
        path.write_bytes(b"".join(order))
        with pytest.raises(InputError, match=REFUSED):
            seal.unseal(path, key)


@pytest.mark.parametrize("key", [b"\0" * 32, b"", b"short", b"\0" * 33])
def test_another_key_opens_nothing(sealed: tuple[Path, bytes], key: bytes) -> None:
    with pytest.raises(InputError, match=REFUSED):
        seal.unseal(sealed[0], key)


def test_a_key_is_for_its_owner_and_is_not_replaced(sealed: tuple[Path, bytes]) -> None:
    file = sealed[0].parent / "key"
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert len(file.read_bytes()) == 32
    with pytest.raises(FileExistsError):
        seal.new_key(file)
    assert file.read_bytes() == sealed[1]


def test_what_is_destroyed_is_overwritten_before_it_is_unlinked(sealed: tuple[Path, bytes], tmp_path: Path) -> None:
    for name in ("key", "sealed"):
        file = sealed[0].parent / name
        before = file.read_bytes()
        (tmp_path / name).hardlink_to(file)  # the same place on the disk
        seal.destroy(file)
        assert not file.exists()
        after = (tmp_path / name).read_bytes()
        assert len(after) == len(before)
        assert not any(before[i : i + 16] in after for i in range(0, len(before), 16))
