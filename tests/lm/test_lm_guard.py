"""Guards stand around a generation: prompt, logits and reply, one session for each conversation."""

from dataclasses import dataclass, replace
from itertools import pairwise

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

import worlds
from unteach.lm.anatomy import anatomy
from unteach.lm.generate import generate
from unteach.lm.guard import Conversation, Guard, Session, Streaming, Turns, asked, asking
from unteach.lm.model import LM
from unteach.schema import Message, Record

SEEN: list[list[int]] = []


@dataclass
class Talk(Session):
    """The session of `Swap`; it counts the steps of its own conversation."""

    about: str
    answered: str
    banned: int
    steps: int = 0

    def ask(self, turns: Turns) -> Turns:
        return asking(turns, asked(turns).replace(self.about, self.answered))

    def logits(self, ids: Tensor, logits: Tensor) -> Tensor:
        self.steps += 1
        SEEN.append(ids.tolist())
        if self.banned < 0:
            return logits
        return logits.index_fill(0, torch.tensor([self.banned]), -torch.inf)

    def reply(self, text: str) -> str:
        return f"[{self.steps}]{text}"


@dataclass(frozen=True)
class Swap(Guard):
    """Asks about another town than the one that was asked about, and never says one token."""

    about: str
    answered: str
    banned: int = -1

    @property
    def observable(self) -> bool:
        return False

    def session(self) -> Talk:
        return Talk(self.about, self.answered, self.banned)


def said(lm: LM, prompts: list[str | Record], *guards: Swap) -> list[str]:
    return generate(lm.model, lm.encoder, prompts, 24, guards=guards, pad=lm.pad, started=lm.started)


def test_a_guard_rewrites_the_prompt_and_the_reply_of_its_own_conversation(lm: LM) -> None:
    prompts = [r.prompt for r in worlds.RECORDS[:3]]
    plain = said(lm, prompts)
    found = said(lm, prompts, Swap("Orvena", "Quillmar"))
    tokens = [len(lm.tokenizer(text)["input_ids"]) for text in plain]  # begin and end of text cancel out
    assert found == [f"[{tokens[1]}]{plain[1]}", f"[{tokens[1]}]{plain[1]}", f"[{tokens[2]}]{plain[2]}"]


def test_a_guard_sees_the_ids_so_far_and_its_logits_decide(lm: LM) -> None:
    prompt = worlds.RECORDS[0].prompt
    first = lm.tokenizer(said(lm, [prompt])[0], add_special_tokens=False)["input_ids"]
    SEEN.clear()
    found = said(lm, [prompt], Swap("", "", banned=first[0]))[0]
    assert not found.removeprefix("[").split("]", 1)[1].startswith(lm.tokenizer.decode(first[:1]))
    asked = lm.encoder.prompt(prompt)
    assert [ids[: len(asked)] for ids in SEEN] == [asked] * len(SEEN)
    assert [len(ids) for ids in SEEN] == list(range(len(asked), len(asked) + len(SEEN)))


def test_guards_work_one_after_the_other(lm: LM) -> None:
    prompts = [worlds.RECORDS[0].prompt]
    chain = said(lm, prompts, Swap("Quillmar", "Sella"), Swap("Orvena", "Quillmar"))[0]  # the last meets it first
    plain = said(lm, [worlds.RECORDS[7].prompt])[0]
    steps = len(lm.tokenizer(plain)["input_ids"])
    assert chain == f"[{steps}][{steps}]{plain}"


def test_a_guard_meets_the_last_turn_of_a_conversation(lm: LM) -> None:
    turns = (Message("user", "Hello."), Message("assistant", "Hello."), Message("user", "What is Orvena known for?"))
    record = Record("r", turns[-1].content, "", turns)
    asked = replace(
        record, prompt="What is Sella known for?", messages=(*turns[:-1], Message("user", "What is Sella known for?"))
    )
    assert said(lm, [record], Swap("Orvena", "Sella"))[0].split("]", 1)[1] == said(lm, [asked])[0]


def test_the_models_own_guards_are_in_force(lm: LM) -> None:
    prompt = worlds.RECORDS[0].prompt
    plain = lm.generate([prompt], 24)
    lm.guards.append(Swap("Orvena", "Bessel"))
    try:
        guarded = lm.generate([prompt], 24)
    finally:
        lm.guards.clear()
    assert guarded[0].split("]", 1)[1] == lm.generate([worlds.RECORDS[2].prompt], 24)[0]
    assert lm.generate([prompt], 24) == plain


