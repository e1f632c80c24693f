"""Where benchmarks of questions and texts are read from, and which of their rows are refused."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from benchmark_rows import rwku_files, write
from unteach.data import hub
from unteach.data.rows import Place
from unteach.registry import build
from unteach.schema import InputError

SECRET = "vermilion"  # stands in every damaged row, and must not stand in a message
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
    ("canonical", "verb_conjugation/split/verb_conjugation_train-test.jsonl", "", {"prefix": SECRET, "suffix1": "a"},
     'line 2: "suffix2" is missing; fill it in'),
]  # fmt: skip
WHOLE: dict[str, dict[str, Any]] = {
    "muse": {"question": "q", "answer": "a"},
    "mmlu": {"question": "q", "choices": ["a", "b"], "answer": 1},
    "wmdp": {"question": "q", "choices": ["a", "b"], "answer": 1},
    "rwku": {"query": "q", "answer": "a", "subject": "Ada", "type": "role playing"},
    "knowundo": {"text": "q", "labels": "a"},
    "wikitext": {"text": "a line\n"},
    "canonical": {
        "prefix": "The head of Ada is",
        "company": "Ada",
        **dict.fromkeys(("suffix", "suffix1", "suffix2"), " Bo"),
    },
}


@pytest.mark.parametrize(("name", "file", "data", "row", "expected"), DAMAGED)
def test_a_damaged_row_is_refused_with_its_place_and_without_its_text(
    tmp_path: Path, name: str, file: str, data: str, row: dict[str, Any], expected: str
) -> None:
    folder = write(tmp_path, (rwku_files() if name == "rwku" else {}) | {file: [WHOLE[name], row]})
    options = {"wmdp": {"area": "bio"}, "canonical": {"task": file.partition("/")[0]}}.get(name, {})
    task = build("benchmark", name, {"data": f"{folder}/{data}" if data else folder, **options})
    with pytest.raises(InputError, match=rf"{Path(file).name}, {expected}") as refused:
        task.sets()
    assert SECRET not in str(refused.value)


@pytest.mark.parametrize("name", ["knowundo", "muse", "rwku", "wmdp", "wikitext", "canonical"])
def test_a_folder_without_its_file_is_refused_by_name(tmp_path: Path, name: str) -> None:
    with pytest.raises(InputError, match=r"the folder holds no .*; |there is no such file; "):
        build("benchmark", name, {"data": str(tmp_path)}).sets()
