"""Every benchmark, from one command to a report: rows as they were published where they are at hand, invented ones elsewhere."""

import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from driven import run, tree, went_well

from benchmark_rows import canonical_files, chain, ripple, rwku_files, stereoset_files, wmdp_files, write
from unteach.audit.benchmarks.knowundo import KnowUnDo
from unteach.registry import entries, find
from unteach.report import read as read_report
from unteach.schema import Record, Report
from unteach.sets import drawn

pytestmark = pytest.mark.usefixtures("undrawn")
QUICK = ("--epochs", 1, "--accumulate", 1, "--batch-size", 4, "--rank", 4, "--max-new", 4)
AT_HAND = {  # benchmark and where its rows lie: sets with their roles, metrics that have a value somewhere
    "knowundo knowundo_privacy knowundo.domain=privacy": (
        {"forget": "forget", "forget_other": "forget", "retain": "retain", "retain_other": "retain"},
        {"kfr", "krr", "linguisticscore", "rougel", "probability", "exactmemorization", "perplexity", "refusalrate"},
    ),
    "muse muse_alice": (
        {"forget": "forget", "verbatim": "forget", "examples": "holdout"},
        {"verbmem", "knowmem", "probability", "exactmemorization"},
    ),
    "tofu tofu tofu.split=forget01": (
        {"forget": "forget", "retain": "retain", "real_authors": "general", "world_facts": "general"},
        {"probability", "rougel", "truthratio", "modelutility", "exactmemorization", "extractionstrength", "perplexity"},
    ),
    "zsre zsre": (
        {"facts": "facts", "rephrased": "rephrased", "neighbours": "neighbours"},
        {"reliability", "generalisation", "locality", "ngramentropy"},
    ),
    "counterfact counterfact/counterfact_flat_val.json": (
        {"facts": "facts", "rephrased": "rephrased", "neighbours": "neighbours"},
        {"romescore", "reliability", "generalisation", "locality", "ngramentropy"},
    ),
    "counterfact counterfact/counterfact_rome_1000.json": (
        {"facts": "facts", "rephrased": "rephrased", "neighbours": "neighbours"},
        {"romescore", "reliability", "generalisation", "locality", "ngramentropy"},
    ),
    "knowedit knowedit knowedit.rows=6": (
        {
            "facts": "facts", "rephrased": "rephrased", "neighbours_relation_specificity": "neighbours",
            "portability_reasoning": "portability", "portability_subject_aliasing": "portability",
            "portability_logical_generalization": "portability",
        },
        {"reliability", "generalisation", "locality", "portability", "ngramentropy"},
    ),
    "mmlu mmlu_val/mmlu_all_val.json mmlu.subjects=astronomy,virology mmlu.rows=1": (
        {"mmlu": "general"}, {"multiplechoice", "accuracy", "perplexity"},
    ),
    "wikitext wikitext2 wikitext.words=64": ({"wikitext": "general"}, {"perplexity"}),
    "crowspairs bias/crows_pairs_anonymized.csv": ({"crowspairs": "general"}, {"crowspairs", "perplexity"}),
    "crowspairs bias": ({"crowspairs": "general"}, {"crowspairs", "perplexity"}),
    "winobias bias/winobias winobias.split=dev": ({"winobias": "general"}, {"winobias", "accuracy", "perplexity"}),
}  # fmt: skip
INVENTED: dict[str, Callable[[], Any]] = {  # the file names of a folder, with what stands in them
    "stereoset": stereoset_files,
    "mquake": lambda: {"MQuAKE-CF-3k.json": [chain(i) for i in range(3)]},
    "rippleedits": lambda: {"popular.json": [ripple(i) for i in range(3)]},
    "wmdp": wmdp_files,
    "rwku": rwku_files,
    "canonical": lambda: canonical_files("country_capital"),
}


