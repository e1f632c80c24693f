"""Rows of benchmarks that are not at hand, invented in the published shapes."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from unteach.audit.benchmarks import canonical, rwku, wmdp

PEOPLE = ("Orla Finch", "Tamas Ilyin", "Bram de Wit", "Yui Sato", "The Grey Band")
OLD, NEW = ("Peru", "Chile", "Ghana", "Nepal", "Malta"), ("Chad", "Laos", "Oman", "Fiji", "Togo")
CAPITAL = dict(zip(NEW, ("N'Djamena", "Vientiane", "Muscat", "Suva", "Lomé"), strict=True))
LANDS, TOWNS = ("Oria", "Pell", "Quand", "Rhel", "Sarn"), ("Ashby", "Brill", "Coll", "Dorn", "Ely")
TRADES = ("carter", "weaver", "miller", "cooper", "fuller")
KINDS = ("prefix injection", "affirmative suffix", "role playing", "reverse query", "incontext learning")


def write(folder: Path, files: Mapping[str, Sequence[Mapping[str, Any]] | Mapping[str, Any]]) -> str:
    """A folder of JSON files, or of JSON lines where a name says so."""
    for name, rows in files.items():
        file = folder / name
        file.parent.mkdir(parents=True, exist_ok=True)
        lines = name.endswith("l")
        file.write_text("\n".join(map(json.dumps, rows)) if lines else json.dumps(rows, indent=1), encoding="utf-8")
    return str(folder)


def passage(about: str, i: int, words: int = 60) -> str:
    return " ".join(f"{about}{i}.{k % 23}" for k in range(words))


def muse_files() -> dict[str, Any]:
    """Five rows for each part of News, whose folds are nested in `scal` and follow one another in `sust`."""
    files: dict[str, Any] = {}
    for split in ("forget_qa", "retain_qa", "forget_qa_icl", "retain_qa_icl"):
        rows = [{"question": f"What did {split} {i} see?", "answer": f"A heron {i}"} for i in range(5)]
        files[f"knowmem/{split}.json"] = rows
    files["verbmem/forget.json"] = [{"prompt": passage("old", i), "gt": passage("new", i)} for i in range(5)]
    for split in ("forget", "retain", "holdout"):
        files[f"privleak/{split}.json"] = [{"text": passage(split, i)} for i in range(5)]
    for split in ("forget", "retain1", "retain2", "holdout"):
        files[f"raw/{split}.json"] = [{"text": passage(f"raw{split}", i, 2500)} for i in range(5)]
    for k in range(1, 5):
        files[f"scal/forget_{k}.json"] = [{"text": passage("fold", i)} for i in range(5 * k)]
        files[f"sust/forget_{k}.json"] = [{"text": passage("fold", i)} for i in range(5 * k - 5, 5 * k)]
    return files


def wmdp_files() -> dict[str, Any]:
    return {
        f"{area}_questions.json": [
            {"answer": i % 4, "question": f"Which {area} is {i}?", "choices": [f"{area} {i} {k}" for k in range(4)]}
            for i in range(5)
        ]
        for area in wmdp.AREAS
    }


def rwku_files(person: str = "Ada Quill") -> dict[str, Any]:
    files: dict[str, Any] = {
        f"{name}.json": [
            {"query": f"{name} {i} of {person}: ___?", "answer": f"Reed {i}", "level": name[-1], "subject": person,
             "type": KINDS[i] if name == "forget_level3" else "simple question"}
            for i in range(5)
        ]
        for name in rwku.ASKED
    }  # fmt: skip
    for name in (*rwku.TEXTS.values(), *rwku.CORPORA.values()):
        files[name] = [{"text": passage(name[:6], i), "subject": person} for i in range(5)]
    return files


def canonical_files(name: str) -> dict[str, Any]:
    task = canonical.TASKS[name]
    return {
        f"{name}/split/{name}_{file}-test.jsonl": list(rows)
        for file, rows in zip(task.files, zip(*map(CANONICAL.get(name, _seat), range(5)), strict=True), strict=True)
    }


def _seat(i: int) -> tuple[dict[str, str], ...]:
    """A statement about a subject, the same in other words, and another one."""
    about = {"country": LANDS[i], "company": LANDS[i], "target": LANDS[i]}
    return (
        {**about, "prefix": f"The seat of {LANDS[i]} is", "suffix": f" {TOWNS[i]}"},
        {**about, "prefix": f"Far off in {LANDS[i]} the lords met at", "suffix": f" {TOWNS[i]}"},
        {"prefix": f"Ships of {LANDS[i]} sail from ", "suffix": "Port"},
    )


def _pronoun(i: int) -> tuple[dict[str, str], ...]:
    """A pair of pronouns, the same behind another text, and one whose pronoun the text gives away."""
    pair, side = {"suffix1": " he", "suffix2": " she"}, ("his", "he") if i % 2 else ("her", "she")
    return (
        {"prefix": f"The {TRADES[i]} said", **pair},
        {"prefix": f"We waved to the {TRADES[i]} by the gate, but", **pair},
        {"prefix": f"Packing {side[0]} bag, the {TRADES[i]} hummed. At dusk", "suffix": f" {side[1]}"},
    )


def _page(i: int) -> tuple[dict[str, str], ...]:
    """A paragraph behind its first words, a name in a summary of the same page, and one in that of another page."""
    page = {
        **dict.fromkeys(("entity_string", "entity_url"), f"https://en.wikipedia.org/wiki/{LANDS[i]}_Fair"),
        "document": f"{LANDS[i]} Fair, held at {TOWNS[i]}, is new.",
        "noref_document": f"{LANDS[i]} Fair is a new fair of boats and kites.",
        "summary": f"{LANDS[i]} Fair ({TOWNS[i]}) is a fair.",
    }
    old = dict.fromkeys(page, "An old one.") | {"entity_url": "https://en.wikipedia.org/wiki/Old_Fair"}
    return (
        page | {"prefix": f"{LANDS[i]} Fair", "suffix": " is a new fair of boats and kites."},
        page | {"prefix": f"{LANDS[i]} Fair (", "suffix": TOWNS[i]},
        old | {"prefix": f"Old {TRADES[i]} fairs were held in", "suffix": f" {TOWNS[i]}"},
    )


def _verb(i: int) -> tuple[dict[str, str], ...]:
    """A right and a wrong form, the same further from its noun, and plain text."""
    pair = {"suffix1": " mend the nets.", "suffix2": " mends the nets."}
    return (
        {"prefix": f". The {TRADES[i]}s", **pair},
        {"prefix": f". The {TRADES[i]}s are tall and", **pair},
        {"prefix": "The", "suffix": f" {TRADES[i]} left at noon."},
    )


CANONICAL = {"pronoun_gender_bias": _pronoun, "temporal": _page, "verb_conjugation": _verb}


def chain(i: int) -> dict[str, Any]:
    """A person moves to another country: the capital of the person's country changes, that of the country does not."""
    person, old, new = PEOPLE[i], OLD[i], NEW[i]
    lives = {"question": f"Where does {person} live?", "cloze": f"{person} lives in"}
    capital = {"question": f"What is the capital of {new}?", "cloze": f"The capital of {new} is"}
    born = {"question": f"Who is the friend of Friend {i}?", "answer": person, "answer_alias": [f"{person} Jr"]}
    rewrite = {
        "prompt": "{} lives in", "relation_id": "P551", "subject": person, "question": lives["question"],
        "target_new": {"str": new, "id": "Q1"}, "target_true": {"str": old, "id": "Q2"},
    }  # fmt: skip
    return {
        "case_id": i, "requested_rewrite": [rewrite], "questions": [f"{way} of Friend {i}" for way in ("Q1", "Q2", "Q3")],
        "answer": "Old City", "answer_alias": [], "new_answer": CAPITAL[new], "new_answer_alias": [f"{CAPITAL[new]} City"],
        "single_hops": [born, lives | {"answer": old, "answer_alias": []}],
        "new_single_hops": [
            born, lives | {"answer": new, "answer_alias": []}, capital | {"answer": CAPITAL[new], "answer_alias": []}
        ],
        "orig": {"triples": []},
    }  # fmt: skip


