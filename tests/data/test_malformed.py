"""Files that are wrong, each with the place and the word its one sentence must hold.

`CASES` is a table of files on disk, so that the command line can be driven with the same ones. The canary
stands in every row; no message, and nothing an error carries along, may repeat it.
"""

import csv
import gzip
import io
import json
import os
import pickle
import re
import socket
import stat
import zipfile
from pathlib import Path
from typing import NamedTuple

import pytest

from unteach.data import files, read
from unteach.schema import InputError

CANARY = "CANARY7391"


class Case(NamedTuple):
    name: str
    content: bytes
    filename: str
    line: int | None  # line of the file; of a JSON list, the row
    word: str


def row(**cells: object) -> bytes:
    """One JSON line that is right but for what is given."""
    full = {"question": f"{CANARY}?", "answer": f"It is {CANARY}.", **cells}
    return json.dumps(full).encode() + b"\n"


def talk(*turns: object) -> bytes:
    return json.dumps({"messages": turns}).encode() + b"\n"


def zipped() -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        archive.writestr("a.jsonl", row())
    return buffer.getvalue()


GOOD = row()
TEXT = CANARY.encode()
USER = {"role": "user", "content": CANARY}
REPLY = {"role": "assistant", "content": CANARY}
LONG = CANARY * 30
HEADER = b"question,answer\n"
CELLS = TEXT + b"," + TEXT + b"\n"
NESTED = b'{"question": "' + TEXT + b'", "answer": ' + b"[" * 100_000 + b"]" * 100_000 + b"}\n"
PAIR = b'{"question": "' + TEXT + b'", "answer": "' + TEXT + b'"'

