"""Certificates and ledgers altered at random: bytes, members, forms of the same value, signatures, lines, whole chains."""

import json
import random
import sqlite3
from base64 import b64decode, b64encode, urlsafe_b64encode
from collections.abc import Callable
from typing import Any

from unteach.service import ledger
from unteach.service.canonical import canonical

COLUMNS = ("seq", "ts", "actor", "kind", "object", "body", "prev", "hash")


def flipped(data: bytes, rng: random.Random) -> bytes:
    changed = bytearray(data)
    for _ in range(rng.choice((1, 1, 1, 2, 8))):
        changed[rng.randrange(len(changed))] ^= 1 << rng.randrange(8)
    return bytes(changed)


def cut(data: bytes, rng: random.Random) -> bytes:
    at = rng.randrange(len(data))
    return rng.choice((data[:at], data[at:], data[:at] + data[at + rng.randrange(1, 40) :]))


def grown(data: bytes, rng: random.Random) -> bytes:
    at, more = rng.choice((0, len(data), rng.randrange(len(data)))), rng.choice((b" ", b"\n", b"\0", b"{}", data[:20]))
    return data[:at] + more + data[at:]


def _leaf(value: Any, rng: random.Random) -> Any:
    """Another value in place of one."""
    if isinstance(value, str) and value:
        at = rng.randrange(len(value))
        return rng.choice(
            (value[:at] + rng.choice("0afz!") + value[at + 1 :], value[:at], value + "0", None, value.upper())
        )
    return rng.choice((None, 0, 1, -1, 0.5, True, "x", [], {}, [value]))


def changed(value: Any, rng: random.Random) -> Any:
    """A JSON value with one thing in it changed, added, dropped or moved."""
    if isinstance(value, dict) and value:
        key = rng.choice(sorted(value))
        how = rng.randrange(8)
        if how == 0:
            return {k: v for k, v in value.items() if k != key}
        if how == 1:
            return {**value, rng.choice(("extra", "_type", key + "s")): value[key]}
        return {**value, key: changed(value[key], rng)}
    if isinstance(value, list) and value:
        at, how = rng.randrange(len(value)), rng.randrange(5)
        if how == 0:
            return value[:at] + value[at + 1 :]
        if how == 1:
            return [*value, value[at]]
        return [*value[:at], changed(value[at], rng), *value[at + 1 :]]
    return _leaf(value, rng)


def payload(data: bytes, rng: random.Random) -> bytes:
    """Another statement under the same signature."""
    whole = json.loads(data)
    said = changed(json.loads(b64decode(whole["payload"])), rng)
    return canonical({**whole, "payload": b64encode(canonical(said)).decode()})


def members(data: bytes, rng: random.Random) -> bytes:
    """Another envelope."""
    return canonical(changed(json.loads(data), rng))


def same_value(data: bytes, rng: random.Random) -> bytes:
    """The same value, written in another way."""
    whole = json.loads(data)
    inner = b64decode(whole["payload"])
    ways: tuple[Callable[[], bytes], ...] = (
        lambda: json.dumps(whole).encode(),
        lambda: json.dumps(whole, indent=rng.randrange(3)).encode(),
        lambda: json.dumps(dict(reversed(whole.items())), separators=(",", ":")).encode(),
        lambda: data.replace(b'"payload"', b'"payload":"","payload"', 1),
        lambda: data.replace(b"payloadType", b"payload\\u0054ype"),
        lambda: canonical({**whole, "payload": urlsafe_b64encode(inner).decode() + "=" * rng.randrange(3)}),
        lambda: canonical({**whole, "payload": b64encode(inner).decode().rstrip("=") + "\n" * rng.randrange(2)}),
        lambda: canonical({**whole, "payload": b64encode(json.dumps(json.loads(inner)).encode()).decode()}),
        lambda: canonical({**whole, "payload": b64encode(inner + b" ").decode()}),
        lambda: canonical({**whole, "signatures": whole["signatures"] * 2}),
        lambda: canonical({**whole, "signatures": [*whole["signatures"], {"keyid": "", "sig": ""}]}),
        lambda: canonical({**whole, "signatures": [{"sig": whole["signatures"][0]["sig"]}]}),
    )
    return rng.choice(ways)()


def signature(data: bytes, rng: random.Random) -> bytes:
    """The same statement with another signature, the one with a multiple of the group's order added among them."""
    whole = json.loads(data)
    sig = bytearray(b64decode(whole["signatures"][0]["sig"]))
    order = 2**252 + 27742317777372353535851937790883648493
    if rng.randrange(2):
        scalar = int.from_bytes(sig[32:], "little") + order * rng.randrange(1, 8)
        sig[32:] = (scalar % 2**256).to_bytes(32, "little")
    else:
        sig[rng.randrange(64)] ^= 1 << rng.randrange(8)
    return canonical({**whole, "signatures": [{**whole["signatures"][0], "sig": b64encode(sig).decode()}]})


CERTIFICATE = (flipped, cut, grown, payload, payload, members, same_value, signature)


def certificate(data: bytes, rng: random.Random) -> bytes:
    """A certificate that differs from the one given."""
    made = data
    while made == data:
        made = rng.choice(CERTIFICATE)(data, rng)
    return made


def _cell(rows: list[list[Any]], rng: random.Random) -> None:
    row, column = rng.choice(rows), rng.randrange(len(COLUMNS))
    row[column] = row[column] + rng.choice((1, -1, 100)) if column == 0 else _leaf(row[column], rng) or ""


def _swap(rows: list[list[Any]], rng: random.Random) -> None:
    one, other = rng.sample(rows, 2)
    column = rng.randrange(1, len(COLUMNS))
    one[column], other[column] = other[column], one[column]


def _drop(rows: list[list[Any]], rng: random.Random) -> None:
    rows.pop(rng.randrange(len(rows)))


def _truncate(rows: list[list[Any]], rng: random.Random) -> None:
    del rows[rng.randrange(len(rows)) :]


def _renumber(rows: list[list[Any]], rng: random.Random) -> None:
    rows.pop(rng.randrange(len(rows)))
    for number, row in enumerate(rows, 1):
        row[0] = number


def _rechain(rows: list[list[Any]], rng: random.Random) -> None:
    """What a thief with the database would do: change something, and make every hash after it anew."""
    rng.choice((_cell, _renumber, _truncate))(rows, rng)
    prev = ledger.START
    for number, row in enumerate(rows, 1):
        row[0], row[6] = number, prev
        row[7] = prev = ledger._hash(prev, number, *(str(cell) for cell in row[1:6]))


LINES = (_cell, _cell, _swap, _drop, _truncate, _renumber, _rechain)


def lines(connection: sqlite3.Connection, rng: random.Random) -> None:
    """A ledger in memory with its lines altered."""
    rows = [list(r) for r in connection.execute(f"SELECT {', '.join(COLUMNS)} FROM events ORDER BY seq")]
    rng.choice(LINES)(rows, rng)
    connection.execute("DROP TABLE events")
    connection.execute(f"CREATE TABLE events (seq INTEGER PRIMARY KEY, {', '.join(COLUMNS[1:])})")
    connection.executemany("INSERT OR IGNORE INTO events VALUES (?, ?, ?, ?, ?, ?, ?, ?)", rows)
