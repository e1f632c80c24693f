"""Folders are signed and checked from the command line; the exit code says which way it went."""

from pathlib import Path
from shutil import copytree

import pytest
from driven import run, went_well

from unteach.service import keys, signing

pytest.importorskip("model_signing")


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder `model`, signed, beside the key that signed it."""
    place = tmp_path_factory.mktemp("signed")
    signing.new(place / "key")
    (place / "model").mkdir()
    (place / "model" / "config.json").write_text("{}")
    signing.sign(place / "model", place / "key")
    return place


def test_a_folder_is_signed_and_an_altered_one_refused(made: Path, tmp_path: Path) -> None:
    """By the commands, with exit code 1 where the folder must not be trusted."""
    model = copytree(made / "model", tmp_path / "model")
    (model / signing.SIGNATURE).unlink()
    assert "signed:" in went_well("sign", model, "--key", made / "key").out
    assert "holds: folder. every file" in went_well("verify", "--folder", model, "--key", made / "key.pub").out
    (model / "config.json").write_text("[]")
    ran = run("verify", "--folder", model, "--key", made / "key.pub")
    assert ran.code == 1
    assert "FAILS: folder. files were altered, added or taken away" in ran.out


def test_what_cannot_be_signed_or_checked_is_refused_in_a_sentence(made: Path, tmp_path: Path) -> None:
    keys.new(tmp_path / "issuer")
    plain = copytree(made / "model", tmp_path / "plain")
    (plain / signing.SIGNATURE).unlink()
    for words, said in (
        (("sign", plain, "--key", tmp_path / "issuer"), "not a key on P-256"),
        (("sign", tmp_path / "none", "--key", made / "key"), "there is no such folder"),
        (("verify", "--folder", plain, "--key", made / "key.pub"), "model.sig: cannot be read"),
        (("verify", "--folder", made / "model", "--key", tmp_path / "issuer.pub"), "not a key on P-256"),
        (("verify", "--folder", made / "model"), "a signature is checked with a key"),
        (("verify", "--folder", made / "model", "--log", plain, "--key", made / "key.pub"), "check it by itself"),
    ):
        ran = run(*words)
        assert (ran.code, said in ran.err) == (2, True), ran.err
