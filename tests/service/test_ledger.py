"""A ledger tells every change, in the transaction that made it, and tells when it was touched."""

import json
import sqlite3
from base64 import b64encode
from collections.abc import Iterator
from hashlib import sha256
from pathlib import Path
from threading import Thread
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from issued import KEY, KEYS, NOON, OTHER, RECORDS, opened, told

from unteach.schema import InputError
from unteach.service import ledger
from unteach.service.canonical import Rejected, canonical
from unteach.service.keys import key_id

COLUMNS = ("ts", "actor", "kind", "object", "body", "prev", "hash")


@pytest.fixture
def book() -> Iterator[sqlite3.Connection]:
    """Six lines."""
    with opened(":memory:") as connection:
        told(connection)
        yield connection


def unlocked(connection: sqlite3.Connection) -> sqlite3.Connection:
    """What somebody with the file can do."""
    connection.execute("DROP TRIGGER events_stay")
    connection.execute("DROP TRIGGER events_remain")
    return connection


def test_an_event_lives_and_dies_with_the_change_that_it_tells_of(book: sqlite3.Connection) -> None:
    book.execute("CREATE TABLE records (id INTEGER PRIMARY KEY)")
    for ending, lines, rows in (("ROLLBACK", 6, 0), ("COMMIT", 7, 1)):
        book.execute("BEGIN IMMEDIATE")
        book.execute("INSERT INTO records VALUES (1)")
        event = ledger.append(book, "record.fenced", "req_01", {"rows": 1}, NOON, "worker-1")
        assert (event.seq, ledger.head(book)) == (7, ledger.Head(7, event.hash))
        book.execute(ending)
        assert ledger.check(book).seq == lines
        assert book.execute("SELECT COUNT(*) FROM records").fetchone() == (rows,)
    assert list(ledger.events(book))[-1] == event


def test_an_event_without_a_transaction_is_a_mistake(book: sqlite3.Connection) -> None:
    with pytest.raises(RuntimeError, match="open one first"):
        ledger.append(book, "record.fenced", "req_01", {}, NOON, "worker-1")
    assert ledger.check(book).seq == 6


def test_an_empty_ledger_holds(tmp_path: Path) -> None:
    with opened(":memory:") as connection:
        ledger.create(connection)
        ledger.create(connection)
        assert ledger.check(connection) == ledger.Head(0, "0" * 64)
        ledger.checkpoint(connection, tmp_path, KEY, NOON)
        assert ledger.anchored(connection, tmp_path, KEYS).head.seq == 0


def test_two_writers_make_one_chain(tmp_path: Path) -> None:
    file = tmp_path / "store.sqlite"
    with opened(file) as connection:
        connection.execute("PRAGMA journal_mode=WAL")
        ledger.create(connection)

    def write(name: str) -> None:
        with opened(file) as mine:
            mine.execute("PRAGMA busy_timeout=30000")
            for n in range(20):
                mine.execute("BEGIN IMMEDIATE")
                ledger.append(mine, "stage.built", f"s{n}", {}, NOON, name)
                mine.execute("COMMIT")

    writers = [Thread(target=write, args=(f"worker-{n}",)) for n in range(2)]
    for writer in writers:
        writer.start()
    for writer in writers:
        writer.join()
    with opened(file) as connection:
        assert ledger.check(connection).seq == 40
        assert {e.actor for e in ledger.events(connection)} == {"worker-0", "worker-1"}


@pytest.mark.parametrize("place", ["actor", "kind", "object", "body", "key", "deep"])
def test_no_text_of_a_record_comes_in_and_none_is_repeated(book: sqlite3.Connection, place: str) -> None:
    text = RECORDS["row-7311"]
    given: dict[str, Any] = {"actor": "worker-1", "kind": "a", "object": "b", "body": {}}
    given |= {"body": {text: 1}} if place == "key" else {"body": {"a": [{"b": text}]}} if place == "deep" else {}
    given |= {place: {"a": text} if place == "body" else text} if place in given else {}
    book.execute("BEGIN")
    with pytest.raises(InputError, match="holds text") as refused:
        ledger.append(book, given["kind"], given["object"], given["body"], NOON, given["actor"])
    assert "Mira" not in str(refused.value)


@pytest.mark.parametrize("ts", ["", "yesterday", "2026-03-02", "2026-03-02T14:05:00+02:00", "2026-03-02T14:05:00Z\n"])
def test_times_are_in_utc(book: sqlite3.Connection, ts: str, tmp_path: Path) -> None:
    book.execute("BEGIN")
    with pytest.raises(InputError, match="ISO 8601"):
        ledger.append(book, "a", "b", {}, ts, "c")
    with pytest.raises(InputError, match="ISO 8601"):
        ledger.checkpoint(book, tmp_path, KEY, ts)


@pytest.mark.parametrize("column", COLUMNS)
@pytest.mark.parametrize("line", range(1, 7))
def test_a_line_that_was_edited_is_named(book: sqlite3.Connection, line: int, column: str) -> None:
    unlocked(book).execute(f"UPDATE events SET {column} = {column} || '0' WHERE seq = ?", (line,))
    with pytest.raises(Rejected, match=f"breaks at line {line}:"):
        ledger.check(book)


