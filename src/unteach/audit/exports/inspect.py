"""Tasks for Inspect (inspect_ai): free answers, and a choice where rows bring wrong answers of the same form."""

from string import ascii_uppercase

from unteach.audit.exports.question import Part, Question, Sets, lines

RECALL = '''"""How much of each recorded answer a model gives away. Lower is better for what had to be forgotten.

inspect eval recall.py --model MODEL [-T rows=retain]
"""

import re
import unicodedata
from pathlib import Path

from inspect_ai import Task, task
from inspect_ai.dataset import json_dataset
from inspect_ai.model import GenerateConfig
from inspect_ai.scorer import Score, includes, mean, scorer, stderr
from inspect_ai.solver import generate


@scorer(metrics=[mean(), stderr()])
def told():
    """The share of the answer's telling words in what the model wrote."""

    async def score(state, target):
        text = unicodedata.normalize("NFKC", state.output.completion).casefold()
        words = set(re.findall(r"[^\\W_]+", text))
        telling = state.metadata["telling"]
        found = [w for w in telling if w in words or (not w.isascii() and w in text)]
        return Score(value=len(found) / len(telling), answer=state.output.completion, explanation=" ".join(found))

    return score


@task
def recall(rows: str = "forget"):
    return Task(
        dataset=json_dataset(str(Path(__file__).parent / f"{rows}.jsonl"), name=rows),
        solver=generate(),
        scorer=[told(), includes()],
        config=GenerateConfig(max_tokens=256),
    )
'''

CHOICE = '''"""Whether a model picks the recorded answer among wrong ones. Chance is the goal for what had to be forgotten.

inspect eval choice.py --model MODEL [-T rows=retain]
"""

from pathlib import Path

from inspect_ai import Task, task
from inspect_ai.dataset import json_dataset
from inspect_ai.scorer import choice as chosen
from inspect_ai.solver import multiple_choice


@task
def choice(rows: str = "forget"):
    return Task(
        dataset=json_dataset(str(Path(__file__).parent / f"{rows}_choice.jsonl"), name=rows),
        solver=multiple_choice(),
        scorer=chosen(),
    )
'''


def inspect(sets: Sets) -> Part:
    """`recall.py` and `choice.py`, each with a file of samples for each set."""
    files = {"recall.py": RECALL} | {f"{name}.jsonl": lines(map(_sample, asked)) for name, asked in sets.items()}
    choices = {name: [q for q in asked if q.options] for name, asked in sets.items()}
    if any(choices.values()):
        files["choice.py"] = CHOICE
        files |= {f"{name}_choice.jsonl": lines(map(_choice, asked)) for name, asked in choices.items() if asked}
    counts = {name: len(asked) for name, asked in sets.items()}
    return Part(files, counts, "inspect eval {place}/recall.py --model MODEL")


def _sample(question: Question) -> dict[str, object]:
    turns = [{"role": m.role, "content": m.content} for m in question.messages]
    telling = {"telling": list(question.words)}
    return {"id": question.id, "input": turns or question.prompt, "target": question.answer, "metadata": telling}


def _choice(question: Question) -> dict[str, object]:
    right = ascii_uppercase[question.options.index(question.answer)]
    return {"id": question.id, "input": question.text, "target": right, "choices": list(question.options)}
