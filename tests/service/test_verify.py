"""Certificates against a store, against the training itself, and on a machine that has neither torch nor numpy."""

import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import pytest
from issued import ARTEFACTS, BEFORE, KEY, KEYS, OTHER, digest, issued, opened, store

from unteach.schema import InputError
from unteach.service import envelope, ledger, verify
from unteach.service.canonical import Rejected
from unteach.service.keys import key_id
from unteach.service.predicate import Entry
from unteach.service.statement import PAYLOAD, sign, written


def test_a_certificate_is_what_one_of_the_trusted_keys_signed() -> None:
    assert verify.certificate(sign(issued(), KEY), KEYS) == issued()
    with pytest.raises(Rejected, match="not among the given ones"):
        verify.certificate(sign(issued(), KEY), {})
    both = {**KEYS, key_id(OTHER.public_key()): OTHER.public_key()}
    with pytest.raises(Rejected, match="names another key"):  # trusted, but not the one that is named
        verify.certificate(envelope.sign(written(issued()), PAYLOAD, OTHER), both)


def test_artefacts_lie_in_the_store_as_they_were_signed(tmp_path: Path) -> None:
    place, said = store(tmp_path / "store")
    blobs = place / verify.BLOBS
    assert verify.artefacts(said, blobs).passed
    (blobs / digest(BEFORE)).write_bytes(BEFORE)
    found = verify.artefacts(said, blobs)
    assert (found.passed, "was to be destroyed" in found.said) == (False, True)
    (blobs / digest(BEFORE)).unlink()
    weights = blobs / digest(ARTEFACTS["model.safetensors"])
    weights.write_bytes(BEFORE)
    found = verify.artefacts(said, blobs)
    assert (found.passed, "is not what was signed" in found.said) == (False, True)
    weights.unlink()
    found = verify.artefacts(said, blobs)
    assert (found.passed, "is not in the store" in found.said) == (False, True)


def test_the_line_that_a_certificate_names_stands_in_the_ledger(tmp_path: Path) -> None:
    place, said = store(tmp_path / "store")
    assert verify.entry(said, place).passed
    log, request = said.predicate.deletion.log, said.predicate.deletion.request
    wrong = (
        {"log": Entry(log.seq + 1, log.hash)},
        {"log": Entry(log.seq, digest(b"another"))},
        {"log": Entry(99, log.hash)},
        {"request": replace(request, id="req_77")},
    )
    for change in wrong:
        other = replace(said, predicate=replace(said.predicate, deletion=replace(said.predicate.deletion, **change)))
        assert not verify.entry(other, place).passed
    with opened(place / ledger.DATABASE) as connection:
        connection.execute("DROP TRIGGER events_stay")
        connection.execute("UPDATE events SET object = 'req_05' WHERE seq = 1")
    found = verify.entry(said, place)
    assert (found.passed, "line 1" in found.said) == (False, True)
    assert not verify.chain(place).passed


def test_a_store_is_only_read(tmp_path: Path) -> None:
    place, said = store(tmp_path / "store")
    before = (place / ledger.DATABASE).read_bytes()
    assert verify.chain(place).passed
    assert verify.entry(said, place).passed
    assert (place / ledger.DATABASE).read_bytes() == before
    with verify.connected(place) as connection, pytest.raises(Exception, match="readonly"):
        connection.execute("CREATE TABLE more (x)")
    with pytest.raises(InputError, match="there is no store"):
        verify.chain(tmp_path)


@pytest.mark.parametrize("spot", [False, True])
def test_stages_that_are_trained_again_have_to_make_the_same(spot: bool) -> None:
    said, asked = issued(), list[str]()

    def honest(stages: Sequence[str]) -> Mapping[str, str]:
        asked.extend(stages)
        return dict.fromkeys(stages, digest(b"new"))

    assert verify.rebuilt(said, honest, spot=spot).passed
    assert asked == ["s1.2"]  # the other stage is gone
    assert not verify.rebuilt(said, lambda stages: dict.fromkeys(stages, digest(b"old")), spot=spot).passed
    assert not verify.rebuilt(said, lambda _: {}, spot=spot).passed
    bare = replace(said, predicate=replace(said.predicate, deletion=replace(said.predicate.deletion, stages=())))
    with pytest.raises(InputError, match="names no stage"):
        verify.rebuilt(bare, honest, spot=spot)


CORE_ALONE = """
import sys

class Missing:
    def find_spec(self, name, path=None, target=None):
        top = name.partition(".")[0]
        if top in {"torch", "numpy", "scipy", "transformers", "peft", "safetensors", "accelerate", "jaxtyping", "matplotlib", "pandas"}:
            raise ModuleNotFoundError(name, name=top)

sys.meta_path.insert(0, Missing())
sys.argv = ["unteach", "verify", *sys.argv[1:]]
from unteach.cli import main
main()
"""


@pytest.mark.parametrize("altered", [False, True])
def test_the_light_core_alone_verifies(tmp_path: Path, altered: bool) -> None:
    place, said = store(tmp_path / "store")
    vectors = Path(__file__).parent / "vectors"
    file = tmp_path / "certificate.json"
    file.write_bytes(sign(said, KEY).replace(b"sig", b"gis", 1) if altered else sign(said, KEY))
    words = [file, "--key", vectors / "issuer.pub", "--store", place, "--log", place]
    done = subprocess.run(
        [sys.executable, "-c", CORE_ALONE, *map(str, words)], capture_output=True, text=True, timeout=60
    )
    assert done.returncode == int(altered), done.stderr
    assert ("FAILS: signature" if altered else "holds: signature") in done.stdout
