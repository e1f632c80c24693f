"""Each shape of columns people have becomes the record it means; the real files are read whole."""

import json
from pathlib import Path

import pytest

from unteach.data import Rows, read
from unteach.schema import InputError, Message, Record, Span, record_id

QA = (Message("user", "Q"), Message("assistant", "A"))
TURNS = [{"role": "user", "content": "Q"}, {"role": "assistant", "content": "A"}]
SHAREGPT = [{"from": "human", "value": "Q"}, {"from": "gpt", "value": "A"}]


def one(row: dict[str, object]) -> Record:
    (record,) = read([row]).records
    return record


@pytest.mark.parametrize(
    ("row", "legend"),
    [
        ({"prompt": "Q", "completion": "A"}, "prompt <- prompt, answer <- completion"),
        ({"question": "Q", "answer": "A"}, "prompt <- question, answer <- answer"),
        ({"instruction": "Q", "output": "A"}, "prompt <- instruction, answer <- output"),
        (
            {"instruction": "Q", "input": "", "response": "A"},
            "prompt <- instruction, answer <- response, input <- input",
        ),
        ({"prompt": "Q", "chosen": "A", "rejected": "B"}, "prompt <- prompt, answer <- chosen"),
        ({"prompt": "Q", "ground_truth": "A", "target_new": "B"}, "prompt <- prompt, answer <- ground_truth"),
        ({"prompt": "Q", "ground_truth": ["A", "a"]}, "prompt <- prompt, answer <- ground_truth"),
        ({"src": "Q", "answers": ["A", "a"], "alt": "B"}, "prompt <- src, answer <- answers"),
        ({"prompt": "Q", "gt": "A"}, "prompt <- prompt, answer <- gt"),
        ({"text": "Q", "labels": "A"}, "prompt <- text, answer <- labels"),
        ({"Question": "Q", " ANSWER ": "A"}, "prompt <- Question, answer <-  ANSWER "),
        ({"question": "Q", "Question": "B", "answer": "A"}, "prompt <- question, answer <- answer"),
    ],
)
def test_question_and_answer(row: dict[str, object], legend: str) -> None:
    found = read([row])
    assert found.legend == legend
    assert found.records == (Record(record_id("Q", "A"), "Q", "A"),)


@pytest.mark.parametrize(
    "row",
    [
        {"messages": TURNS},
        {"conversations": SHAREGPT},
        {"prompt": TURNS[:1], "completion": TURNS[1:]},
        {"prompt": TURNS[:1], "chosen": TURNS[1:], "rejected": TURNS[1:]},
        {"chosen": TURNS, "rejected": TURNS},
        {"messages": TURNS, "prompt": "another", "completion": "shape"},
    ],
)
def test_conversation_of_one_turn(row: dict[str, object]) -> None:
    assert one(row) == Record(record_id("Q", "A", QA[:1]), "Q", "A", messages=QA[:1])


def test_conversation_of_several_turns_and_a_system_turn() -> None:
    system = {"role": "system", "content": "S"}
    record = one(
        {"messages": [system, *TURNS, {"role": "user", "content": "R"}, {"role": "assistant", "content": "B"}]}
    )
    assert (record.prompt, record.answer) == ("R", "B")
    assert record.messages == (Message("system", "S"), *QA, Message("user", "R"))


@pytest.mark.parametrize("row", [{"question": "Q", "answer": "A"}, {"messages": TURNS}])
def test_a_system_column_comes_before_the_question(row: dict[str, object]) -> None:
    record = one({**row, "system": "S"})
    assert record.messages == (Message("system", "S"), Message("user", "Q"))
    assert (record.prompt, record.answer) == ("Q", "A")


def test_text_is_all_answer_and_keeps_every_character() -> None:
    text = "  \tAll of it,\r\n\u200band more.  "
    assert one({"text": text, "label": 3}) == Record(record_id("", text), "", text, label=3)


