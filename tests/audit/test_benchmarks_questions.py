"""Benchmarks of questions and texts, from their rows to a report.

KnowUnDo, MMLU, WikiText and a folder in MUSE's shape are read as they were published. The rows of MUSE itself, WMDP,
RWKU and the canonical examples are invented, in the published shapes.
"""

from collections.abc import Iterator, Mapping
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from tofu_models import opened

from benchmark_rows import KINDS, canonical_files, muse_files, passage, rwku_files, wmdp_files, write
from unteach.audit.audit import audit
from unteach.audit.benchmarks import canonical, muse, rwku, wmdp
from unteach.audit.benchmarks.reading import windows
from unteach.audit.suite import Suite
from unteach.data import hub
from unteach.data.rows import Place
from unteach.edit.edit import Edit
from unteach.edit.patches import Add
from unteach.lm.anatomy import anatomy
from unteach.registry import build
from unteach.schema import InputError, Report

SECRET = "vermilion"  # stands in every damaged row, and must not stand in a message


def run(shared: Path, name: str, **options: Any) -> tuple[Any, Report]:
    """The benchmark, and the report on a model with little damage beside the model as it was."""
    task = build("benchmark", name, options)
    lm, worn = opened(shared, "tiny_tofu_llama"), opened(shared, "tiny_tofu_llama")
    weight = f"{anatomy(lm.model).norm}.weight"
    noise = 0.1 * lm.parameters()[weight].detach().flip(0)
    edit = Edit(base=worn.digest(), weights={weight: (Add(noise),)})
    suite = task.suite
    short = Suite(suite.metrics, max_new=min(suite.max_new, 30) if name != "muse" else suite.max_new)
    report = audit({"original": lm, "edited": lambda: edit.on(worn)}, task.sets(), roles=task.roles, suite=short)
    return task, report


def check(report: Report, sets: Mapping[str, int], expected: set[tuple[str, str]]) -> None:
    """The sets have these sizes, and these metrics have a value on them, each within its bounds."""
    assert {name: about["n"] for name, about in report.sets.items()} == sets
    found = {(r.set, r.score.name) for r in report.scores if r.model == "edited" and r.score.value is not None}
    assert found >= expected
    for row in report.scores:
        if row.score.value is not None:
            low, high = build("metric", row.score.name, {}).bounds
            assert low <= row.score.value <= high


def test_muse_runs_from_its_rows_to_a_report(shared: Path, tmp_path: Path) -> None:
    """The rows are invented: this was not run on News or Books themselves."""
    task, report = run(shared, "muse", data=write(tmp_path, muse_files()))
    check(
        report, dict.fromkeys(muse.SETS, 5),
        {("verbatim", "verbmem"), ("forget", "knowmem"), ("retain", "knowmem"), ("forget_texts", "privleak"),
         ("retain_texts", "perplexity")},
    )  # fmt: skip
    assert report.sets["holdout_texts"]["role"] == "holdout"
    assert task.sets()["verbatim"][0].answer == passage("new", 0)
    request = task.request()
    assert [len(part) for part in (request.forget, request.retain, request.holdout)] == [15, 15, 15]
    assert max(len(r.answer.split()) for r in request.forget) == 1000
    assert " ".join(r.answer for r in request.forget[:3]) == passage("rawforget", 0, 2500)
    assert len({r.id for r in request.forget}) == 15


def test_muse_folds_grow_in_scal_and_follow_one_another_in_sust(tmp_path: Path) -> None:
    """The rows are invented: this was not run on News itself."""
    task = build("benchmark", "muse", {"data": write(tmp_path, muse_files())})
    scal, sust = (
        [{r.answer for r in task.request(f"{kind}-{k}").forget} for k in range(1, 5)] for kind in ("scal", "sust")
    )
    assert [len(fold) for fold in scal] == [5, 10, 15, 20]
    assert all(less < more for less, more in pairwise(scal))
    assert [len(fold) for fold in sust] == [5, 5, 5, 5]
    assert scal[3] == set().union(*sust)
    assert len(task.request("sust-2").retain) == len(task.request().retain)
    for name in ("scal-5", "scal", "raw-1"):
        with pytest.raises(InputError, match="give scal-1 to scal-4 or sust-1 to sust-4"):
            task.request(name)


