"""Guards stand around a generation: prompt, logits and reply, one session for each conversation."""

from dataclasses import dataclass, replace

import torch
from torch import Tensor

import worlds
from unteach.lm.generate import generate
from unteach.lm.model import LM
from unteach.schema import Message, Record

SEEN: list[list[int]] = []


@dataclass
class Talk:
    """The session of `Swap`; it counts the steps of its own conversation."""

    asked: str
    answered: str
    banned: int
    steps: int = 0

    def prompt(self, text: str) -> str:
        return text.replace(self.asked, self.answered)

    def logits(self, ids: Tensor, logits: Tensor) -> Tensor:
        self.steps += 1
        SEEN.append(ids.tolist())
        if self.banned < 0:
            return logits
        return logits.index_fill(0, torch.tensor([self.banned]), -torch.inf)

    def reply(self, text: str) -> str:
        return f"[{self.steps}]{text}"


@dataclass(frozen=True)
class Swap:
    """Asks about another town than the one that was asked about, and never says one token."""

    asked: str
    answered: str
    banned: int = -1

    @property
    def observable(self) -> bool:
        return False

    def session(self) -> Talk:
        return Talk(self.asked, self.answered, self.banned)


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
    chain = said(lm, prompts, Swap("Orvena", "Quillmar"), Swap("Quillmar", "Sella"))[0]
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
