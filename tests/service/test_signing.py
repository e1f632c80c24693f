"""A signed folder is checked by us and by the package's own verifier; what was altered, or is not covered, is refused."""

import json
import os
from collections.abc import Callable
from pathlib import Path
from shutil import copytree

import pytest

from unteach.schema import InputError
from unteach.service import signing

model_signing = pytest.importorskip("model_signing")


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A signed folder `model` beside the key that signed it."""
    place = tmp_path_factory.mktemp("signed")
    signing.new(place / "key")
    (place / "model" / "parts").mkdir(parents=True)
    (place / "model" / "config.json").write_text("{}")
    (place / "model" / "parts" / "model.safetensors").write_bytes(bytes(range(256)))
    signing.sign(place / "model", place / "key")
    return place


def test_another_tool_reads_the_signature(made: Path) -> None:
    """The verifier of the package as it comes, and nothing of this machine in what it reads."""
    model = made / "model"
    verifier = model_signing.verifying.Config().use_elliptic_key_verifier(public_key=made / "key.pub")
    verifier.verify(model, model / signing.SIGNATURE)
    assert signing._ignored((model / signing.SIGNATURE).read_bytes()).count(signing.SIGNATURE) == 1
    assert not any(os.sep in path for path in signing._ignored((model / signing.SIGNATURE).read_bytes()))


def _flip(model: Path) -> None:
    file = model / "parts" / "model.safetensors"
    file.write_bytes(file.read_bytes()[:-1] + b"x")


CHANGES: dict[str, Callable[[Path], object]] = {
    "flipped": _flip,
    "cut": lambda m: os.truncate(m / "parts" / "model.safetensors", 10),
    "more": lambda m: (m / "custom.py").write_text("print()"),
    "less": lambda m: (m / "config.json").unlink(),
    "renamed": lambda m: (m / "config.json").rename(m / "config2.json"),
    "linked": lambda m: (m / "other.json").symlink_to(m / "config.json"),
    "unsigned": lambda m: (m / signing.SIGNATURE).write_text("{}"),
    "garbled": lambda m: (m / signing.SIGNATURE).write_bytes(b"\xff\x00"),
    "repository": lambda m: (m / ".git" / "hooks").mkdir(parents=True),
    "attributes": lambda m: (m / ".gitattributes").write_text("x"),
    "empty": lambda m: (m / "parts" / "more").mkdir(),
}


@pytest.mark.parametrize("change", CHANGES)
def test_no_change_of_a_folder_goes_unseen(made: Path, tmp_path: Path, change: str) -> None:
    """Those too that the package does not look at: a repository's files, and empty folders."""
    model = copytree(made / "model", tmp_path / "model")
    assert signing.signed(model, made / "key.pub").passed
    CHANGES[change](model)
    assert not signing.signed(model, made / "key.pub").passed


def test_an_altered_signature_is_never_accepted_with_another_meaning(made: Path, tmp_path: Path) -> None:
    """Each byte of it flipped: refused, or what was signed is untouched, and then the folder is what was signed."""
    model = copytree(made / "model", tmp_path / "model")
    whole, accepted = (model / signing.SIGNATURE).read_bytes(), 0
    envelope = json.loads(whole)["dsseEnvelope"]
    for at in range(0, len(whole), 7):
        altered = whole[:at] + bytes([whole[at] ^ 1]) + whole[at + 1 :]
        (model / signing.SIGNATURE).write_bytes(altered)
        if signing.signed(model, made / "key.pub").passed:
            accepted += 1
            assert json.loads(altered)["dsseEnvelope"]["payload"] == envelope["payload"]
    assert accepted < len(whole) / 7 / 10


def test_another_key_is_refused(made: Path, tmp_path: Path) -> None:
    signing.new(tmp_path / "other", b"correct horse")
    assert not signing.signed(made / "model", tmp_path / "other.pub").passed
    with pytest.raises(InputError, match="needs a passphrase"):
        signing.sign(made / "model", tmp_path / "other")
    copytree(made / "model", tmp_path / "model")
    signing.sign(tmp_path / "model", tmp_path / "other", b"correct horse")
    assert signing.signed(tmp_path / "model", tmp_path / "other.pub").passed
    assert not signing.signed(tmp_path / "model", made / "key.pub").passed


def test_what_no_signature_would_cover_is_not_signed(made: Path, tmp_path: Path) -> None:
    plain = copytree(made / "model", tmp_path / "plain")
    (plain / signing.SIGNATURE).unlink()
    for uncovered in (".git", "empty"):
        (plain / uncovered).mkdir()
        with pytest.raises(InputError, match="no signature would cover"):
            signing.sign(plain, made / "key")
        (plain / uncovered).rmdir()
    (plain / "link.json").symlink_to(plain / "config.json")
    with pytest.raises(InputError, match="without links"):
        signing.sign(plain, made / "key")
    assert not (plain / signing.SIGNATURE).exists()
