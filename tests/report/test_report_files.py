"""Reports read back equal, are written whole or not at all, and a damaged one is refused without an echo."""

import json
import os
import re
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import made_up
import made_up_attacks
import pytest

from unteach.report import from_json, to_json, write
from unteach.report.clean import clean
from unteach.schema import InputError, Row, Score

REPORTS = [
    made_up.rich, made_up.hostile, made_up.empty, made_up.partial, made_up_attacks.attacked, made_up_attacks.besieged,
]  # fmt: skip


@pytest.mark.parametrize("make", REPORTS)
def test_json_reads_back_equal(make):
    report = clean(make())
    assert from_json(to_json(report)) == report
    assert from_json(to_json(make())) == report


def test_a_report_without_oddities_is_clean_already():
    assert from_json(to_json(made_up.rich())) == made_up.rich()


def test_json_has_flat_scores_and_verdicts_at_the_top():
    document = json.loads(to_json(made_up.rich()))
    verdict = document["verdicts"]["ga"]
    assert verdict["verdict"] == "broken"
    assert set(verdict) == {"verdict", "reason", "gates", "beside"}
    assert set(verdict["gates"][0]) == {"name", "passed", "value", "threshold", "note"}
    first = document["scores"][0]
    assert list(first) == [
        "model", "set", "metric", "value", "low", "high", "n", "direction", "note", "per_record",
    ]  # fmt: skip
    assert (first["model"], first["set"], first["metric"]) == ("original", "forget", "probability")
    assert len(first["per_record"]) == 40


def test_what_json_cannot_hold_is_null_and_says_so():
    text = to_json(made_up.partial())
    assert not re.search(r"\b(NaN|Infinity)\b", text)
    infinite = json.loads(text)["scores"][1]
    assert infinite["value"] is None
    assert infinite["note"] == "the value is infinite; 1 of 2 records have no finite value"
    assert infinite["per_record"] == {"b": 2.0}


def _damaged():
    whole = json.loads(to_json(made_up.rich()))
    yield "no json", to_json(made_up.rich())[:-20]
    yield "NaN", '{"title": NaN}'
    yield "overflow", to_json(made_up.rich()).replace("0.97,", "1e999,", 1)
    yield "deep", "[" * 100_000
    yield "a list", "[]"
    yield "scores missing", json.dumps({k: v for k, v in whole.items() if k != "scores"})
    yield "scores of text", json.dumps(whole | {"scores": ["secret text"]})
    yield "no metric", json.dumps(whole | {"scores": [{"model": "m", "set": "s", "value": 1}]})
    yield (
        "value of text",
        json.dumps(whole | {"scores": [{"model": "m", "set": "s", "metric": "x", "value": "secret text"}]}),
    )
    yield "verdict unknown", json.dumps(whole | {"verdicts": {"secret text": {"verdict": "secret text"}}})
    yield "other format", json.dumps(whole | {"format": "secret text"})
    yield "examples", json.dumps(whole | {"examples": [{"set": "secret text", "answers": "secret text"}]})


@pytest.mark.parametrize("text", [pytest.param(text, id=name) for name, text in _damaged()])
def test_a_damaged_report_is_refused_in_one_sentence(text):
    with pytest.raises(InputError) as refused:
        from_json(text)
    message = str(refused.value)
    assert "secret" not in message
    assert message.count("\n") == 0
    assert "; " in message
    assert len(message) < 200


def test_the_place_of_the_damage_is_named():
    document = json.loads(to_json(made_up.rich()))
    document["scores"][3]["value"] = "high"
    with pytest.raises(InputError, match=r"damaged at scores\.3\.score\.value: input should be a valid number"):
        from_json(json.dumps(document))


def test_write_gives_every_format(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "matplotlib", None)  # drawing takes time and is tested elsewhere
    paths = write(made_up.rich(), tmp_path / "new" / "folder")
    assert {name: path.name for name, path in paths.items()} == {
        "html": "report.html",
        "json": "report.json",
        "csv": "scores.csv",
        "records": "records.csv",
        "md": "report.md",
        "tex": "table.tex",
        "card": "MODEL_CARD.md",
    }
    assert all(path.stat().st_size > 500 for path in paths.values())
    assert sorted(os.listdir(tmp_path / "new" / "folder")) == sorted(path.name for path in paths.values())
    assert from_json(paths["json"].read_text("utf-8")) == made_up.rich()


def test_writing_twice_gives_the_same_bytes(tmp_path):
    report = replace(made_up.rich(), mixing={}, sets={}, axes={})
    first, second = write(report, tmp_path / "a"), write(report, tmp_path / "b")
    assert [p.read_bytes() for p in first.values()] == [p.read_bytes() for p in second.values()]


def test_a_failing_write_leaves_the_old_file_and_nothing_else(tmp_path, monkeypatch):
    old = write(made_up.empty(), tmp_path, formats=("json",))["json"].read_bytes()

    def full(_: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(InputError, match="No space left"):
        write(made_up.rich(), tmp_path, formats=("json",))
    assert os.listdir(tmp_path) == ["report.json"]
    assert (tmp_path / "report.json").read_bytes() == old


def test_a_wrong_format_and_a_folder_that_is_a_file_are_refused(tmp_path):
    with pytest.raises(InputError, match="no report format 'pdf'; there are html, json"):
        write(made_up.empty(), tmp_path, formats=("html", "pdf"))
    assert not list(tmp_path.iterdir())
    (tmp_path / "file").write_text("")
    with pytest.raises(InputError, match="name another one"):
        write(made_up.empty(), tmp_path / "file")


def test_numbers_of_other_libraries_are_plain_numbers():
    numpy = pytest.importorskip("numpy")
    score = Score("kl", numpy.float32(0.5), n=numpy.int64(3), per_record={"a": numpy.float32("nan")})
    report = replace(made_up.empty(), scores=(Row("m", "s", score),), environment={"where": Path("x")})
    row = json.loads(to_json(report))["scores"][0]
    assert (row["value"], row["n"], row["per_record"]) == (0.5, 3, {})
    assert from_json(to_json(report)).environment == {"where": "x"}


def test_the_light_core_is_light():
    code = "import sys, unteach.report; print(sorted({'torch', 'matplotlib', 'numpy'} & set(sys.modules)))"
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, env=os.environ | _source()
    )
    assert done.stdout.strip() == "[]"


def _source() -> dict[str, str]:
    import unteach.report

    return {"PYTHONPATH": str(Path(unteach.report.__file__).parents[2])}
