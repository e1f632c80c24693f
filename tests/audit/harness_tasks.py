"""Tasks of the four kinds, as YAML over one file of the invented rows."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import yaml

import worlds

CHOICE = {"output_type": "multiple_choice", "doc_to_text": "{{question}}", "doc_to_choice": "{{options}}",
          "doc_to_target": 0, "num_fewshot": 1, "fewshot_split": "test"}  # fmt: skip
FREE = {"output_type": "generate_until", "doc_to_text": "{{question}}", "doc_to_target": " {{answer}}",
        "generation_kwargs": {"until": ["."], "max_gen_toks": 30}}  # fmt: skip
LIKELY = {"output_type": "loglikelihood", "doc_to_text": "{{question}}", "doc_to_target": " {{answer}}"}
ROLLING = {"output_type": "loglikelihood_rolling", "doc_to_text": "", "doc_to_target": "{{question}} {{answer * 12}}"}
KINDS: Mapping[str, tuple[Mapping[str, Any], Sequence[str]]] = {
    "choice": (CHOICE, ("acc", "acc_norm")),
    "free": (FREE, ("exact_match", "bleu")),
    "likely": (LIKELY, ("perplexity", "acc")),
    "rolling": (ROLLING, ("word_perplexity", "bits_per_byte")),
}


def rows() -> list[dict[str, Any]]:
    """Each answer beside two others, without its full stop, at which free answers end; `stray` names no choice but once."""
    answers = [r.answer.removesuffix(".") for r in worlds.RECORDS]
    return [
        {"question": r.prompt, "answer": answers[i], "options": [answers[i], answers[i - 3], answers[i - 5]],
         "stray": 7 * (i > 0)}
        for i, r in enumerate(worlds.RECORDS)
    ]  # fmt: skip


def written(folder: Path, *kinds: str, **changes: Any) -> Path:
    """A folder with the rows and a YAML file for each kind of task; `changes` go into every file."""
    folder.mkdir(exist_ok=True)
    data = folder / "rows.jsonl"
    data.write_text("".join(json.dumps(row) + "\n" for row in rows()), encoding="utf-8")
    for kind in kinds or KINDS:
        config, metrics = KINDS[kind]
        source = {"dataset_path": "json", "dataset_kwargs": {"data_files": {"test": str(data)}}, "test_split": "test"}
        named = {"task": kind, "metric_list": [{"metric": m} for m in metrics]}
        (folder / f"{kind}.yaml").write_text(yaml.safe_dump({**named, **source, **config, **changes}), encoding="utf-8")
    return folder


def asked(*requests: tuple[Any, ...]) -> list[Any]:
    return [SimpleNamespace(args=r) for r in requests]
