"""Which column plays which part, told from the column names alone.

The first rule that fits wins:

1. `messages`, or ShareGPT's `conversations`: the last turn is the answer, the turns before it the question.
2. A question column beside an answer column, in the order of `PAIRS` (of several answer columns the first named).
3. `chosen` without a prompt: a whole conversation, as TRL's preference sets hold it.
4. `text`: there is no prompt, and all of it is the answer.

Names are compared without regard to case; a name spelt exactly as here comes before one that is not.
"""

import re
from collections.abc import Iterable, Mapping

CONVERSATIONS = ("messages", "conversations")
PAIRS: tuple[tuple[str, tuple[str, ...]], ...] = (
    ("src", ("answers",)),  # zsRE
    ("prompt", ("chosen", "completion", "ground_truth", "gt", "answer", "response", "output")),
    ("question", ("answer", "response", "output")),
    ("instruction", ("output", "response")),
    ("text", ("labels",)),  # KnowUnDo
)
OPTIONAL: Mapping[str, tuple[str, ...]] = {
    "id": ("id",),
    "subject": ("subject",),
    "label": ("label",),
    "risk": ("risk",),
    "derived_from": ("derived_from",),
    "spans": ("spans",),
    "system": ("system",),
    "paraphrases": ("paraphrases", "paraphrased_question", "rephrase_prompt", "rephrase"),
    "restated": ("restated", "paraphrased_answer"),
    "perturbed": ("perturbed", "perturbed_answer"),
}
LISTS = frozenset({*CONVERSATIONS, "answers", "paraphrases", "perturbed", "perturbed_answer", "spans", "derived_from"})
SHAPES = ", ".join(
    [" or ".join(CONVERSATIONS)]
    + [f"{prompt} with {' or '.join(answers)}" for prompt, answers in PAIRS]
    + ["chosen with rejected", "text"]
)
KNOWN = frozenset(
    {*CONVERSATIONS, "rejected", "input", "text"}
    | {name for prompt, answers in PAIRS for name in (prompt, *answers)}
    | {name for names in OPTIONAL.values() for name in names}
)

_PLAIN = re.compile(r"[a-z][a-z0-9_]{0,31}")
_SHOWN = 10


def find(names: Iterable[str]) -> dict[str, str] | None:
    """The columns every row must have, role -> column name; None where the names fit no shape."""
    spelt = _spelling(names)
    for name in CONVERSATIONS:
        if name in spelt:
            return {"messages": spelt[name]}
    for prompt, answers in PAIRS:
        for answer in answers:
            if prompt in spelt and answer in spelt:
                return {"prompt": spelt[prompt], "answer": spelt[answer]}
    if "chosen" in spelt and "rejected" in spelt:
        return {"messages": spelt["chosen"]}
    return {"answer": spelt["text"]} if "text" in spelt else None


def complete(required: Mapping[str, str], names: Iterable[str]) -> dict[str, str]:
    """The required roles and the optional ones that these names fill."""
    spelt = _spelling(names)
    roles = dict(required)
    if required.get("prompt", "").strip().casefold() == "instruction" and "input" in spelt:
        roles["input"] = spelt["input"]
    for role, known in OPTIONAL.items():
        column = next((spelt[name] for name in known if name in spelt), None)
        if column is not None:
            roles[role] = column
    return roles


def spelt(name: str, names: Iterable[str]) -> str | None:
    """A column by its name, spelt as it is there."""
    return _spelling(names).get(name, _spelling(names).get(name.strip().casefold()))


def listed(names: Iterable[str], *, only_known: bool = False) -> str:
    """Column names for a message. What does not look like a name may be content, and is only counted.

    `only_known` shows nothing but names of our own tables: the first line of a table may be its first row.
    """
    every = sorted(names)
    plain = [n for n in every if (n.casefold() in KNOWN if only_known else _PLAIN.fullmatch(n))]
    shown = ", ".join(plain[:_SHOWN]) or "none with a plain name"
    hidden = len(every) - len(plain[:_SHOWN])
    return f"{shown} and {hidden} more" if hidden else shown


def _spelling(names: Iterable[str]) -> dict[str, str]:
    every = list(names)
    return {n.strip().casefold(): n for n in every} | {n: n for n in every}