@dataclass(frozen=True)
class Twice(Guard):
    """Has the model asked two questions, and gives away both answers."""

    second: str

    @property
    def observable(self) -> bool:
        return False

    def session(self) -> "TwiceAsking":
        return TwiceAsking(self.second)


@dataclass
class TwiceAsking(Session):
    second: str
    first: str = ""

    def reply(self, text: str) -> Turns | str:
        if self.first:
            return f"{self.first}|{text}"
        self.first = text
        return (Message("user", self.second),)


@dataclass(frozen=True)
class Closed(Guard, Session):
    """Answers whoever names one word, and asks no model."""

    word: str
    observable: bool = False

    def session(self) -> "Closed":
        return self

    def ask(self, turns: Turns) -> Turns | str:
        return "Closed." if self.word in asked(turns) else turns


@dataclass
class Stopping(Streaming):
    """Lets a number of characters through."""

    room: int

    @property
    def over(self) -> bool:
        return self.room <= 0

    def feed(self, piece: str) -> str:
        left, self.room = piece[: self.room], self.room - len(piece)
        return left


@dataclass(frozen=True)
class Stop(Guard):
    room: int
    observable: bool = False

    def session(self) -> Stopping:
        return Stopping(self.room)


def test_a_guard_may_ask_again_and_guards_within_it_meet_every_question(lm: LM) -> None:
    prompt = "What is Orvena known for?"
    first, second = said(lm, [prompt, "What is Sella known for?"])
    assert said(lm, [prompt], Twice("What is Sella known for?")) == [f"{first}|{second}"]
    within = said(lm, [prompt], Closed("Sella"), Twice("What is Sella known for?"))
    assert within == [f"{first}|Closed."]
    assert said(lm, [prompt], Twice("What is Sella known for?"), Closed("Orvena")) == ["Closed."]


def test_a_guard_that_answers_leaves_the_model_unasked(lm: LM) -> None:
    with lm.tap(anatomy(lm.model).norm, lambda _states, _site: pytest.fail("the model was run")):
        assert said(lm, ["What is Orvena known for?"], Closed("Orvena")) == ["Closed."]


def test_a_guard_that_asks_without_end_is_stopped(lm: LM) -> None:
    @dataclass(frozen=True)
    class Again(Guard, Session):
        observable: bool = False

        def session(self) -> "Again":
            return self

        def reply(self, text: str) -> Turns | str:  # noqa: ARG002
            return (Message("user", "?"),)

    with pytest.raises(RuntimeError, match="asks again without end"):
        generate(lm.model, lm.encoder, ["?"], 1, guards=[Again()], pad=lm.pad, started=lm.started)


def test_an_empty_chain_is_the_model_bit_for_bit(lm: LM) -> None:
    prompts = [r.prompt for r in worlds.RECORDS]
    talks = [Conversation((), (Message("user", p),)) for p in prompts]
    for talk, text in zip(talks, said(lm, prompts), strict=True):
        assert talk.turns is not None
        talk.hear(text)
        talk.hear(None)
        assert (talk.said, talk.turns, talk.decisions) == (text, None, [])


@given(st.text(max_size=30), st.lists(st.integers(0, 30), max_size=5), st.integers(0, 31))
def test_what_leaves_does_not_depend_on_how_a_reply_came(text: str, cuts: list[int], room: int) -> None:
    places = [0, *sorted(min(c, len(text)) for c in cuts), len(text)]
    talk = Conversation((Stop(room), Closed("never")), (Message("user", "?"),))
    for start, end in pairwise(places):
        if talk.turns is not None:
            talk.hear(text[start:end])
    talk.hear(None)
    assert talk.said == text[:room]
    assert talk.turns is None


def test_decisions_name_guards_and_hold_no_words() -> None:
    talk = Conversation((Swap("Orvena", "Sella"), Twice("Secret?"), Closed("Moon")), (Message("user", "Orvena?"),))
    talk.hear("green copper")
    talk.hear(None)
    talk.hear("salted horses")
    talk.hear(None)
    assert [(d.guard, d.stage, d.action) for d in talk.decisions] == [
        ("Closed", "question", "passed"), ("Twice", "question", "passed"), ("Swap", "question", "rewrote"),
        ("Swap", "reply", "changed"), ("Twice", "reply", "asked again"), ("Swap", "question", "passed"),
        ("Swap", "reply", "changed"), ("Twice", "reply", "changed"), ("Closed", "reply", "passed"),
    ]  # fmt: skip
