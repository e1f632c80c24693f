"""Thousands of altered certificates and ledgers, of which none may be taken for what was signed."""

import random
import sqlite3
from collections import Counter
from contextlib import closing
from pathlib import Path

import pytest
from altered import certificate, flipped, lines
from issued import CLAIMS, KEY, KEYS, NOON, issued, opened, told

from unteach.service import ledger, verify
from unteach.service.canonical import Rejected
from unteach.service.statement import sign

COUNTS = [2500, pytest.param(50_000, marks=pytest.mark.slow)]


@pytest.mark.parametrize("count", COUNTS)
def test_no_altered_certificate_is_accepted(count: int) -> None:
    rng, genuine = random.Random(count), [sign(issued(kind), KEY) for kind in CLAIMS]
    assert all(verify.certificate(data, KEYS) for data in genuine)
    for n in range(count):
        altered = certificate(genuine[n % len(genuine)], rng)
        with pytest.raises(Rejected):  # any other error is a defect of ours
            verify.certificate(altered, KEYS)


@pytest.mark.parametrize("count", COUNTS)
def test_no_altered_ledger_is_accepted(count: int, tmp_path: Path) -> None:
    with opened(":memory:") as connection:
        connection.execute("PRAGMA page_size=512")
        told(connection, 8)
        genuine = list(ledger.events(connection))
        ledger.checkpoint(connection, tmp_path, KEY, NOON)
        image = connection.serialize()
    rng, found = random.Random(count), Counter[str]()
    for n in range(count):
        found[_verdict(image, n % 2 == 0, rng, tmp_path, genuine)] += 1
    assert found["refused"] > 0.9 * count / 2
    assert found["accepted though altered"] == 0
    assert found["refused"] + found["the same lines"] == count  # bits of the file that no line is made of


def _verdict(image: bytes, by_line: bool, rng: random.Random, checkpoints: Path, genuine: list[ledger.Event]) -> str:
    with closing(sqlite3.connect(":memory:")) as connection:
        connection.deserialize(image if by_line else flipped(image, rng))
        if by_line:
            lines(connection, rng)
        try:
            ledger.anchored(connection, checkpoints, KEYS)
            found = list(ledger.events(connection))
        except Rejected:
            return "refused"
    return "the same lines" if found == genuine else "accepted though altered"


def test_the_search_sees_what_a_chain_without_checkpoints_cannot() -> None:
    """The negative control: without the checkpoint, ledgers that were cut or written anew are taken."""
    with opened(":memory:") as connection:
        told(connection, 8)
        genuine, image = list(ledger.events(connection)), connection.serialize()
    rng, taken = random.Random(0), 0
    for _ in range(300):
        with closing(sqlite3.connect(":memory:")) as connection:
            connection.deserialize(image)
            lines(connection, rng)
            try:
                taken += list(ledger.events(connection)) != genuine
            except Rejected:
                continue
    assert taken > 30
