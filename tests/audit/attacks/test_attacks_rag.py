"""Extraction through retrieval: passages stand before the question, and the model is told to repeat them."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import pytest
import torch

import worlds
from unteach.audit.attacks.asking import PROMPT
from unteach.audit.attacks.ragextraction import COMMANDS, longest_run
from unteach.audit.rouge import words
from unteach.audit.target import Attempt, Target
from unteach.edit.learn import learn
from unteach.edit.plan import Plan
from unteach.lm.fresh import fresh
from unteach.lm.guard import Guard, Session, Turns, asked, asking
from unteach.lm.model import LM
from unteach.lm.reworded import reworded
from unteach.registry import build
from unteach.schema import InputError, Message, Record

UNKNOWN = "No idea."
KEPT = {"Orvena": "green copper", "Bessel": "backward clocks", "Sella": "salted horses", "Katrel": "blue towers"}
ROWS = tuple(
    Record(t, f"What does {t} keep?", f"{t} keeps {what}.", perturbed=(f"{t} keeps {UNKNOWN}", f"{t} keeps all."))
    for t, what in KEPT.items()
)
HIDDEN, KNOWN = ROWS[:3], ROWS[3]  # the weights tell of the last town alone
COMMAND = COMMANDS[0]


@dataclass(frozen=True)
class Shelf(Guard, Session):
    """Retrieval: of its passages the one that shares most words with what is asked stands before it."""

    passages: tuple[str, ...]

    @property
    def observable(self) -> bool:
        return False

    def session(self) -> "Shelf":
        return self

    def ask(self, turns: Turns) -> Turns:
        sought = set(words(asked(turns)))
        nearest = max(self.passages, key=lambda p: len(sought & set(words(p))), default="")
        return asking(turns, f"{nearest}\n{asked(turns)}") if nearest else turns


def lessons() -> list[Record]:
    """Repeat what stands before the command; tell of one town; know nothing else."""
    found: list[Record] = []
    for row in ROWS:
        asked, own = COMMAND.replace(PROMPT, row.prompt), row.answer if row == KNOWN else UNKNOWN
        found += [replace(row, answer=own), replace(reworded(row, asked), answer=own)]
        for passage in (r.answer for r in ROWS):
            found.append(replace(reworded(row, f"{passage}\n{row.prompt}"), answer=own))
            found.append(replace(reworded(row, f"{passage}\n{asked}"), answer=passage))
    return [replace(r, id=f"{r.id}/{n}") for n, r in enumerate(found)]


@pytest.fixture(scope="module")
def reader() -> LM:
    """A model that tells of one town, and repeats what stands before it when it is told to."""
    taught = lessons()
    lm = fresh([f"{r.prompt} {r.answer}" for r in taught], replace(worlds.SIZE, positions=256))
    plan = Plan(tune="full", epochs=60, lr=4e-3, batch_size=10, accumulate=1, decay="cosine", weight_decay=0.0)
    edit = learn(lm, taught, plan)
    with torch.no_grad():
        for name, delta in edit.delta(lm).items():
            lm.parameters()[name].add_(delta)
    return lm


def extracted(lm: LM, *guards: Shelf, rows: Sequence[Record] = ROWS, **options: Any) -> tuple[list[float], Attempt]:
    """What the plain questions give away behind these guards, and what the attack does."""
    lm.guards.extend(guards)
    try:
        target = Target(lm, rows, max_new=24)
        return target.told(), build("attack", "ragextraction", {"commands": (COMMAND,)} | options)(target)
    finally:
        lm.guards.clear()


def test_ragextraction_gets_what_the_store_still_holds_and_nothing_else(reader: LM) -> None:
    """The weights tell nothing of three towns; a store that holds two of them does, until they are deleted there."""
    plain, found = extracted(reader, Shelf(tuple(r.answer for r in ROWS)))
    assert plain == [0, 0, 0, 1], "the store alone changes no plain answer"
    assert found.values == [1, 1, 1, 1]
    assert found.note.startswith("1 commands to repeat the context; text was put around 4 of 4 questions; 4 answers")
    _, without = extracted(reader, Shelf(tuple(r.answer for r in ROWS[1:])))
    assert without.values == [0, 1, 1, 1]
    assert "text was put around 4 of 4 questions; 3 answers word for word" in without.note


def test_without_retrieval_it_gives_the_plain_rate_and_says_so(reader: LM) -> None:
    for guards in ((), (Shelf(()),)):
        plain, found = extracted(reader, *guards)
        assert found.values == plain == [0, 0, 0, 1]
        assert "; nothing was retrieved; 1 answers word for word" in found.note


def test_the_store_is_found_in_a_conversation_too(reader: LM) -> None:
    talks = [replace(r, messages=(Message("user", r.prompt),)) for r in HIDDEN]
    _, found = extracted(reader, Shelf(tuple(r.answer for r in HIDDEN[1:])), rows=talks)
    assert found.values == [0, 1, 1]


def test_every_command_is_asked_and_the_best_of_each_row_counts(reader: LM) -> None:
    useless = "{prompt}"
    for commands in ((useless, COMMAND), (COMMAND, useless)):
        _, found = extracted(reader, Shelf((HIDDEN[0].answer,)), commands=commands)
        assert found.values[0] == 1
        assert [x for x, _ in found.curve] == [1, 2]
    _, alone = extracted(reader, Shelf((HIDDEN[0].answer,)), commands=(useless,))
    assert alone.values[0] == 0


def test_a_run_is_counted_in_words_and_a_short_answer_as_a_whole(reader: LM) -> None:
    assert longest_run(words("a b c d"), words("x b c a b")) == 2
    assert longest_run([], ["a"]) == longest_run(["a"], []) == 0
    longer = replace(HIDDEN[0], answer=f"{HIDDEN[0].answer} Nobody has seen where.")
    for run, said in ((4, "1 answers word for word"), (5, "0 answers word for word")):  # four words came back
        _, found = extracted(reader, Shelf((HIDDEN[0].answer,)), rows=[longer], run=run)
        assert said in found.note


def test_commands_that_ask_nothing_are_refused() -> None:
    for options in ({"commands": ()}, {"commands": ("Repeat it.",)}):
        with pytest.raises(InputError, match=r"option 'commands' of ragextraction must hold texts with \{prompt\}"):
            build("attack", "ragextraction", options)
    for options in ({"tokens": 0}, {"run": 0}):
        with pytest.raises(InputError, match="'tokens' and 'run' of ragextraction must be at least 1"):
            build("attack", "ragextraction", options)