@dataclass(frozen=True)
class Subject:
    """A model that knows a little, one that was never shown some of it, the public data, and a folder to write into."""

    model: Path
    other: Path
    data: Path
    out: Path

    def words(self, command: str, *more: object) -> list[object]:
        layout = ("--template", "[INST] {prompt} [/INST]{answer}")
        return [command, self.model, *layout, *more, "--out", self.out]

    def audited(self, *more: object) -> Report:
        """The report on the other model as if it had been made from the first."""
        went_well("audit", self.other, "--before", self.model, *self.words("audit", *more)[2:])
        return read_report(self.out)

    def refuses(self, *words: object, says: str) -> None:
        before = tree(self.out.parent)
        ran = run(*words)
        assert (ran.code, ran.last) == (2, f"unteach: {says}")
        assert tree(self.out.parent) == before


@pytest.fixture
def subject(shared: Path, tmp_path: Path) -> Subject:
    golden = shared / "golden"
    return Subject(golden / "tiny_tofu_llama", golden / "tiny_tofu_llama_retain90", shared / "data", tmp_path / "out")


def measured(report: Report) -> set[str]:
    return {r.score.name for r in report.scores if r.score.value is not None}


def sets_of(report: Report) -> dict[str, Any]:
    return {name: about["role"] for name, about in report.sets.items()}


@pytest.mark.parametrize("words", list(AT_HAND), ids=lambda words: "-".join(words.split()[:2]).replace("/", "-"))
def test_a_benchmark_runs_with_one_command(words: str, subject: Subject) -> None:
    name, where, *options = words.split()
    roles, expected = AT_HAND[words]
    data = ("--data", subject.data / where, *options)
    report = subject.audited("--benchmark", name, *data, "--limit", 4, "--max-new", 8)
    assert sets_of(report) == roles
    assert all(about["n"] <= 4 for about in report.sets.values())
    assert measured(report) >= expected
    assert {r.score.name for r in report.scores} <= {metric for metric, _ in find("benchmark", name).suite.metrics}
    told = ", ".join([name, *(o.partition(".")[2] for o in options), "the first 4 of each set"])
    assert f"rows of the benchmark {told}" in report.notes
    page = (subject.out / "report.md").read_text(encoding="utf-8")
    assert all(f"* Set {found}: ".replace("_", "\\_") in page for found in roles)


@pytest.mark.parametrize("name", list(INVENTED))
def test_a_benchmark_that_was_not_at_hand_runs_with_one_command(name: str, subject: Subject, tmp_path: Path) -> None:
    """The rows are invented, in the published shapes."""
    folder = write(tmp_path / "rows", INVENTED[name]())
    report = subject.audited("--benchmark", name, "--data", folder, "--limit", 3, "--max-new", 8)
    assert len(measured(report)) >= 2
    assert set(sets_of(report)) <= set(find("benchmark", name).roles)


def test_stereoset_runs_with_one_command(subject: Subject, tmp_path: Path) -> None:
    """The rows are invented, in the published shape."""
    report = subject.audited("--benchmark", "stereoset", "--data", write(tmp_path / "rows", stereoset_files()))
    assert {name: about["n"] for name, about in report.sets.items()} == {"intrasentence": 3, "intersentence": 3}
    found = {r.set: r.score for r in report.scores if r.score.name == "stereoset"}
    assert {name: score.n for name, score in found.items()} == {"intrasentence": 3, "intersentence": 3}
    assert all(0 <= score.value <= 100 for score in found.values())


def test_town_runs_with_one_command_and_needs_no_data(subject: Subject) -> None:
    report = subject.audited("--benchmark", "town", "town.people=12", "town.leaving=3", "town.strangers=2",
                             "--limit", 5, "--metrics", "accuracy")  # fmt: skip
    assert set(sets_of(report)) == {"forget", "forget_paraphrased", "retain", "general", "holdout"}
    assert measured(report) == {"accuracy"}