def test_instruction_and_input_are_joined_by_a_blank_line() -> None:
    assert one({"instruction": "Q", "input": "I", "output": "A"}).prompt == "Q\n\nI"


def test_optional_columns() -> None:
    row = {
        "question": "Q",
        "answer": "Answer",
        "id": 7,
        "subject": "S",
        "label": "12",
        "spans": [[0, 2], {"start": 2, "end": 6}],
        "paraphrased_question": "P",
        "paraphrased_answer": "R",
        "perturbed_answer": ["W", "X"],
        "shade": "blue",
        "Alice Miller": "x",
    }
    found = read([row])
    assert found.records == (
        Record("7", "Q", "Answer", (), 12, "S", (Span(0, 2), Span(2, 6)), ("P",), "R", ("W", "X")),
    )
    assert found.notes == ("columns not used: shade and 1 more",)
    assert "restated <- paraphrased_answer" in found.legend


def test_optional_columns_may_come_and_go_and_be_null() -> None:
    rows = [{"question": "Q", "answer": "A", "subject": None}, {"question": "R", "answer": "A", "label": 1}]
    found = read(rows)
    assert [(r.subject, r.label) for r in found.records] == [("", None), ("", 1)]
    assert set(found.columns) == {"prompt", "answer", "subject", "label"}


def test_the_same_content_gets_a_numbered_id() -> None:
    again = {"question": "Q", "answer": "A"}
    name = record_id("Q", "A")
    rows = [again, again, {**again, "id": f"{name}-3"}, again]
    assert [r.id for r in read(rows).records] == [name, f"{name}-2", f"{name}-3", f"{name}-4"]


def test_formats_agree(tmp_path: Path) -> None:
    rows = [{"question": f"Q{i}, é\n", "answer": f'"A{i}"', "perturbed_answer": ["x", "y"]} for i in range(3)]
    dumped = [json.dumps(row) for row in rows]
    cells = ["question;answer;perturbed_answer"] + [
        f'"Q{i}, é\n";"""A{i}""";"[""x"", ""y""]"' for i in range(3)
    ]  # fmt: skip
    written = {
        "lines.jsonl": "\n\n".join(dumped),
        "lines.json": "\r\n".join(dumped),
        "list.json": f"[{','.join(dumped)}]",
        "pretty.json": json.dumps(rows, indent=2),
        "inside.json": json.dumps({"version": 1, "data": rows}),
        "inside_pretty.json": json.dumps({"version": 1, "data": rows}, indent=2),
        "none": f"\ufeff{dumped[0]}\n{dumped[1]}\n{dumped[2]}",
        "semicolons.csv": "\n".join(cells),
        "commas.csv": "\ufeff" + "\r\n".join(cells).replace(";", ","),
        "tabs.tsv": "\n".join(cells).replace(";", "\t"),
    }
    for name, text in written.items():
        (tmp_path / name).write_bytes(text.encode())
        found = read(tmp_path / name)
        assert found.records == read(rows).records, name
        assert found.source == str(tmp_path / name)
    assert read(str(tmp_path / "lines.jsonl")).lines == (1, 3, 5)
    assert read(tmp_path / "commas.csv").lines == (2, 4, 6), "where the row starts"
    listed = read(tmp_path / "list.json")
    assert (listed.unit, listed.lines) == ("row", (1, 2, 3))


def test_one_row_is_one_row_in_any_json(tmp_path: Path) -> None:
    row = {"question": "Q", "answer": "A", "perturbed_answer": ["x"]}
    for name, text in {
        "a.json": json.dumps(row),
        "b.json": json.dumps([row]),
        "c.json": json.dumps({"x": [row]}),
    }.items():
        (tmp_path / name).write_text(text)
        assert [r.perturbed for r in read(tmp_path / name).records] == [("x",)]