@pytest.mark.parametrize("line", range(1, 6))
def test_a_line_that_was_taken_out_or_moved_is_named(book: sqlite3.Connection, line: int) -> None:
    unlocked(book).execute("DELETE FROM events WHERE seq = ?", (line,))
    with pytest.raises(Rejected, match=f"breaks at line {line}:"):
        ledger.check(book)
    book.execute("UPDATE events SET seq = seq - 1 WHERE seq > ?", (line,))
    with pytest.raises(Rejected, match=f"breaks at line {line}:"):
        ledger.check(book)


@pytest.mark.parametrize("change", ["UPDATE events SET actor = 'x'", "DELETE FROM events WHERE seq = 6"])
def test_nobody_changes_a_line_by_mistake(book: sqlite3.Connection, change: str) -> None:
    with pytest.raises(sqlite3.IntegrityError, match="an event is never"):
        book.execute(change)


def test_only_a_checkpoint_tells_that_the_end_was_cut_off(book: sqlite3.Connection, tmp_path: Path) -> None:
    ledger.checkpoint(book, tmp_path, KEY, NOON)
    newest = ledger.anchored(book, tmp_path, KEYS)
    assert (newest.head, newest.ts) == (ledger.head(book), NOON)
    unlocked(book).execute("DELETE FROM events WHERE seq > 4")
    assert ledger.check(book).seq == 4
    with pytest.raises(Rejected, match="line 6 was signed"):
        ledger.anchored(book, tmp_path, KEYS)
    with pytest.raises(Rejected, match="line 6 was signed"):  # what was cut is not signed again
        ledger.checkpoint(book, tmp_path, KEY, NOON)


def test_only_a_checkpoint_tells_that_all_was_written_anew(book: sqlite3.Connection, tmp_path: Path) -> None:
    ledger.checkpoint(book, tmp_path, KEY, NOON)
    with opened(":memory:") as other:
        told(other, 9)
        other.execute("DROP TRIGGER events_stay")
        prev = ledger.START
        for seq, *cells in other.execute("SELECT seq, ts, actor, kind, object, body FROM events").fetchall():
            cells[1] = "nobody"
            hash_ = ledger._hash(prev, seq, *cells)
            other.execute("UPDATE events SET actor = 'nobody', prev = ?, hash = ? WHERE seq = ?", (prev, hash_, seq))
            prev = hash_
        assert ledger.check(other).seq == 9
        with pytest.raises(Rejected, match="line 6 was signed"):
            ledger.anchored(other, tmp_path, KEYS)


def test_every_checkpoint_counts_and_has_to_be_genuine(book: sqlite3.Connection, tmp_path: Path) -> None:
    with pytest.raises(Rejected, match="there is no checkpoint"):
        ledger.anchored(book, tmp_path, KEYS)
    first = ledger.checkpoint(book, tmp_path, KEY, NOON)
    book.execute("BEGIN")
    ledger.append(book, "a", "b", {}, NOON, "c")
    book.execute("COMMIT")
    second = ledger.checkpoint(book, tmp_path, KEY, NOON)
    assert ledger.anchored(book, tmp_path, KEYS).head.seq == 7
    genuine = first.read_bytes()
    first.write_bytes(second.read_bytes())
    with pytest.raises(Rejected, match="another line than its name"):
        ledger.anchored(book, tmp_path, KEYS)
    payload = b64encode(canonical({"hash": "0" * 64, "seq": 6, "ts": NOON})).decode()
    first.write_bytes(canonical({**json.loads(genuine), "payload": payload}))
    with pytest.raises(Rejected, match="signature"):
        ledger.anchored(book, tmp_path, KEYS)
    first.write_bytes(genuine[:100])
    with pytest.raises(Rejected, match="damaged"):
        ledger.anchored(book, tmp_path, KEYS)


def test_a_new_key_goes_on_where_the_old_one_ended(book: sqlite3.Connection, tmp_path: Path) -> None:
    ledger.checkpoint(book, tmp_path, KEY, NOON)
    book.execute("BEGIN")
    ledger.append(book, "key.changed", "issuer", {}, NOON, "c")
    book.execute("COMMIT")
    with pytest.raises(Rejected, match="a key that is not among"):
        ledger.checkpoint(book, tmp_path, OTHER, NOON)
    ledger.checkpoint(book, tmp_path, OTHER, NOON, earlier=KEYS)
    both = {**KEYS, key_id(OTHER.public_key()): OTHER.public_key()}
    assert ledger.anchored(book, tmp_path, both).head.seq == 7


@settings(max_examples=60, deadline=None)
@given(st.lists(st.text(), min_size=5, max_size=5), st.integers(0, 2**53 - 1))
def test_the_hash_is_that_of_the_canonical_line(cells: list[str], seq: int) -> None:
    line = [ledger.START, seq, *cells]
    assert ledger._hash(*line) == sha256(canonical(line)).hexdigest()


def test_a_file_that_is_no_ledger_is_rejected() -> None:
    with opened(":memory:") as connection, pytest.raises(Rejected, match="cannot be read"):
        ledger.check(connection)