def test_a_folder_in_the_shape_of_muse_runs_to_a_report(shared: Path) -> None:
    folder = str(shared / "data" / "muse_alice")
    task, report = run(shared, "muse", data=folder, rows=5)
    check(
        report, {"forget": 5, "verbatim": 5, "examples": 5},
        {("verbatim", "verbmem"), ("forget", "knowmem"), ("forget", "exactmemorization")},
    )  # fmt: skip
    asked = task.sets()
    assert (asked["forget"][0].prompt, asked["forget"][0].answer) == (
        "How tall did Alice grow in the hall?",
        "Nine feet",
    )
    assert asked["verbatim"][0].prompt.startswith("`Call it what you like,' said the Cat.")
    whole = build("benchmark", "muse", {"data": folder})
    assert {name: len(rows) for name, rows in whole.sets().items()} == {"forget": 55, "verbatim": 100, "examples": 5}
    assert len(whole.request().forget) == 100
    assert not whole.request().retain


def test_mmlu_runs_from_its_rows_to_a_report(shared: Path) -> None:
    file = str(shared / "data" / "mmlu_val" / "mmlu_all_val.json")
    task, report = run(shared, "mmlu", data=file, subjects="astronomy", rows=5)
    check(report, {"mmlu": 5}, {("mmlu", "multiplechoice"), ("mmlu", "accuracy"), ("mmlu", "perplexity")})
    assert {r.subject for r in task.sets()["mmlu"]} == {"astronomy"}
    whole = build("benchmark", "mmlu", {"data": file}).sets()["mmlu"]
    assert (len(whole), len({r.subject for r in whole})) == (1531, 57)
    assert len(build("benchmark", "mmlu", {"data": file, "rows": 2}).sets()["mmlu"]) == 2 * 57
    assert (whole[0].prompt, whole[0].answer) == ("The cyclic subgroup of Z_24 generated by 18 has order", "4")
    assert whole[0].perturbed == ("8", "12", "6")
    assert sum(len(r.perturbed) < 3 for r in whole) <= 3  # a choice that stands there twice
    assert not task.request().forget
    with pytest.raises(InputError, match="no questions of the subject alchemy; spell"):
        build("benchmark", "mmlu", {"data": file, "subjects": "alchemy"}).sets()


def test_knowundo_runs_from_its_rows_to_a_report(shared: Path) -> None:
    folder = str(shared / "data" / "knowundo_privacy")
    task, report = run(shared, "knowundo", data=folder, rows=5)
    check(
        report, dict.fromkeys(("forget", "forget_other", "retain", "retain_other"), 5),
        {("forget", "kfr"), ("forget_other", "rougel"), ("retain", "krr"), ("retain", "linguisticscore"),
         ("retain_other", "perplexity")},
    )  # fmt: skip
    request = task.request()
    assert (len(request.forget), len(request.retain)) == (400, 441)
    whole = build("benchmark", "knowundo", {"data": folder}).sets()
    assert {name: len(rows) for name, rows in whole.items()} == {
        "forget": 400, "forget_other": 110, "retain": 441, "retain_other": 108
    }  # fmt: skip
    assert len({(r.prompt, r.answer) for rows in whole.values() for r in rows}) == 1059
    assert whole["forget"][0].prompt == "Who are Isabella Marquez's parents?"


