"""Tasks for the lm-evaluation-harness: free answers, and a choice where rows bring wrong answers of the same form.

Its own reader of JSON files keeps a copy in a cache; these tasks bring a reader that keeps none.
"""

from unteach.audit.exports.question import Part, Question, Sets, lines

ROWS = '''"""Reads the rows beside this file into memory alone, and scores answers."""

import json
import re
import unicodedata
from pathlib import Path

from datasets import Dataset


def rows(file, **_):
    with (Path(__file__).parent / file).open(encoding="utf-8") as lines:
        return {"test": Dataset.from_list([json.loads(line) for line in lines])}


def told(doc, results):
    """The share of the answer's telling words in what the model wrote, and whether the answer stands there whole."""
    text = unicodedata.normalize("NFKC", results[0]).casefold()
    words = set(re.findall(r"[^\\W_]+", text))
    found = [w for w in doc["telling"] if w in words or (not w.isascii() and w in text)]
    return {
        "told": len(found) / len(doc["telling"]),
        "verbatim": float(unicodedata.normalize("NFKC", doc["answer"]).casefold() in text),
    }
'''

RECALL = """task: unteach_NAME
custom_dataset: !function rows.rows
dataset_kwargs:
  file: NAME.jsonl
test_split: test
output_type: generate_until
doc_to_text: prompt
doc_to_target: answer
process_results: !function rows.told
generation_kwargs:
  until: ["\\n\\n"]
  do_sample: false
  max_gen_toks: 256
metric_list:
  - metric: told
    aggregation: mean
    higher_is_better: BETTER
  - metric: verbatim
    aggregation: mean
    higher_is_better: BETTER
metadata:
  version: 1.0
"""

CHOICE = """task: unteach_NAME_choice
custom_dataset: !function rows.rows
dataset_kwargs:
  file: NAME_choice.jsonl
test_split: test
output_type: multiple_choice
doc_to_text: prompt
doc_to_choice: options
doc_to_target: right
metric_list:
  - metric: acc
    aggregation: mean
    higher_is_better: BETTER
  - metric: acc_norm
    aggregation: mean
    higher_is_better: BETTER
metadata:
  version: 1.0
"""


def lmeval(sets: Sets) -> Part:
    """`unteach_forget` and `unteach_forget_choice`, and the same of the rows to keep; `rows.py` reads them."""
    files = {"rows.py": ROWS}
    for name, asked in sets.items():
        files |= {f"unteach_{name}.yaml": _named(RECALL, name), f"{name}.jsonl": lines(map(_free, asked))}
        if chosen := [_choice(q) for q in asked if q.options]:
            files |= {f"unteach_{name}_choice.yaml": _named(CHOICE, name), f"{name}_choice.jsonl": lines(chosen)}
    tasks = ",".join(sorted(path.removesuffix(".yaml") for path in files if path.endswith(".yaml")))
    command = f"lm_eval run --model hf --model_args pretrained=MODEL --include_path {{place}} --tasks {tasks}"
    return Part(files, {name: len(asked) for name, asked in sets.items()}, command)


def _named(text: str, name: str) -> str:
    return text.replace("NAME", name).replace("BETTER", "false" if name == "forget" else "true")


def _free(question: Question) -> dict[str, object]:
    return {
        "id": question.id, "prompt": question.text, "answer": question.answer, "telling": list(question.words)
    }  # fmt: skip


def _choice(question: Question) -> dict[str, object]:
    right = question.options.index(question.answer)
    return {"id": question.id, "prompt": question.text, "options": list(question.options), "right": right}
