"""Keys lie in files that only their owner reads, and are trusted by role."""

import json
from hashlib import sha256
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, PublicFormat
from issued import KEY, OTHER

from unteach.schema import InputError
from unteach.service import keys


@pytest.mark.parametrize("passphrase", [None, b"correct horse"])
def test_a_key_is_made_once_for_its_owner_alone_and_read_back(tmp_path: Path, passphrase: bytes | None) -> None:
    path = tmp_path / "keys" / "issuer"
    made = keys.new(path, passphrase)
    assert path.stat().st_mode & 0o777 == 0o600
    assert (b"ENCRYPTED" in path.read_bytes()) == (passphrase is not None)
    assert keys.load(path, passphrase).private_bytes_raw() == made.private_bytes_raw()
    assert list(keys.trusted(path.with_name("issuer.pub"), "issuer")) == [keys.key_id(made.public_key())]
    with pytest.raises(InputError, match="a key is there already"):
        keys.new(path)
    wrong = b"another" if passphrase else b"one too many"
    with pytest.raises(InputError, match="passphrase"):
        keys.load(path, wrong)


def test_a_key_that_needs_its_passphrase_says_so_and_one_that_others_read_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "issuer"
    keys.new(path, b"correct horse")
    with pytest.raises(InputError, match="needs a passphrase"):
        keys.load(path)
    path.chmod(0o640)
    with pytest.raises(InputError, match="others may read this key"):
        keys.load(path, b"correct horse")


def test_the_id_is_the_hash_of_the_public_key_as_it_is_published() -> None:
    der = bytes.fromhex("302a300506032b6570032100") + KEY.public_key().public_bytes_raw()  # RFC 8410
    assert keys.key_id(KEY.public_key()) == sha256(der).hexdigest()


def pem(key: Ed25519PrivateKey) -> str:
    return key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo).decode()


def test_a_trust_file_binds_keys_to_roles(tmp_path: Path) -> None:
    path = tmp_path / "trust.json"
    listed = [{"pem": pem(KEY), "roles": ["issuer"]}, {"pem": pem(OTHER), "roles": ["issuer", "log"]}]
    path.write_text(json.dumps({"keys": listed}), encoding="utf-8")
    first, second = (keys.key_id(k.public_key()) for k in (KEY, OTHER))
    assert set(keys.trusted(path, "issuer")) == {first, second}
    assert set(keys.trusted(path, "log")) == {second}


@pytest.mark.parametrize(
    "content",
    [
        *("", "{", "{}", '{"keys": [{"pem": 1, "roles": []}]}', '{"keys": [{"pem": "x", "roles": ["king"]}]}'),
        *('{"keys": [{"pem": "x", "roles": ["issuer"]}]}', '{"keys": [{"pem": "x", "roles": [[]]}]}', "not a key"),
    ],
)
def test_what_is_no_list_of_keys_is_refused(tmp_path: Path, content: str) -> None:
    path = tmp_path / "trust"
    path.write_text(content, encoding="utf-8")
    with pytest.raises(InputError, match="not a"):
        keys.trusted(path, "issuer")


def test_keys_of_another_kind_are_refused(tmp_path: Path) -> None:
    path, key = tmp_path / "key", ec.generate_private_key(ec.SECP256R1())
    path.write_bytes(key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo))
    with pytest.raises(InputError, match="not an Ed25519 key"):
        keys.trusted(path, "issuer")
    path.write_bytes(key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
    path.chmod(0o600)
    with pytest.raises(InputError, match="not an Ed25519 key"):
        keys.load(path)
    with pytest.raises(InputError, match="cannot be read"):
        keys.load(tmp_path / "none")
