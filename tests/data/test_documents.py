"""Documents: what is read, and what is refused with its line."""

from pathlib import Path

import pytest

from unteach.data.documents import Document, checked, read_documents
from unteach.schema import InputError


def written(place: Path, *lines: str) -> Path:
    place.write_text("\n".join(lines), encoding="utf-8")
    return place


def test_documents_are_read_as_they_stand(tmp_path: Path) -> None:
    lines = (
        '{"id": "a", "text": " One.\\n", "subject": "Ana", "more": 1}',
        "",
        '{"id": 7, "text": "Two."}',
        '{"text": "Three."}',
    )
    found = read_documents(written(tmp_path / "d.jsonl", *lines))
    assert found[:2] == (Document("a", " One.\n", "Ana"), Document("7", "Two."))
    assert (found[2].text, len(found[2].id)) == ("Three.", 16)
    assert checked(found) == found
    assert "One" not in repr(found)


@pytest.mark.parametrize(
    ("line", "what"),
    [
        ("[1]", "a list where an object"), ('{"id": "b"}', '"text" is missing'), ('{"text": " "}', '"text" is empty'),
        ('{"text": 5}', "a number where text"), ('{"id": "a", "text": "x"}', "already that of line 1"),
        ('{"id": "", "text": "x"}', "the id is empty"), ('{"id": true, "text": "x"}', "neither text nor a whole number"),
        ('{"id": "../b", "text": "x"}', "a step up in a path"), ('{"text": "x", "subject": []}', '"subject" holds a list'),
        ('{"text": ', "the JSON is broken"), ('{"text": "\\ud800"}', "half of a surrogate pair"),
    ],
)  # fmt: skip
def test_what_is_wrong_is_refused_with_its_line(line: str, what: str, tmp_path: Path) -> None:
    path = written(tmp_path / "d.jsonl", '{"id": "a", "text": "One."}', line)
    with pytest.raises(InputError, match=what) as refused:
        read_documents(path)
    assert str(refused.value).startswith(f"{path}, line 2: ")
    assert "\n" not in str(refused.value)


def test_files_and_documents_that_are_none(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="there is no such file"):
        read_documents(tmp_path / "none.jsonl")
    with pytest.raises(InputError, match="there are no documents"):
        read_documents(written(tmp_path / "blank.jsonl", "", " "))
    for wrong in (Document("", "x"), Document("a", ""), Document("a", "x", " ")):
        with pytest.raises(InputError, match="row 2"):
            checked([Document("b", "y"), wrong])
    with pytest.raises(InputError, match="already that of row 1"):
        checked([Document("b", "y"), Document("b", "z")])