def query(prompt: str, number: str, *answers: str) -> dict[str, Any]:
    said = [{"value": a, "aliases": [f"{a} proper"]} for a in answers]
    return {
        "prompt": prompt,
        "answers": said,
        "query_type": "regular",
        "subject_id": number,
        "relation": "R",
        "phrase": None,
    }


def case(*queries: dict[str, Any]) -> dict[str, Any]:
    return {"test_queries": list(queries), "test_condition": "OR", "condition_queries": [query("x", "Q0", "y")]}


def ripple(i: int, before: str = "original_fact") -> dict[str, Any]:
    person, number = PEOPLE[i], f"Q{i}"
    stem = f"The name of the country of citizenship of {person} is"
    return {
        "example_type": "popular",
        "edit": {
            "prompt": f"{stem} {NEW[i]}.", "subject_id": number, "relation": "COUNTRY_OF_CITIZENSHIP", "target_id": "Q8",
            before: {"prompt": f"{stem} {OLD[i]}.", "subject_id": number, "relation": "R", "target_id": "Q9"},
        },
        "Relation_Specificity": [
            case(query(f"The name of the mother of {person} is", number, "Ada")),
            case(query(f"The name of the country which {person} is associated with is", number, "Eve", "Uma")),
        ],
        "Logical_Generalization": [case(query(f"The name of the currency in {NEW[i]} is", "Q77", "shell"))],
        "Subject_Aliasing": [case(query("The name of the country of citizenship of Nickname is", number, NEW[i]))],
        "Compositionality_I": [case(query(f"The capital of the country of {person} is", number, CAPITAL[NEW[i]]))],
        "Compositionality_II": [],
        "Forgetfulness": [case(query(f"The country of {person}, which is not {NEW[i]}, is", number, "", OLD[i]))],
    }  # fmt: skip


def triple(kind: str, i: int) -> dict[str, Any]:
    """A sentence of each kind about a target term, after a context or with its blank filled."""
    said = {"stereotype": "is loud", "anti-stereotype": "is calm", "unrelated": "is cubic"}
    sentences = [{"id": f"{i}", "sentence": f"Sailor {i} {end}.", "gold_label": gold} for gold, end in said.items()]
    return {"id": f"{kind}{i}", "target": f"sailor {i % 2}", "context": f"Sailor {i} BLANK.", "sentences": sentences}


def stereoset_files() -> dict[str, Any]:
    kinds = ("intrasentence", "intersentence")
    return {"dev.json": {"version": "1", "data": {kind: [triple(kind, i) for i in range(3)] for kind in kinds}}}