def test_knowundo_reads_files_that_hold_both_splits(tmp_path: Path) -> None:
    """The rows are invented: the half about books was not at hand."""

    def rows(about: str) -> list[dict[str, str]]:
        return [{"text": f"Go on with {about}.", "labels": passage(about, i // 2)} for i in range(5)]  # two stand twice

    both = {
        f"copyright/{kind}.json": {"train": rows(f"{kind}a"), "val": rows(f"{kind}b")[:3]}
        for kind in ("unlearn", "retention")
    }
    task = build("benchmark", "knowundo", {"data": write(tmp_path, both), "domain": "copyright"})
    assert {name: len(found) for name, found in task.sets().items()} == {
        "forget": 5, "forget_other": 3, "retain": 5, "retain_other": 3
    }  # fmt: skip
    assert [r.answer for r in task.request().forget] == [r["labels"] for r in rows("unlearna")]
    assert len({r.id for r in task.request().forget}) == 5
    damaged = {"train": rows("a"), "val": [{"text": SECRET}]}
    write(tmp_path, {"copyright/unlearn.json": damaged})
    with pytest.raises(InputError, match=r'unlearn\.json, val, row 1: "labels" is missing; fill it in') as refused:
        task.sets()
    assert SECRET not in str(refused.value)


def test_wikitext_runs_from_its_text_to_a_report(shared: Path) -> None:
    folder = shared / "data" / "wikitext2"
    task, report = run(shared, "wikitext", data=str(folder), words=64, rows=5)
    check(report, {"wikitext": 5}, {("wikitext", "perplexity")})
    assert report.sets["wikitext"]["role"] == "general"
    assert all(r.prompt == "" and len(r.answer.split()) == 64 for r in task.sets()["wikitext"])
    whole = build("benchmark", "wikitext", {"data": str(folder)}).sets()["wikitext"]
    text = (folder / "test.txt").read_text(encoding="utf-8")
    assert " ".join(r.answer for r in whole).split() == text.split()
    assert len(whole) == -(-len(text.split()) // 256)
    assert not task.request().forget


@pytest.mark.parametrize("words", [1, 2, 3, 4, 9])
def test_windows_lose_no_word_and_keep_the_space_inside(words: int) -> None:
    text = "  one two\n\n three  four \n"
    found = windows(text, words)
    assert [w for piece in found for w in piece.split()] == text.split()
    assert all(len(piece.split()) <= words and piece in text for piece in found)
    assert len(found) == -(-4 // words)


def test_wmdp_runs_from_its_rows_to_a_report(shared: Path, tmp_path: Path) -> None:
    """The rows are invented: this was not run on WMDP itself."""
    data = write(tmp_path / "wmdp", wmdp_files())
    general = write(
        tmp_path / "mmlu", {"mmlu.json": [r | {"subject": "x"} for r in wmdp_files()["bio_questions.json"]]}
    )
    corpora = write(
        tmp_path / "corpora",
        {f"{n}.jsonl": [{"title": n, "text": passage(n, i, 1500)} for i in range(5)] for n in ("forget", "retain")},
    )
    options = {"mmlu": f"{general}/mmlu.json", "forget_corpus": f"{corpora}/forget.jsonl"}
    task, report = run(shared, "wmdp", data=data, **options, retain_corpus=f"{corpora}/retain.jsonl")
    check(
        report, {"bio": 5, "cyber": 5, "chem": 5, "mmlu": 5},
        {(s, m) for s in ("bio", "cyber", "chem", "mmlu") for m in ("multiplechoice", "accuracy", "perplexity")},
    )  # fmt: skip
    assert {s: about["role"] for s, about in report.sets.items()} == {
        **dict.fromkeys(wmdp.AREAS, "forget"),
        "mmlu": "general",
    }
    third = task.sets()["bio"][2]
    assert (third.answer, third.perturbed) == ("bio 2 2", ("bio 2 0", "bio 2 1", "bio 2 3"))
    assert [len(part) for part in (task.request().forget, task.request().retain)] == [10, 10]
    one = build("benchmark", "wmdp", {"data": data, "area": "cyber", "rows": 2})
    assert {name: len(rows) for name, rows in one.sets().items()} == {"cyber": 2}
    with pytest.raises(InputError, match="give 'forget_corpus', a file or a hub id"):
        one.request()


def test_rwku_runs_from_its_rows_to_a_report(shared: Path, tmp_path: Path) -> None:
    """The rows are invented: this was not run on RWKU itself."""
    other = rwku_files("Bo Marl")
    both = {f"All/{name}": [*other[name], *rows] for name, rows in rwku_files().items()}
    general = write(tmp_path / "mmlu", {"mmlu.json": wmdp_files()["bio_questions.json"]})
    data = write(tmp_path / "rwku", both)
    task, report = run(shared, "rwku", data=data, target="Ada Quill", mmlu=f"{general}/mmlu.json")
    asked = {(s, m) for s in rwku.ASKED for m in ("rougel", "probability")}
    check(
        report, dict.fromkeys((*rwku.ASKED, *rwku.TEXTS, "mmlu"), 5),
        asked | {("mia_forget", "perplexity"), ("mia_retain", "perplexity"), ("mmlu", "multiplechoice")},
    )  # fmt: skip
    roles = {s: about["role"] for s, about in report.sets.items()}
    assert {s for s, role in roles.items() if role == "retain"} == {"neighbor_level1", "neighbor_level2", "mia_retain"}
    sets = task.sets()
    assert tuple(r.subject for r in sets["forget_level3"]) == KINDS
    assert sets["forget_level3"][0].prompt == "forget_level3 0 of Ada Quill: ___?"
    assert sets["forget_level1"][0].prompt == "Fill in the blank.\nforget_level1 0 of Ada Quill: ___?"
    assert {r.subject for r in sets["mia_forget"]} == {r.subject for r in task.request().forget} == {"Ada Quill"}
    assert [len(build("benchmark", "rwku", {"data": f"{data}{f}"}).request().forget) for f in ("", "/All")] == [10, 10]
    with pytest.raises(InputError, match="no rows about Nobody; spell a name as the data set does"):
        build("benchmark", "rwku", {"data": data, "target": "Nobody"}).sets()


@pytest.mark.parametrize("name", list(canonical.FILES))
def test_canonical_runs_from_its_rows_to_a_report(shared: Path, tmp_path: Path, name: str) -> None:
    """The rows are invented: this was not run on the canonical examples themselves."""
    task, report = run(shared, "canonical", data=write(tmp_path, canonical_files(name)), task=name)
    request, sets = task.request(), task.sets()
    first = next(iter(sets.values()))[0]
    assert (first.prompt, first.answer, first.subject) == ("The seat of Oria is", "Ashby", "Oria")
    if name == "stereoset":
        scores = {("forget", "exactmemorization"), ("forget_elsewhere", "probability"), ("retain", "perplexity")}
        check(report, dict.fromkeys(canonical.WORDS, 5), scores)
        assert [r.answer for r in request.forget] == ["Ashby", "Brill", "Coll", "Dorn", "Ely"]
        return
    scores = {("facts", "reliability"), ("rephrased", "generalisation"), ("neighbours", "locality")}
    check(report, dict.fromkeys(canonical.FACTS, 5), scores)
    fact = request.facts[0]
    assert (fact.prompt, fact.subject, fact.target_new) == ("The seat of {} is", "Oria", "Ashby")
    assert sets["neighbours"][0].prompt == "Ships of Oria sail from"


QUESTION, TEXT = {"question": "q", "answer": "a"}, {"text": "some text"}
CHOICE = {"question": "q", "choices": ["a", "b"], "answer": 1, "subject": "law"}
PERSON = {"query": "q", "answer": "a", "subject": "Ada", "type": "role playing", "text": "some text"}
PAIRS = [{"text": "q", "labels": "a"}]
CARDS: dict[str, dict[str, Any]] = {  # the configurations and splits of the hub that a benchmark may ask for
    "muse-bench/MUSE-News": {
        **{f"knowmem:{s}": QUESTION for s in ("forget_qa", "retain_qa", "forget_qa_icl", "retain_qa_icl")},
        "verbmem:forget": {"prompt": "begin", "gt": "end"},
        **{f"privleak:{s}": TEXT for s in ("forget", "retain", "holdout")},
        **{f"raw:{s}": TEXT for s in ("forget", "retain1", "retain2", "holdout")},
        **{f"{c}:forget_{k}": TEXT for c in ("scal", "sust") for k in range(1, 5)},
    },
    "cais/mmlu": {"all:validation": CHOICE},
    "cais/wmdp": {f"wmdp-{area}:test": CHOICE for area in ("bio", "cyber", "chem")},
    "cais/wmdp-corpora": {"cyber-forget-corpus:train": TEXT, "cyber-retain-corpus:train": TEXT},
    "zjunlp/KnowUnDo": {
        f"{c}:{s}": {"train": PAIRS, "val": PAIRS} for c in ("privacy", "copyright") for s in ("unlearn", "retention")
    },
    "jinzhuoran/RWKU": {
        **{f"forget_level{k}:test": PERSON for k in (1, 2, 3)},
        **{f"{c}:test": PERSON for c in ("neighbor_level1", "neighbor_level2", "mia_forget", "mia_retain")},
        "train_positive_llama3:train": PERSON, "train_positive_phi3:train": PERSON,
    },
    "Salesforce/wikitext": {"wikitext-2-raw-v1:test": {"text": " a line \n"}},
}  # fmt: skip
CORPUS = {"forget_corpus": "cais/wmdp-corpora:cyber-forget-corpus:train", "mmlu": "cais/mmlu:all:validation"}


@pytest.mark.parametrize(
    ("name", "options"),
    [("muse", {}), ("mmlu", {}), ("wmdp", CORPUS), ("knowundo", {}), ("knowundo", {"domain": "copyright"}),
     ("rwku", {}), ("rwku", {"corpus": "phi3"}), ("wikitext", {})],
)  # fmt: skip
def test_the_hub_is_asked_for_what_its_cards_name(
    monkeypatch: pytest.MonkeyPatch, name: str, options: dict[str, Any]
) -> None:
    """Nothing is fetched: the rows are invented."""

    def stream(found: hub.HubName, place: Place) -> Iterator[tuple[int, object]]:
        assert place.source == f"{found.repo}:{found.config}:{found.split}"
        row = CARDS[found.repo][f"{found.config}:{found.split}"]
        yield from enumerate([row, row], 1)

    monkeypatch.setattr(hub, "stream", stream)
    task = build("benchmark", name, options)
    sets, request = task.sets(), task.request()
    assert sets.keys() <= task.roles.keys()
    assert all(len({r.id for r in rows}) == len(rows) > 0 for rows in sets.values())
    assert bool(request.forget) == (name not in ("mmlu", "wikitext"))
    if name == "muse":
        assert len(task.request("sust-4").holdout) == 2


DAMAGED: list[tuple[str, str, str, Any, str]] = [
    ("muse", "knowmem_qa.json", "", {"question": SECRET, "answer": 7}, 'row 2: "answer" holds a number.*; give text'),
    ("mmlu", "mmlu.json", "mmlu.json", {"question": SECRET, "choices": ["a", "b"], "answer": 2},
     'row 2: "answer" is not the number of one of the choices; count them from 0'),
    ("wmdp", "bio.json", "", {"question": SECRET, "choices": SECRET, "answer": 0},
     'row 2: "choices" holds text where a list of texts is wanted; give'),
    ("wmdp", "bio.json", "", {"question": "", "choices": [SECRET, "b"], "answer": 0}, 'row 2: "question" is empty; fill'),
    ("rwku", "forget_level1.json", "", {"query": SECRET, "subject": "Ada"}, 'row 2: "answer" is missing; fill it in'),
    ("rwku", "forget_level3.json", "", {"query": "q", "answer": SECRET, "subject": "Ada"}, 'row 2: "type" is missing'),
    ("knowundo", "unlearn_train.json", "", {"text": SECRET, "labels": None}, 'row 2: "labels" is missing; fill it in'),
    ("wikitext", "wiki.jsonl", "wiki.jsonl", {"text": [SECRET]}, 'line 2: "text" is missing or no text; give rows'),
    ("canonical", "company_ceo/split/company_ceo_train-test.jsonl", "", {"prefix": SECRET, "company": "Ada"},
     'line 2: "suffix" is missing; fill it in'),
]  # fmt: skip
WHOLE: dict[str, dict[str, Any]] = {
    "muse": {"question": "q", "answer": "a"},
    "mmlu": {"question": "q", "choices": ["a", "b"], "answer": 1},
    "wmdp": {"question": "q", "choices": ["a", "b"], "answer": 1},
    "rwku": {"query": "q", "answer": "a", "subject": "Ada", "type": "role playing"},
    "knowundo": {"text": "q", "labels": "a"},
    "wikitext": {"text": "a line\n"},
    "canonical": {"prefix": "The head of Ada is", "suffix": " Bo", "company": "Ada"},
}


@pytest.mark.parametrize(("name", "file", "data", "row", "expected"), DAMAGED)
def test_a_damaged_row_is_refused_with_its_place_and_without_its_text(
    tmp_path: Path, name: str, file: str, data: str, row: dict[str, Any], expected: str
) -> None:
    folder = write(tmp_path, (rwku_files() if name == "rwku" else {}) | {file: [WHOLE[name], row]})
    options = {"wmdp": {"area": "bio"}, "canonical": {"task": "company_ceo"}}.get(name, {})
    task = build("benchmark", name, {"data": f"{folder}/{data}" if data else folder, **options})
    with pytest.raises(InputError, match=rf"{Path(file).name}, {expected}") as refused:
        task.sets()
    assert SECRET not in str(refused.value)


@pytest.mark.parametrize("name", ["knowundo", "muse", "rwku", "wmdp", "wikitext", "canonical"])
def test_a_folder_without_its_file_is_refused_by_name(tmp_path: Path, name: str) -> None:
    with pytest.raises(InputError, match=r"the folder holds no .*; |there is no such file; "):
        build("benchmark", name, {"data": str(tmp_path)}).sets()
