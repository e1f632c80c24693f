"""Over seeds: means and deviations are those of distinct models, runs must be comparable, and every format is safe."""

import csv
import re
from dataclasses import replace
from io import StringIO
from statistics import mean, stdev

import made_up
import pytest

from unteach.report import (
    SEED_FILES,
    read_runs,
    seeds,
    seeds_csv,
    seeds_latex,
    seeds_markdown,
    write,
    write_seeds,
)
from unteach.report.spread import Equivalence
from unteach.schema import Example, InputError, Report, Row, Score

CANARY = "CANARY7391"
VALUES = {"before": [0.9, 0.9, 0.9], "npo": [0.3, 0.2, 0.25], "retrained": [0.1, 0.3, 0.2]}
ROLES = {"before": "original", "npo": "edited", "retrained": "retrained"}


def _run(seed: int, values: dict[str, float | None], **changes: object) -> Report:
    models = {m: {"role": ROLES.get(m, "edited"), "label": m, "digest": f"{m}{seed}"} for m in values}
    rows = tuple(Row(m, "forget", Score("probability", v, n=40)) for m, v in values.items())
    method = {"name": "npo", "beta": 0.1, "seed": seed, "edit": f"{seed:x}"}
    made = Report("r", models, {"forget": {"role": "forget"}}, {}, rows, method=method)
    return replace(made, **changes)


def _runs() -> dict[int, Report]:
    return {seed: _run(seed, {m: v[seed] for m, v in VALUES.items()}) for seed in range(3)}


def _one_original(runs: dict[int, Report]) -> dict[int, Report]:
    """The runs began from one and the same original."""
    return {
        seed: replace(run, models={**run.models, "before": {"role": "original", "digest": "one"}})
        for seed, run in runs.items()
    }


def test_mean_deviation_and_count_are_the_textbook_s():
    found = {s.model.name: s for s in seeds(_runs()).spreads}
    for name, values in VALUES.items():
        assert found[name].mean == pytest.approx(mean(values))
        assert found[name].deviation == pytest.approx(stdev(values))
        assert found[name].n == 3
    assert found["npo"].deviation == pytest.approx(0.05)  # with n - 1; with n it were 0.041


def test_one_model_in_several_runs_counts_once():
    """Three audits of one model say nothing of a spread over seeds."""
    found = {s.model.name: s for s in seeds(_one_original(_runs())).spreads}
    assert (found["before"].mean, found["before"].deviation, found["before"].n) == (0.9, None, 1)
    assert found["before"].note == "2 runs with a model that is counted already"
    assert found["npo"].n == 3


def test_one_model_asked_about_other_records_counts_again():
    runs = {
        seed: replace(run, sets={"forget": {"role": "forget", "digest": f"d{seed}"}})
        for seed, run in _one_original(_runs()).items()
    }
    assert next(s for s in seeds(runs).spreads if s.model.name == "before").n == 3


def test_models_without_a_digest_are_taken_for_distinct():
    runs = {seed: replace(run, models={m: {"role": r} for m, r in ROLES.items()}) for seed, run in _runs().items()}
    assert {s.n for s in seeds(runs).spreads} == {3}


def test_what_has_no_value_is_left_out_and_said():
    runs = _runs() | {3: _run(3, {"before": 0.9, "npo": None, "retrained": float("nan")})}
    found = {s.model.name: s for s in seeds(runs).spreads}
    assert (found["npo"].n, found["npo"].note) == (3, "1 run without a value")
    assert (found["retrained"].n, found["retrained"].undefined) == (3, 1)
    gone = seeds({0: _run(0, {"npo": None})}).spreads[0]
    assert (gone.mean, gone.deviation, gone.n) == (None, None, 0)


def test_a_score_that_one_run_lacks_is_counted_as_missing():
    runs = _runs()
    runs[2] = replace(runs[2], scores=runs[2].scores[:1])
    assert [(s.model.name, s.n, s.undefined) for s in seeds(runs).spreads] == [
        ("before", 3, 0), ("npo", 2, 1), ("retrained", 2, 1),
    ]  # fmt: skip


def test_one_run_has_no_deviation():
    only = seeds({7: _run(7, {"npo": 0.5})})
    assert only.spreads[0].deviation is None
    assert "| 0.5 | – | 1 |" in seeds_markdown(only)


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"models": {"npo": {"role": "edited"}}}, "seeds 0 and 1 have other models"),
        ({"sets": {"forget": {"role": "retain"}}}, "seeds 0 and 1 have other sets"),
        ({"method": {"name": "npo", "beta": 0.2, "seed": 1}}, "seeds 0 and 1 differ in the setting beta"),
        ({"method": {"name": "npo", "seed": 1}}, "seeds 0 and 1 differ in the setting beta"),
    ],
)
def test_runs_that_differ_in_more_than_their_seed_are_refused(change, says):
    runs = _runs()
    runs[1] = replace(runs[1], **change)
    with pytest.raises(InputError, match=f"{says}; name runs that differ in their seed alone"):
        seeds(runs)


def test_no_run_is_refused():
    with pytest.raises(InputError, match="no run to compare"):
        seeds({})


