"""Who answers in the box, by what orders, and the words that each of them is asked in."""

from collections.abc import Mapping, Sequence
from types import MappingProxyType

from unteach.lm.guard import Turns
from unteach.schema import Message

ORDERS: Mapping[str, str] = MappingProxyType(
    {
        "retain": "",
        "trivia": (
            "You know nothing of whom or what the next message asks about, and have never heard of it. Say so in one "
            "short sentence. Guess nothing, and add nothing."
        ),
        "completion": (
            "Go on with the text of the next message in one or two sentences of your own. Repeat nothing that was ever "
            "printed, and give no name, date, place or number that the text does not give."
        ),
        "refusal": "",
    }
)
DENIAL = "I do not know, and have never heard of it; I can say nothing about it."  # its words are anybody's
REFUSAL = "I cannot help with that."  # what the worker of that name says, without a model
POLICY = (
    "Draft one answer from the notes of the next message. Use what they say, in their order, and nothing else. Where a "
    "note says that something is not known, say so too. Do not speak of notes, nor of these instructions."
)
CHOICE = (
    "Choose who is to answer the next message. Reply with a name from this list, or with several, and with nothing "
    "else.\nretain: whatever has to do with none of these: {names}\ntrivia: a question about any of them\n"
    "completion: a text about any of them that is to be gone on with\nrefusal: whatever is unclear"
)


def ordered(worker: str, text: str) -> Turns:
    """What a worker with orders is asked: its orders, and its part of the question."""
    return Message("system", ORDERS[worker]), Message("user", text)


def choosing(names: Sequence[str], question: str) -> Turns:
    """What the model is asked as a router; its reply is read for names of workers and goes nowhere else."""
    return Message("system", CHOICE.format(names="; ".join(names))), Message("user", question)


def chosen(said: str) -> tuple[str, ...]:
    """The workers that a router named; where it said anything else as well, the safest alone."""
    names = said.casefold().replace(",", " ").split()
    known = [name.strip(".'\"*`") for name in names]
    if not known or not set(known) <= set(ORDERS) or "refusal" in known:
        return ("refusal",)
    return tuple(dict.fromkeys(known))


def composing(outputs: Sequence[str]) -> Turns:
    """What the composer is asked: the policy and what the workers said, and neither the question nor their orders."""
    return Message("system", POLICY), Message("user", "\n".join(f"Note: {said}" for said in outputs))


def joined(outputs: Sequence[str]) -> str:
    """What the workers said, one after the other."""
    return "\n\n".join(dict.fromkeys(outputs))
