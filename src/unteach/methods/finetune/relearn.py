"""ReLearn: other things are learned in the place of what is forgotten."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from math import ceil
from typing import ClassVar

from torch import Tensor

from unteach.data.given import require
from unteach.data.read import read
from unteach.data.wordings.safe import completions, safe_answers
from unteach.edit.edit import Edit
from unteach.edit.plan import Plan, Step, draw, schedule
from unteach.edit.rows import Sides, Task
from unteach.edit.train import train
from unteach.lm.model import LM
from unteach.methods.finetune.alternates import writer_of
from unteach.methods.finetune.objectives import KL, NLL
from unteach.registry import method
from unteach.schema import InputError, Need, Record, Request

PLAN = Plan(epochs=20, lr=1e-4, lora_alpha=32.0, batch_size=2, accumulate=4)


@method("relearn", tested_by="test_the_forgotten_answer_falls_and_is_never_a_target_of_relearn")
@dataclass(frozen=True)
class ReLearn:
    """Overwrite by learning: vague, safe answers to the forget questions and to four variants of each.

    L = CE(augmented) + kl_weight * KL(before || now)(retain) + retain_weight * CE(retain), every term a mean over answer
    tokens. Xu et al. 2025, arXiv:2502.11190. Needs forget and retain rows. Augmented are: each question and a simple, a
    contextual, a noisy and a logically reversed variant of it, all with an answer of their own that stays with the
    question and names no date, place, name, number or address; of each answer the part that follows its first quarter
    of words; and `mix` times as many generic rows (of the file or data set `generic`, or else retain rows; each once an
    epoch at most). An epoch takes one of the ten texts of each row: 20 of them are the two over all that are published.

    Templates write, or `writer`: a model's folder or hub id, `self`, or a URL. A writer is shown questions, never
    answers to forget. Every text passes a check of words: none that tells the answer stands in it, nor any name but the
    question's; else it is asked for again, up to three times, and then the templates write. The paper lets a model
    judge what leaks instead, and checks no names by rule.

    The forgotten answer is no target, so it falls only as far as the new answers press it. The templates know English;
    what they write is fluent and empty, and a model that learned it can be told by that. Vagueness spreads to
    neighbours.

    Example: ``ReLearn(mix=1.2)(lm, request)``.
    """

    needs: ClassVar[frozenset[Need]] = frozenset({"forget", "retain"})
    writer: str = ""
    generic: str = ""
    mix: float = 1.2
    kl_weight: float = 1.0
    retain_weight: float = 1.0
    plan: Plan = field(default_factory=lambda: PLAN)

    def __post_init__(self) -> None:
        if self.mix < 0:
            raise InputError("option 'mix' of relearn is a number of generic rows for each augmented one; at least 0")

    def __call__(self, lm: LM, request: Request) -> Edit:
        require(request, "relearn", "forget", "retain")
        learn, hold, keep = NLL(), KL(), NLL()
        texts, generic = self.texts(lm, request.forget, request.retain), self.others(request.retain)

        def loss(now: Sides, before: Sides) -> Tensor:
            kept = self.kl_weight * hold(now.retain, before.retain) + self.retain_weight * keep(
                now.retain, before.retain
            )
            return learn(now.forget, before.forget) + kept

        needs: frozenset[Need] = frozenset({"forget", "retain", "reference_logits"})
        rows = (*(r for some in texts for r in some), *generic)
        task = Task(rows, request.retain, loss, needs, watched=request.forget)
        terms = f"{learn} + {self.kl_weight:g} * {hold} + {self.retain_weight:g} * {keep}"
        made_by = f"relearn({terms}, {self.mix:g}, {self.plan})"
        keys = [[f"forget/{r.id}" for r in some] for some in (*texts, generic)]
        return train(lm, task, self.plan, made_by=made_by, order=partial(by_turns, keys[:-1], keys[-1], self.mix))[0]

    def texts(self, lm: LM, forget: Sequence[Record], beside: Sequence[Record]) -> tuple[tuple[Record, ...], ...]:
        """For each row to forget the rows that are learned in its place."""
        found: list[tuple[Record, ...]] = []
        safe = safe_answers(forget, self.plan.seed, beside=beside, writer=writer_of(lm, self.writer))
        if bare := [r.id for r in forget if not safe.of[r.id]]:
            raise InputError(f"row '{bare[0]}' has no vague answer that passes the check for leaks; leave it out")
        for record in forget:
            found.append((*safe.of[record.id], *completions(safe.of[record.id])))
        return tuple(found)

    def others(self, retain: Sequence[Record]) -> tuple[Record, ...]:
        """The generic rows, under ids of their own."""
        rows = read(self.generic).records if self.generic else retain
        return tuple(replace(r, id=f"generic/{r.id}") for r in rows)


def by_turns(
    texts: Sequence[Sequence[str]], generic: Sequence[str], mix: float,
    forget: Mapping[str, int], retain: Mapping[str, int], plan: Plan,
) -> tuple[Step, ...]:  # fmt: skip
    """Every micro-batch: in each epoch one of the texts of each row, each before any comes again, and generic rows."""
    count = ceil(mix * len(texts))
    steps: list[Step] = []
    for epoch in range(ceil(plan.epochs)):
        own = [sorted(t, key=partial(draw, plan.seed, "text", epoch // len(t)))[epoch % len(t)] for t in texts]
        others = sorted(generic, key=partial(draw, plan.seed, "generic", epoch))[:count]
        today = {key: forget[key] for key in (*own, *others)}
        lesson = schedule(today, retain, replace(plan, epochs=1, seed=draw(plan.seed, "turn", epoch)))
        steps += [replace(step, epoch=epoch) for step in lesson]
    return tuple(steps)