def test_a_limit_stops_reading_before_what_is_broken(tmp_path: Path) -> None:
    path = tmp_path / "a.jsonl"
    path.write_text('{"text": "a"}\n{"text": "b"}\nbroken\n')
    found = read(path, limit=2)
    assert [r.answer for r in found.records] == ["a", "b"]
    assert found.notes == ("reading stopped after 2 rows, as asked",)
    with pytest.raises(InputError, match="line 3"):
        read(path, limit=3)
    with pytest.raises(InputError, match="below 1"):
        read(path, limit=0)


def test_records_made_in_python_are_checked_too() -> None:
    given = [Record("a", "Q", "A"), Record("", "Q", "B"), {"text": "C"}]
    assert [r.id for r in read(given).records] == ["a", record_id("Q", "B"), record_id("", "C")]
    wrong = [
        Record("a", "Q", ""),
        Record("a\n", "Q", "A"),
        Record("a", "Q\0", "A"),
        Record("a", "Q", "A", spans=(Span(0, 2),)),
    ]
    wrong += [Record("a", "Q", "A", perturbed=("",)), Record("a", "Q", "A", messages=(Message("user", "\ud800"),))]
    for record in wrong:
        with pytest.raises(InputError, match=r"the rows given, row 2: "):
            read([Record("b", "Q", "A"), record])
    for source in ({"train": given}, b"rows", 7, [], ["text"], [{1: "Q"}]):
        with pytest.raises(InputError, match=r"the rows given"):
            read(source)  # type: ignore[arg-type]


def test_nothing_shows_content(tmp_path: Path) -> None:
    path = tmp_path / "a.jsonl"
    path.write_text('{"question": "secret", "answer": "secret", "subject": "secret"}')
    assert "secret" not in repr(read(path))


@pytest.mark.parametrize(
    ("file", "count", "legend"),
    [
        ("tofu/forget10.json", 400, "prompt <- question, answer <- answer"),
        (
            "tofu/forget10_perturbed.json",
            400,
            "prompt <- question, answer <- answer, paraphrases <- paraphrased_question, "
            "restated <- paraphrased_answer, perturbed <- perturbed_answer",
        ),
        (
            "tofu/real_authors_perturbed.json",
            100,
            "prompt <- question, answer <- answer, perturbed <- perturbed_answer",
        ),
        (
            "zsre/zsre_mend_train-1k.json",
            1000,
            "prompt <- src, answer <- answers, subject <- subject, paraphrases <- rephrase",
        ),
        (
            "counterfact/counterfact_flat_val.json",
            1919,
            "prompt <- prompt, answer <- ground_truth, subject <- subject, paraphrases <- rephrase_prompt",
        ),
        ("knowundo_privacy/unlearn_train.json", 400, "prompt <- text, answer <- labels"),
        ("muse_alice/verbmem.json", 100, "prompt <- prompt, answer <- gt"),
        ("muse_alice/knowmem_qa.json", 55, "prompt <- question, answer <- answer"),
    ],
)
def test_real_files(file: str, count: int, legend: str, shared: Path) -> None:
    path = shared / "data" / file
    found = read(path)
    assert (len(found.records), found.legend) == (count, legend)
    assert len({record.id for record in found.records}) == count
    text = path.read_text(encoding="utf-8")
    rows = json.loads(text) if text.startswith("[") else [json.loads(line) for line in text.splitlines()]
    answers = [row[found.columns["answer"]] for row in rows]
    assert [r.answer for r in found.records] == [a[0] if isinstance(a, list) else a for a in answers]
    assert [r.prompt for r in found.records] == [row[found.columns["prompt"]] for row in rows]


def test_tofu_parts(shared: Path) -> None:
    rows: Rows = read(shared / "data/tofu/forget10_perturbed.json")
    assert all(len(r.paraphrases) == 1 and r.restated and len(r.perturbed) == 5 for r in rows.records)
    plain = read(shared / "data/tofu/forget10.json")
    assert [r.id for r in plain.records] == [r.id for r in rows.records], "an id depends on question and answer only"
