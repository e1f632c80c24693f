"""Whatever the bytes are, reading ends in rows or in one sentence that repeats no content."""

import json
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from unteach.data import columns, read
from unteach.schema import InputError

SUFFIXES = st.sampled_from([".jsonl", ".json", ".csv", ".tsv", ".txt", ""])
NAMES = st.sampled_from(sorted(columns.KNOWN)) | st.sampled_from(["role", "content", "from", "value", "start", "other"])
CANARIES = st.text("ABCDEFGHJKLMNPQRSTUVWXYZ", min_size=12, max_size=12)
often = settings(
    max_examples=60, deadline=None, database=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)


def values(canary: str) -> st.SearchStrategy[object]:
    """JSON values in which every text holds the canary, but for the roles of turns."""
    texts = st.sampled_from([canary, f"{canary}\0", f"{canary}\ud800", f" {canary}\n{canary}", f'"{canary},'])
    leaves = texts | st.none() | st.booleans() | st.integers() | st.floats() | st.sampled_from(["user", "assistant"])
    return st.recursive(leaves, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(NAMES, inner, max_size=3))


def attempt(source: object) -> str:
    """All that reading says: the rows' own words, or the sentence."""
    try:
        found = read(source)  # type: ignore[arg-type]
    except InputError as error:
        refused = error
    else:
        assert len({r.id for r in found.records}) == len(found.records) == len(found.lines) > 0
        assert all(r.answer.strip() for r in found.records)
        return f"{found!r} {found.legend}"
    assert refused.__context__ is None
    assert len(str(refused).splitlines()) == 1
    return str(refused)


@often
@given(content=st.binary(max_size=200), suffix=SUFFIXES)
def test_any_bytes(content: bytes, suffix: str, tmp_path: Path) -> None:
    path = tmp_path / f"a{suffix}"
    path.write_bytes(content)
    attempt(path)


@often
@given(data=st.data(), canary=CANARIES, suffix=SUFFIXES)
def test_any_rows_cut_and_spliced(data: st.DataObject, canary: str, suffix: str, tmp_path: Path) -> None:
    rows = data.draw(st.lists(st.dictionaries(NAMES, values(canary), max_size=5), min_size=1, max_size=4))
    lines = [json.dumps(row) for row in rows]
    text = data.draw(st.sampled_from(["\n".join(lines), f"[{','.join(lines)}]", f'{{"a": [{",".join(lines)}]}}']))
    content = text.encode()
    cut = data.draw(st.integers(0, len(content)))
    splice = data.draw(st.sampled_from([b"", b'"', b"\n", b"{", b"]", b"\xff", b"\0", b","]))
    path = tmp_path / f"a{suffix}"
    path.write_bytes(content[:cut] + splice + content[cut + data.draw(st.integers(0, 3)) :])
    assert canary not in attempt(path)


@often
@given(data=st.data(), canary=CANARIES, delimiter=st.sampled_from([",", ";", "\t"]))
def test_any_table(data: st.DataObject, canary: str, delimiter: str, tmp_path: Path) -> None:
    cell = st.sampled_from([canary, f'"{canary}"', f'"{canary}', "", f'"a\n{canary}"', f'"[""{canary}""]"', "[", "1"])
    header = data.draw(st.lists(NAMES, max_size=4) | st.lists(cell, max_size=3))
    rows = [header, *data.draw(st.lists(st.lists(cell, max_size=4), max_size=4))]
    path = tmp_path / "a.csv"
    path.write_text("\n".join(delimiter.join(row) for row in rows), encoding="utf-8")
    assert canary not in attempt(path)


@often
@given(data=st.data(), canary=CANARIES)
def test_any_rows_from_python(data: st.DataObject, canary: str) -> None:
    rows = data.draw(st.lists(st.dictionaries(NAMES, values(canary), max_size=5) | values(canary), max_size=4))
    assert canary not in attempt(rows)


def test_what_hypothesis_would_be_slow_to_find(tmp_path: Path) -> None:
    path = tmp_path / "a.json"
    for depth in (10, 900, 5000, 200_000):
        path.write_text('{"text": ' + "[" * depth + "]" * depth + "}")
        with pytest.raises(InputError, match=r"nested|a list"):
            read(path)