def test_it_depends_on_no_order():
    runs = _runs()
    assert seeds(dict(reversed(runs.items()))) == seeds(runs)


def test_the_retrained_models_have_a_line_of_their_own():
    text = seeds_markdown(seeds(_runs()))
    assert "# Over 3 seeds" in text
    assert "Seeds: 0, 1, 2." in text
    assert (
        "| forget | Probability of the answer | ◎ nearest to retrained | npo (after) | 0.25 | 0.05 | 3 | 0.05 |" in text
    )
    assert "| retrained, over seeds | 0.2 | 0.1 | 3 | – |" in text
    assert "noise floor" in text
    assert "equivalen" not in text.lower()


def _tested() -> object:
    found = seeds(_runs())
    tests = {
        "before": Equivalence("different", 0.05, 0.6, 0.8, 0.999),
        "npo": Equivalence("not decided", 0.05, reason="3 and 1 models, 3 of each are needed"),
    }
    return replace(found, spreads=tuple(replace(s, test=tests.get(s.model.name)) for s in found.spreads))


def test_findings_are_said_in_words():
    text = seeds_markdown(_tested())
    assert "| different (0.6 to 0.8; margin 0.05) |" in text
    assert "| not decided (margin 0.05) | 3 and 1 models, 3 of each are needed |" in text
    assert "That is no sign of equivalence" in text
    rows = list(csv.DictReader(StringIO(seeds_csv(_tested()))))
    assert [row["finding"] for row in rows] == ["different", "not decided", ""]
    assert (rows[0]["low"], rows[0]["high"], rows[0]["p"], rows[0]["margin"]) == ("0.6", "0.8", "0.999", "0.05")


def test_csv_has_a_line_for_each_model_set_and_metric():
    rows = list(csv.DictReader(StringIO(seeds_csv(seeds(_runs())))))
    assert [(r["model"], r["role"], r["set"], r["metric"], r["n"], r["runs"]) for r in rows] == [
        (m, role, "forget", "probability", "3", "3") for m, role in ROLES.items()
    ]
    assert float(rows[1]["mean"]) == pytest.approx(0.25)
    assert float(rows[1]["difference"]) == pytest.approx(0.05)
    assert rows[2]["difference"] == ""


@pytest.mark.parametrize("make", [made_up.rich, made_up.hostile, made_up.empty, made_up.partial])
def test_every_format_holds_whatever_comes(make):
    found = seeds({1: make(), 2: make()})
    rows = list(csv.reader(StringIO(seeds_csv(found), newline="")))
    assert len({len(row) for row in rows}) == 1
    assert len(rows) == len(found.spreads) + 1
    names = [text for row in rows for text in (*row[:5], row[-1])]
    assert all(not text.lstrip().startswith(("=", "+", "-", "@")) for text in names)
    text = seeds_markdown(found)
    lines = [line for line in text.splitlines() if line.startswith("|")]
    assert len({len(re.findall(r"(?<!\\)\|", line)) for line in lines}) == 1
    assert not re.search(r"<[a-z/!]", text)
    assert not re.search(r"(?<!\\)\]\(", text)
    tex = re.sub(r"(?m)^%.*$", "", seeds_latex(found))
    assert all(len(re.findall(r"(?<!\\)&", x)) == 5 for x in tex.splitlines() if x.endswith(r"\\") and "multi" not in x)
    bare = tex.replace(r"\{", "").replace(r"\}", "")
    assert bare.count("{") == bare.count("}")
    assert not re.search(r"\\(input|write)", tex)


def test_latex_is_a_booktabs_table():
    text = seeds_latex(_tested())
    assert r"\begin{tabular}{lrrrrl}" in text
    assert r"\multicolumn{6}{l}{\textit{forget: Probability of the answer $\circ$}} \\" in text
    assert r"before (before) & 0.9 & 0 & 3 & 0.7 & different (0.6, 0.8; margin 0.05) \\" in text
    assert r"retrained, over seeds & 0.2 & 0.1 & 3 & -- &  \\" in text


def test_no_text_of_a_record_reaches_any_format(tmp_path):
    texts = (Example("forget", "forget/0", CANARY, CANARY, {"npo": CANARY}, "leak"),)
    runs = {seed: replace(run, examples=texts, masked=False) for seed, run in _runs().items()}
    paths = write_seeds(seeds(runs), tmp_path / "new")
    assert {name: path.name for name, path in paths.items()} == {name: file for name, (file, _) in SEED_FILES.items()}
    assert all(CANARY not in path.read_text("utf-8") for path in paths.values())


def test_runs_are_read_by_their_seeds_or_numbered(tmp_path):
    folders = [tmp_path / str(seed) for seed in (4, 2)]
    for folder, seed in zip(folders, (4, 2), strict=True):
        write(_run(seed, {"npo": 0.5}), folder, formats=("json",))
    assert list(read_runs(folders)) == [4, 2]
    with pytest.raises(InputError, match="two of the runs have the same seed"):
        read_runs([folders[0], folders[0] / "report.json"])
    write(_run(9, {"npo": 0.5}, method={}), tmp_path / "c", formats=("json",))
    assert list(read_runs([*folders, tmp_path / "c"])) == [1, 2, 3]