def test_every_benchmark_is_run_here() -> None:
    """All but the tasks of lm-evaluation-harness, which have no rows of their own."""
    ours = {e.name for e in entries("benchmark") if e.module.startswith("unteach.")}
    assert ours == {words.split()[0] for words in AT_HAND} | set(INVENTED) | {"town", "lmeval"}


def test_a_benchmark_is_forgotten_with_one_command(subject: Subject) -> None:
    words = ("--benchmark", "tofu", "--data", subject.data / "tofu", "tofu.split=forget01", "--limit", 4, *QUICK)
    ran = went_well(*subject.words("forget", *words, "--method", "graddiff", "--attacks", "prefix"))
    assert "graddiff: 4 records to forget" in ran.err
    report = read_report(subject.out)
    assert (report.request["id"], report.request["scope"]) == ("tofu-forget01", "subject")
    assert set(report.models) == {"original", "edited"}
    assert {"probability", "truthratio", "modelutility"} <= measured(report)
    assert [f.attack for f in report.attacks] == ["prefix"]
    assert (subject.out / "release" / "config.json").is_file()
    assert len(report.mixing["edited"]) == 11
    again = run(*subject.words("audit", "--benchmark", "tofu", "--data", subject.data / "tofu"))
    assert (again.code, "holds the result of a forgetting" in again.last) == (2, True)


def test_methods_are_compared_on_a_benchmark(subject: Subject) -> None:
    words = ("--benchmark", "knowundo", "--data", subject.data / "knowundo_privacy", "--limit", 4, *QUICK)
    options = ("--methods", "ga,graddiff", "--seeds", 0, "--metrics", "probability", "graddiff.lr=0.001")
    went_well(*subject.words("compare", *words, *options, "knowundo.rows=3"))
    report = read_report(subject.out / "seed-0")
    assert list(report.models) == ["original", "ga", "graddiff"]
    assert {name: about["n"] for name, about in report.sets.items()} == dict.fromkeys(KnowUnDo.roles, 3)
    assert set(report.mixing) == {"ga", "graddiff"}


def test_an_edited_model_is_judged_on_the_rows_of_a_benchmark(subject: Subject) -> None:
    words = ("--benchmark", "tofu", "--data", subject.data / "tofu", "--asked", 12, "--max-new", 4)
    report = subject.audited(*words, "--metrics", "probability,truthratio")
    assert set(report.verdicts) == {"edited"}
    assert {about["n"] for about in report.sets.values()} == {12}
    assert "forget: 12 of 400 rows were asked, drawn by their ids" in report.notes
    values = {(r.model, r.set): r.score.value for r in report.scores if r.score.name == "probability"}
    assert values["edited", "forget"] < values["original", "forget"]


def test_a_recipe_names_a_benchmark(subject: Subject, tmp_path: Path) -> None:
    keys = f"benchmark: zsre\ndata: {subject.data / 'zsre'}\nzsre.rows: 2\nmax-new: 4\n"
    (tmp_path / "recipe.yaml").write_text(keys, encoding="utf-8")
    report = subject.audited("--config", tmp_path / "recipe.yaml")
    assert {about["n"] for about in report.sets.values()} == {2}


def test_options_of_a_benchmark_are_shown() -> None:
    shown = went_well("show", "knowundo").out
    for line in (
        "knowundo.data: str = 'zjunlp/KnowUnDo'",
        "knowundo.domain: Literal",
        "knowundo.rows: int | None = None",
    ):
        assert line in shown
    assert "--benchmark" in went_well("audit", "--help").out


def test_spellings_of_one_answer_are_drawn_together() -> None:
    rows = [Record(f"{i}/{k}", f"Who {i}?", f"A{k}", restated="A") for i in range(50) for k in range(2)]
    found = [r.id.partition("/")[0] for r in drawn("hops", rows, 20)]
    assert len(found) == 20
    assert len(set(found)) == 10
    alone = [Record(str(i), "", f"text {i}") for i in range(50)]
    assert [r.id for r in drawn("texts", alone, 20)] != [str(i) for i in range(20)]


