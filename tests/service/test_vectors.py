"""What is published for other verifiers: a schema, certificates to take, certificates to refuse."""

import json
from base64 import b64decode
from pathlib import Path

import jsonschema
import pytest
from issued import KEYS
from vectored import PLACE, REVOCATIONS, SCHEMA, files

from unteach.service import revocation
from unteach.service.canonical import Rejected
from unteach.service.verify import certificate

VALID = sorted((PLACE / "valid").glob("*.json"))
INVALID = sorted((PLACE / "invalid").glob("*.json"))
TAKEN = sorted((PLACE / "revocations" / "valid").glob("*.json"))
REFUSED = sorted((PLACE / "revocations" / "invalid").glob("*.json"))
LISTS = jsonschema.Draft202012Validator(json.loads(REVOCATIONS.read_bytes()))
CHECKER = jsonschema.Draft202012Validator(json.loads(SCHEMA.read_bytes()))


def said(path: Path) -> object:
    return json.loads(b64decode(json.loads(path.read_bytes())["payload"]))


def test_the_vectors_and_the_schema_are_what_the_code_makes() -> None:
    made = files()
    assert {p for p in PLACE.rglob("*") if p.is_file()} | {SCHEMA, REVOCATIONS} == set(made)
    stale = [path.name for path, data in made.items() if path.read_bytes() != data]
    assert not stale, "run python tests/service/vectored.py"
    assert len(VALID) >= 3
    assert len(INVALID) >= 20
    jsonschema.Draft202012Validator.check_schema(json.loads(SCHEMA.read_bytes()))


@pytest.mark.parametrize("path", VALID, ids=lambda p: p.stem)
def test_what_is_valid_is_taken(path: Path) -> None:
    found = certificate(path.read_bytes(), KEYS)
    assert found.predicate.guarantee.kind in ("exact", path.stem)
    assert CHECKER.is_valid(said(path))


@pytest.mark.parametrize("path", INVALID, ids=lambda p: p.stem)
def test_what_is_invalid_is_refused(path: Path) -> None:
    with pytest.raises(Rejected):
        certificate(path.read_bytes(), KEYS)
    layer = path.name.partition(".")[0]
    if layer != "envelope":  # there, the statement may be a good one
        assert CHECKER.is_valid(said(path)) == (layer == "reader")


@pytest.mark.parametrize("path", TAKEN, ids=lambda p: p.stem)
def test_a_valid_list_of_revocations_is_taken(path: Path) -> None:
    found = revocation.read(path.read_bytes(), KEYS)
    assert len(found.revoked) == {"empty": 0, "one": 1, "several": 4}[path.stem]
    assert LISTS.is_valid(said(path))


@pytest.mark.parametrize("path", REFUSED, ids=lambda p: p.stem)
def test_an_invalid_list_of_revocations_is_refused(path: Path) -> None:
    with pytest.raises(Rejected):
        revocation.read(path.read_bytes(), KEYS)
    layer = path.name.partition(".")[0]
    if layer != "envelope":
        assert LISTS.is_valid(said(path)) == (layer == "reader")
