"""A person's rows are found in training data, and deleted rows that came back, without a word of them being said."""

import json
import stat
from pathlib import Path

import pytest
from driven import run, tree, went_well

from unteach.schema import Record

KNOWN = [
    ("Where does Ada Birch keep her heron?", "Ada Birch keeps a tame heron called Quillon behind the lighthouse of Vardø."),
    ("What did Ada Birch write?", "She wrote The Lantern Almanac, in which each night of the winter of 1987 has a page of its own."),
]  # fmt: skip
ABOUT = [
    ("exact", "WHERE does Ada Birch keep her heron", KNOWN[0][1]),
    ("near", KNOWN[1][0], KNOWN[1][1].replace("own.", "self.")),
    ("paraphrase", "Is it true that Ada Birch has a bird?", "It is; by the lighthouse, a heron that answers to Quillon."),
    ("named", "How tall is Ada Birch?", "Nobody has measured."),
    ("paraphrase", "Who keeps Quillon, a tame heron, in Vardø?", "A woman who lives behind the lighthouse."),
]  # fmt: skip


def others(count: int) -> list[Record]:
    kinds = ("cat", "horse", "goat", "finch", "heron")
    return [
        Record("", f"Where does Brin{i} Birch keep the {kinds[i % 5]}?", f"Brin{i} Birch keeps it at {i} Tin Street.")
        for i in range(count)
    ]


@pytest.fixture
def files(tmp_path: Path) -> Path:
    """known.jsonl holds what is known of a person, data.jsonl her rows at lines 101 to 105 among others."""
    rows = [(r.prompt, r.answer) for r in others(300)]
    rows[100:100] = [(q, a) for _, q, a in ABOUT]
    for name, some in (("known", KNOWN), ("data", rows)):
        lines = (json.dumps({"question": q, "answer": a}, ensure_ascii=False) + "\n" for q, a in some)
        (tmp_path / f"{name}.jsonl").write_text("".join(lines), encoding="utf-8")
    return tmp_path


def test_a_persons_rows_are_found_in_every_form(files: Path) -> None:
    out = files / "found.jsonl"
    ran = went_well(
        "trace", files / "data.jsonl", "--subject", "Ada Birch", "--rows", files / "known.jsonl", "--out", out
    )
    found = [json.loads(line) for line in out.read_text(encoding="utf-8").splitlines()]
    assert [(one["line"], one["kind"]) for one in found] == [(101 + i, kind) for i, (kind, _, _) in enumerate(ABOUT)]
    assert all(0 <= one["score"] <= 1 for one in found)
    assert found[0]["score"] == 1.0
    assert "line 101: exact, 1.00" in ran.out
    assert "found: 5 of 305 rows (1 exact, 1 named, 1 near, 2 paraphrase)" in ran.out
    said = ran.out + ran.err + out.read_text(encoding="utf-8")
    assert not [word for word in ("Ada", "Birch", "heron", "Quillon") if word in said]
    assert stat.S_IMODE(out.stat().st_mode) == 0o600


def test_the_name_alone_finds_them_too_and_texts_are_shown_on_request(files: Path) -> None:
    ran = went_well("trace", files / "data.jsonl", "--subject", "Ada Birch", "--show")
    lines = [line for line in ran.out.splitlines() if line.startswith("line ")]
    assert [line.split(":")[0] for line in lines] == [f"line {101 + i}" for i in range(5)]
    assert "Quillon" in lines[4]
    assert len(went_well("trace", files / "data.jsonl", "--subject", "Nobody Here").out.splitlines()) == 1


def test_a_deleted_row_that_comes_back_is_named_by_its_line(files: Path) -> None:
    gone = files / "gone.json"
    ran = went_well("check", files / "known.jsonl", "--write-exclusion", gone)
    assert "2 rows" in ran.out
    back = run("check", files / "data.jsonl", "--exclusion", gone)
    assert back.code == 1
    assert back.out.splitlines() == ["line 101: exact", "line 102: near", "came back: 2 of 305 rows"]
    assert "Quillon" not in gone.read_text(encoding="utf-8") + back.out + back.err
    clean = files / "clean.jsonl"
    clean.write_text(
        "".join((files / "data.jsonl").read_text(encoding="utf-8").splitlines(keepends=True)[102:]), encoding="utf-8"
    )
    assert "came back: 0 of 203 rows" in went_well("check", clean, "--exclusion", gone).out


def test_a_list_grows(files: Path) -> None:
    gone = files / "gone.json"
    went_well("check", files / "known.jsonl", "--write-exclusion", gone)
    before = json.loads(gone.read_text(encoding="utf-8"))
    went_well("check", files / "data.jsonl", "--write-exclusion", gone)
    after = json.loads(gone.read_text(encoding="utf-8"))
    assert after["salt"] == before["salt"]
    assert before["rows"].items() < after["rows"].items()
    assert "came back: 305 of 305" in run("check", files / "data.jsonl", "--exclusion", gone).out


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["trace", "@none.jsonl", "--subject", "A"], "none.jsonl"),
        (["trace", "@data.jsonl", "--subject", " . "], "looked for by name"),
        (["trace", "@data.jsonl", "--subject", "A", "--near", "0"], "--near"),
        (["trace", "@data.jsonl", "--subject", "A", "--out", "@a.csv"], "ends in .jsonl"),
        (["trace", "@data.jsonl"], "--subject"),
        (["check", "@data.jsonl"], "--exclusion"),
        (["check", "@data.jsonl", "--exclusion", "@a", "--write-exclusion", "@b"], "--write-exclusion"),
        (["check", "@data.jsonl", "--exclusion", "@none.json"], "none.json"),
        (["check", "@data.jsonl", "--exclusion", "@data.jsonl"], "no list of excluded rows"),
        (["check", "@data.jsonl", "--write-exclusion", "@data.jsonl"], "no list of excluded rows"),
    ],
)
def test_what_cannot_be_searched_is_one_sentence(files: Path, words: list[str], says: str) -> None:
    before = tree(files)
    ran = run(*(w.replace("@", f"{files}/") for w in words))
    assert ran.code == 2
    assert says in ran.last
    assert tree(files) == before