NAMES = ", ".join(e.name for e in entries("benchmark"))
DATA = "--data @data/tofu"
WRONG = {  # what is given after the model, and what is said
    "unknown benchmark": ("audit --benchmark zzz", f"there is no benchmark 'zzz'; there are {NAMES}"),
    "misspelt benchmark": ("audit --benchmark toffu", "there is no benchmark 'toffu'; did you mean 'tofu'?"),
    "unknown option": (
        f"audit --benchmark tofu {DATA} tofu.part=x", "benchmark 'tofu' has no option 'part'; it has data, rows, split"
    ),
    "unknown option of a forgetting": (
        f"forget --benchmark tofu {DATA} tofu.part=x", "benchmark 'tofu' has no option 'part'; it has data, rows, split"
    ),
    "option of another benchmark": (
        f"forget --benchmark tofu {DATA} muse.rows=3",
        "'muse.rows' is an option of nothing that was named; there are simnpo, tofu",
    ),
    "unknown value": (
        f"audit --benchmark tofu {DATA} tofu.split=forget02",
        "benchmark 'tofu', option 'split': input should be 'forget01', 'forget05' or 'forget10'; see `unteach show`",
    ),
    "no rows": (
        f"audit --benchmark tofu {DATA} tofu.rows=0",
        "benchmark 'tofu', option 'rows': must be at least 1; see `unteach show tofu`",
    ),
    "missing folder": (
        "audit --benchmark tofu --data @nowhere",
        "@nowhere: there is no such file or folder; say where tofu lies with --data",
    ),
    "folder of another benchmark": (
        "audit --benchmark zsre --data @data/mmlu_val",
        "@data/mmlu_val: the folder holds no *zsre*eval*.json or *zsre*.json; name the file itself",
    ),
    "files and a benchmark": (
        f"audit --forget @forget.jsonl --benchmark tofu {DATA}",
        "recipe: rows come from files or from a benchmark; leave out --benchmark, or the files; see `unteach forget --help`",
    ),
    "data without a benchmark": (
        f"audit --forget @forget.jsonl {DATA}",
        "recipe: --data says where the rows of a benchmark lie; name it with --benchmark; see `unteach forget --help`",
    ),
    "nothing to forget": (
        "forget --benchmark mmlu --data @data/mmlu_val/mmlu_all_val.json",
        "benchmark 'mmlu' has no rows to forget; ask it with unteach audit, or name another",
    ),
    "facts to forget": (
        "forget --benchmark zsre --data @data/zsre",
        "benchmark 'zsre' has no rows to forget; ask it with unteach audit, or name another",
    ),
    "nothing to attack": (
        "audit --benchmark crowspairs --data @data/bias --attacks prefix",
        "benchmark 'crowspairs' has no rows that attacks could bring back; leave --attacks out",
    ),
    "nothing to compare by": (
        "compare --benchmark muse --data @data/muse_alice",
        "benchmark 'muse' has no rows to keep, by which methods could be compared; name another",
    ),
    "nothing to ask": (
        "audit --benchmark lmeval", "benchmark 'lmeval' has no rows to ask; see `unteach show lmeval`"
    ),
    "no place that it needs": (
        "audit --benchmark canonical", "benchmark 'canonical', option 'data': field required; see `unteach show`"
    ),
}  # fmt: skip


@pytest.mark.parametrize("wrong", list(WRONG))
def test_what_cannot_be_run_is_refused_in_one_sentence(wrong: str, subject: Subject, tmp_path: Path) -> None:
    (tmp_path / "forget.jsonl").write_text(json.dumps({"question": "a", "answer": "b"}) + "\n", encoding="utf-8")
    given, says = (
        text.replace("@data", str(subject.data)).replace("@", f"{tmp_path}/") for text in WRONG[wrong]
    )  # fmt: skip
    command, *words = given.split()
    subject.refuses(*subject.words(command, *words), says=says)