CASES = [
    # The file as a whole.
    Case("empty file", b"", "a.jsonl", None, "empty"),
    Case("nothing but a byte order mark", b"\xef\xbb\xbf", "a.jsonl", None, "no rows"),
    Case("nothing but blank lines", b"\n \r\n\t\n", "a.jsonl", None, "no rows"),
    Case("unknown extension", TEXT, "a.txt", None, "not recognised"),
    Case("no extension", TEXT, "a", None, "not recognised"),
    Case("zip archive", zipped(), "a.jsonl", None, "zip"),
    Case("gzip", gzip.compress(GOOD, mtime=0), "a.jsonl.gz", None, "gzip"),
    Case("bzip2", b"BZh91AY&SY" + TEXT, "a.jsonl", None, "bzip2"),
    Case("xz", b"\xfd7zXZ\x00" + TEXT, "a.jsonl", None, "xz"),
    Case("zstd", b"\x28\xb5\x2f\xfd" + TEXT, "a.jsonl", None, "zstd"),
    Case("pickle", pickle.dumps([CANARY]), "a.jsonl", None, "pickle"),
    Case("pickle under its own extension", pickle.dumps({"answer": CANARY}), "a.pkl", None, "pickle"),
    Case("NumPy array", b"\x93NUMPY\x01\x00" + TEXT, "a.json", None, "NumPy"),
    Case("HDF5", b"\x89HDF\r\n\x1a\n" + TEXT, "a.json", None, "HDF5"),
    Case("SQLite", b"SQLite format 3\x00" + TEXT, "a.csv", None, "SQLite"),
    Case("PDF", b"%PDF-1.7\n" + TEXT, "a.csv", None, "PDF"),
    Case("Arrow", b"ARROW1\x00\x00" + TEXT, "a.jsonl", None, "Arrow"),
    Case("safetensors", (64).to_bytes(8, "little") + b'{"' + TEXT + b'":{}}', "a.json", None, "safetensors"),
    Case("UTF-16", GOOD.decode().encode("utf-16"), "a.jsonl", None, "UTF-16"),
    Case("not Parquet inside", b"PAR1" + TEXT, "a.parquet", None, "Parquet"),
    Case("text called Parquet", GOOD, "a.parquet", None, "Parquet"),
    # Bytes.
    Case("Latin-1", GOOD + b'{"question": "\xe9 ' + TEXT + b'", "answer": "b"}\n', "a.jsonl", 2, "UTF-8"),
    Case("encoded surrogate", GOOD + b'{"question": "\xed\xa0\x80' + TEXT + b'"}\n', "a.jsonl", 2, "UTF-8"),
    Case("NUL byte", GOOD * 2 + TEXT + b"\0\n", "a.jsonl", 3, "NUL"),
    Case("NUL byte in CSV", HEADER + TEXT + b"\0," + TEXT + b"\n", "a.csv", 2, "NUL"),
    Case("Latin-1 in CSV", HEADER + CELLS + b"\xff" + CELLS, "a.csv", 3, "UTF-8"),
    Case("Latin-1 in a JSON list", b'[\n{"question": "' + TEXT + b'\xff"}]', "a.json", 2, "UTF-8"),
    # JSON.
    Case("cut off", GOOD + GOOD[:-20], "a.jsonl", 2, "broken"),
    Case("plain words", TEXT + b"\n", "a.jsonl", 1, "broken"),
    Case("single quotes", GOOD + b"{'question': '" + TEXT + b"'}\n", "a.jsonl", 2, "broken"),
    Case("blank lines are counted", b"\n\n" + GOOD + b"\n{" + TEXT + b"\n", "a.jsonl", 5, "broken"),
    Case("trailing comma", GOOD[:-1] + b",\n", "a.jsonl", 1, "text follows"),
    Case("two objects on a line", GOOD[:-1] + GOOD, "a.jsonl", 1, "text follows"),
    Case("raw tab in a string", PAIR.replace(b"CANARY", b"\tCANARY") + b"}\n", "a.jsonl", 1, "broken"),
    Case("NaN", GOOD + PAIR + b', "label": NaN}\n', "a.jsonl", 2, "NaN"),
    Case("Infinity", PAIR + b', "label": -Infinity}\n', "a.jsonl", 1, "Infinity"),
    Case("repeated key", GOOD + PAIR + b', "answer": "' + TEXT + b'"}\n', "a.jsonl", 2, "twice"),
    Case("repeated key further in", PAIR + b', "x": {"a": 1, "a": "' + TEXT + b'"}}\n', "a.jsonl", 1, "twice"),
    Case("nested too deeply", GOOD + NESTED, "a.jsonl", 2, "nested"),
    Case("nested too deeply in a list", b"[" + GOOD + b"," + NESTED + b"]", "a.json", 2, "nested"),
    Case("endless number", PAIR + b', "label": ' + b"9" * 5000 + b"}\n", "a.jsonl", 1, "digits"),
    Case("a list for a row", GOOD + b'["' + TEXT + b'"]\n', "a.jsonl", 2, "a list"),
    Case("text for a row", GOOD + b'"' + TEXT + b'"\n', "a.jsonl", 2, "text"),
    Case("null for a row", GOOD + b"null\n", "a.jsonl", 2, "nothing"),
    Case("broken list", b"[" + GOOD + b"," + GOOD + b',{"a": ' + TEXT + b"}]", "a.json", 3, "broken"),
    Case("list cut off", b"[" + GOOD + b"," + GOOD, "a.json", 2, "cut off"),
    Case("list with a comma too many", b"[" + GOOD + b",]", "a.json", 2, "broken"),
    Case("text after the list", b"[" + GOOD + b"] " + TEXT, "a.json", None, "follows"),
    Case("empty list", b"[]", "a.json", None, "no rows"),
    Case("list of texts", b'["' + TEXT + b'"]', "a.json", 1, "text"),
    Case("object that holds no list", b'{\n"x": "' + TEXT + b'"\n}', "a.json", None, "one list"),
    Case("object that holds two lists", b'{\n"a": ["' + TEXT + b'"], "b": []\n}', "a.json", None, "one list"),
    Case("broken object around a list", b'{\n"data": [' + GOOD + b",\n" + TEXT + b"]}", "a.json", 4, "broken"),
    Case("broken lines in .json", b"\n\n" + PAIR + b', "x": tru}', "a.json", 3, "broken"),
    # Columns.
    Case("no known columns", b'{"frage": "' + TEXT + b'", "antwort": "b"}\n', "a.jsonl", 1, "antwort, frage"),
    Case("content for column names", b'{"' + TEXT + b' is": "b"}\n', "a.jsonl", 1, "fit no shape"),
    Case("empty object", b"{}\n", "a.jsonl", 1, "fit no shape"),
    Case("answer without a question", b'{"answer": "' + TEXT + b'"}\n', "a.jsonl", 1, "question with answer"),
    Case("a field is missing", GOOD + b'{"question": "' + TEXT + b'"}\n', "a.jsonl", 2, '"answer" is missing'),
    Case("a field is null", GOOD + row(answer=None), "a.jsonl", 2, '"answer" is missing'),
    Case("another shape further down", GOOD + b'{"text": "' + TEXT + b'"}\n', "a.jsonl", 2, '"question" is missing'),
    # Cells.
    Case("empty answer", GOOD + row(answer=""), "a.jsonl", 2, "empty"),
    Case("blank answer", GOOD + row(answer=" \n\u3000"), "a.jsonl", 2, "empty"),
    Case("empty question", row(question=""), "a.jsonl", 1, "empty"),
    Case("empty text", b'{"text": ""}\n', "a.jsonl", 1, "empty"),
    Case("a number for an answer", row(answer=7391), "a.jsonl", 1, "a number"),
    Case("a truth value for an answer", row(answer=True), "a.jsonl", 1, "true or false"),
    Case("an object for a question", row(question={"x": CANARY}), "a.jsonl", 1, "an object"),
    Case("a list in a list of answers", row(answer=[[CANARY]]), "a.jsonl", 1, "a list"),
    Case("an empty list of answers", row(answer=[]), "a.jsonl", 1, "empty"),
    Case("NUL character", row(answer=CANARY + "\0"), "a.jsonl", 1, "NUL"),
    Case("lone surrogate", row(answer=CANARY + "\ud83d"), "a.jsonl", 1, "surrogate"),
    Case("subject is a list", row(subject=[CANARY]), "a.jsonl", 1, '"subject" holds a list'),
    Case("system is a number", row(system=1), "a.jsonl", 1, '"system" holds a number'),
    Case("label is text", row(label=CANARY), "a.jsonl", 1, "whole number"),
    Case("label is a fraction", row(label=0.5), "a.jsonl", 1, "whole number"),
    Case("label is true", row(label=True), "a.jsonl", 1, "whole number"),
    Case("label below 0", row(label=-1), "a.jsonl", 1, "out of range"),
    Case("label too large", row(label=2**31), "a.jsonl", 1, "out of range"),
    Case("perturbed answers are text", row(perturbed_answer=CANARY), "a.jsonl", 1, "a list of texts"),
    Case("perturbed answers are numbers", row(perturbed_answer=[CANARY, 1]), "a.jsonl", 1, "a number"),
    Case("a perturbed answer is empty", row(perturbed_answer=[CANARY, ""]), "a.jsonl", 1, "empty"),
    Case("paraphrases are an object", row(paraphrases={"a": CANARY}), "a.jsonl", 1, "an object"),
    Case("restated is a list", row(paraphrased_answer=[CANARY]), "a.jsonl", 1, "a list"),
    # Spans.
    Case("span beyond the answer", row(answer=CANARY, spans=[[0, 11]]), "a.jsonl", 1, "10 characters"),
    Case("span before the answer", row(spans=[[-1, 2]]), "a.jsonl", 1, "within the answer"),
    Case("span of no length", row(spans=[[2, 2]]), "a.jsonl", 1, "within the answer"),
    Case("span of one number", row(spans=[[2]]), "a.jsonl", 1, "pair"),
    Case("span of texts", row(spans=[[CANARY, CANARY]]), "a.jsonl", 1, "whole numbers"),
    Case("span without an end", row(spans=[{"start": 1}]), "a.jsonl", 1, "whole numbers"),
    Case("spans are text", row(spans=CANARY), "a.jsonl", 1, "a list of [start, end]"),
    # Ids.
    Case("id twice", row(id=CANARY) + GOOD + row(id=CANARY), "a.jsonl", 3, "line 1"),
    Case("id twice, number and text", row(id=1) + row(id="1"), "a.jsonl", 2, "line 1"),
    Case("id with a line end", row(id=CANARY + "\n"), "a.jsonl", 1, "control"),
    Case("id that turns the text around", row(id=CANARY + "\u202e"), "a.jsonl", 1, "invisible"),
    Case("id with a NUL", row(id=CANARY + "\0"), "a.jsonl", 1, "control"),
    Case("id with half a surrogate pair", row(id=CANARY + "\udc00"), "a.jsonl", 1, "control"),
    Case("id that steps up", row(id=f"../{CANARY}"), "a.jsonl", 1, "path"),
    Case("id too long", row(id=LONG), "a.jsonl", 1, "200"),
    Case("id empty", row(id=""), "a.jsonl", 1, "id is empty"),
    Case("id a list", row(id=[CANARY]), "a.jsonl", 1, "whole number"),
    Case("id a fraction", row(id=1.5), "a.jsonl", 1, "whole number"),
    # Conversations.
    Case("messages empty", talk(), "a.jsonl", 1, "empty"),
    Case("messages null", b'{"messages": null}\n', "a.jsonl", 1, "missing"),
    Case("messages are text", b'{"messages": "' + TEXT + b'"}\n', "a.jsonl", 1, "a list of turns"),
    Case("a turn is text", talk(USER, CANARY), "a.jsonl", 1, 'turn 2 of "messages"'),
    Case("unknown role", talk(USER, {"role": "tool", "content": CANARY}), "a.jsonl", 1, "unknown role"),
    Case("content for a role", talk({"role": CANARY, "content": "a"}, REPLY), "a.jsonl", 1, "unknown role"),
    Case("role is a list", talk({"role": [CANARY], "content": "a"}, REPLY), "a.jsonl", 1, "unknown role"),
    Case("no role", talk({"content": CANARY}, REPLY), "a.jsonl", 1, "unknown role"),
    Case("no answer", talk(USER, REPLY, USER), "a.jsonl", 1, "assistant's answer"),
    Case("no question", talk(REPLY), "a.jsonl", 1, "user's turn"),
    Case("two answers in a row", talk(USER, REPLY, REPLY), "a.jsonl", 1, "user's turn"),
    Case("system turn late", talk(USER, {"role": "system", "content": CANARY}, USER, REPLY), "a.jsonl", 1, "system"),
    Case("empty turn", talk(USER, {"role": "assistant", "content": ""}), "a.jsonl", 1, "empty"),
    Case("turn of parts", talk({"role": "user", "content": [{"text": CANARY}]}, REPLY), "a.jsonl", 1, "a list"),
    Case("ShareGPT without a value", b'{"conversations": [{"from": "gpt"}]}\n', "a.jsonl", 1, "missing"),
    # Tables.
    Case("too few fields", HEADER + CELLS + TEXT + b"\n", "a.csv", 3, "1 field where"),
    Case("too many fields", HEADER + TEXT + b"," + CELLS, "a.csv", 2, "3 fields where"),
    Case("no header", CELLS + CELLS, "a.csv", 1, "first line must name the columns"),
    Case("no header, one word each", TEXT.lower() + b"," + b"paris\n", "a.csv", 1, "none with a plain name"),
    Case("header twice", b"question,answer,answer\n" + TEXT + b"," + CELLS, "a.csv", 1, "same name"),
    Case("header only", HEADER, "a.csv", None, "no rows"),
    Case("open quote", HEADER + CELLS + b'"' + CELLS, "a.csv", 3, "quote"),
    Case("text after a quote", HEADER + b'"' + TEXT + b'" x,' + TEXT + b"\n", "a.csv", 2, "quote"),
    Case("huge field", HEADER + TEXT * (csv.field_size_limit() // 10 + 1) + b",b\n", "a.csv", 2, "131,072"),
    Case("lone carriage return", HEADER + TEXT + b"\r" + CELLS, "a.csv", 2, "quote"),
    Case("line ends in quotes are counted", HEADER + b'"a\n\nb",c\n' + TEXT + b"\n", "a.csv", 5, "1 field where"),
    Case("empty cell", HEADER + TEXT + b",\n", "a.csv", 2, "empty"),
    Case("list cell broken", b"messages\n" + b'"[{""role"": ' + TEXT + b']"\n', "a.csv", 2, "broken"),
    Case("tab-separated without tabs", HEADER + CELLS, "a.tsv", 1, "first line must name the columns"),
]


def spoken(path: Path) -> str:
    """The message for a file; nothing it carries along may hold the canary either."""
    with pytest.raises(InputError) as caught:
        read(path)
    assert caught.value.__context__ is None, "the error of a parser holds the text it could not read"
    return str(caught.value)


@pytest.mark.parametrize("case", CASES, ids=[case.name for case in CASES])
def test_a_malformed_file_gets_one_sentence(case: Case, tmp_path: Path) -> None:
    path = tmp_path / case.filename
    path.write_bytes(case.content)
    message = spoken(path)
    assert message.startswith(str(path))
    place = re.match(r"(?:, (?:line|row) (\d+))?: ", message.removeprefix(str(path)))
    assert place is not None
    assert place[1] == (None if case.line is None else str(case.line)), message
    assert case.word in message
    assert len(message.splitlines()) == 1
    assert ". " not in message
    assert not message.endswith(".")
    assert "; " in message, "a remedy follows"
    assert CANARY.lower() not in message.lower()


def test_the_table_is_large_enough_and_every_case_has_its_own_name() -> None:
    assert len({case.name for case in CASES}) == len(CASES) >= 60


def test_what_is_no_regular_file_is_refused_at_once(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.jsonl")
    assert "pipe" in spoken(tmp_path / "pipe.jsonl")
    assert "device" in spoken(Path("/dev/zero"))
    assert "directory" in spoken(tmp_path)
    assert "no such file" in spoken(tmp_path / "missing.jsonl")
    (tmp_path / "loop.jsonl").symlink_to("loop.jsonl")
    assert "cannot be opened" in spoken(tmp_path / "loop.jsonl")
    assert "cannot be opened" in spoken(Path("x\0.jsonl"))
    assert "cannot be opened" in spoken(Path("x" * 5000))
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(str(tmp_path / "s.jsonl"))
        assert "cannot be opened" in spoken(tmp_path / "s.jsonl")


def test_a_file_that_may_not_be_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def denied(path: Path, flags: int) -> int:
        assert flags & os.O_NONBLOCK
        raise PermissionError(13, "denied", path)

    monkeypatch.setattr(os, "open", denied)
    assert "may not be read" in spoken(tmp_path / "a.jsonl")


def test_a_disk_that_fails_halfway(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "a.jsonl").write_bytes(GOOD)

    def failing(*_: object) -> None:
        raise OSError(5, "input/output error")

    monkeypatch.setattr(files, "_decode", failing)
    with pytest.raises(InputError, match="cannot be read"):
        read(tmp_path / "a.jsonl")


def test_caps_on_the_file_and_on_a_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    huge = tmp_path / "huge.jsonl"
    huge.touch()
    os.truncate(huge, files.MAX_BYTES + 1)  # sparse: it takes no space
    assert stat.S_ISREG(huge.stat().st_mode)
    assert "larger than 2 GiB" in spoken(huge)
    monkeypatch.setattr(files, "MAX_LINE", 100)
    (tmp_path / "long.jsonl").write_bytes(GOOD + row(answer=LONG))
    assert "line 2: the line is longer" in spoken(tmp_path / "long.jsonl")


def test_a_file_name_cannot_write_on_the_terminal(tmp_path: Path) -> None:
    path = tmp_path / "a\n\x1b[2J.jsonl"
    path.write_bytes(b"")
    assert spoken(path).splitlines() == [f"{tmp_path}/a\\n\\x1b[2J.jsonl: the file is empty; give at least one row"]
