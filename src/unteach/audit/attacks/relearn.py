"""A little training on some of what was forgotten."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from math import ceil
from typing import ClassVar, Literal

from torch import Tensor

from unteach.audit.target import Attempt, Holds, Target, best, curve
from unteach.edit.plan import Plan, draw
from unteach.edit.rows import Sides, Task
from unteach.edit.train import train
from unteach.lm.reworded import reworded
from unteach.registry import attack
from unteach.schema import InputError, Need, Record


@attack("relearn", tested_by="test_relearn_brings_back_what_was_only_pushed_down")
@dataclass(frozen=True)
class Relearn:
    """Does a little training on some of the forgotten rows, or on rows akin to them, bring the others back?

    The attacker holds the weights. By kind "malicious" a `share` of the forgotten rows (drawn by their ids, at least
    one) is trained on for `epochs` passes, and the others are asked. By kind "related" it is the retain rows of the same
    subjects, and of the forgotten rows those with such kin are asked; where there are none, the share of the forgotten
    rows is trained on in other words, by their paraphrases. A model that never knew the rows learns nothing about them
    from that. Lynch et al. 2024, arXiv:2402.16835; Hu et al. 2024, arXiv:2406.13356. Every learning rate of `lr` is
    tried, since one that is too low looks like forgetting. The curve shows every pass; of each row the best counts.

    Rows of a form that all answers share are learned by any model: compare with the retrained one.
    """

    holds: ClassVar[Holds] = "weights"
    needs: ClassVar[frozenset[Need]] = frozenset({"forget", "generation", "weights"})
    measure: ClassVar[str] = "told"
    axis: ClassVar[str] = "passes"
    kind: Literal["malicious", "related"] = "malicious"
    share: float = 0.2
    epochs: int = 4
    lr: tuple[float, ...] = (1e-4, 1e-3, 3e-3)
    tune: Literal["lora", "full"] = "lora"
    batch_size: int = 4

    def __post_init__(self) -> None:
        if not self.lr:
            raise InputError("option 'lr' of relearn must hold at least one learning rate")
        if not 0 < self.share < 1:
            raise InputError(
                "option 'share' of relearn must lie between 0 and 1: some rows are trained on, others asked"
            )

    def __call__(self, target: Target, /) -> Attempt:
        lessons, asked, what = self._parted(target)
        if not lessons or not asked:
            return Attempt(note=what)
        plan = Plan(tune=self.tune, epochs=self.epochs, batch_size=self.batch_size, accumulate=1,
                    warmup_epochs=0, decay="constant", seed=target.seed)  # fmt: skip
        tries = retrained(target, lessons, [target.forget[i] for i in asked], plan, self.lr)
        values: list[float | None] = [None] * len(target.forget)
        for i, value in zip(asked, best([*tries.values()]), strict=True):
            values[i] = value
        return Attempt(values, curve(tries), f"{len(lessons)} {what}, {spent_on(plan, self.lr)}")

    def _parted(self, target: Target) -> tuple[list[Record], list[int], str]:
        """What is trained on, the places of the rows that are asked, and what the first are or why there are none."""
        forget = target.forget
        order = sorted(range(len(forget)), key=lambda i: draw(target.seed, "relearn", forget[i].id))
        spent, asked = order[: ceil(self.share * len(order))], order[ceil(self.share * len(order)) :]
        subjects = {r.subject for r in forget} - {""}
        kin = [r for r in target.retain if r.subject in subjects] if self.kind == "related" else []
        if kin:
            kindred = {r.subject for r in kin}
            return kin, [i for i, r in enumerate(forget) if r.subject in kindred], "retain rows of the same subjects"
        if not asked:
            return [], [], "one row alone: none would be left to ask for"
        if self.kind == "malicious":
            return [forget[i] for i in spent], asked, "forgotten rows"
        words = [other for i in spent for other in _in_other_words(forget[i])]
        return words, asked, "paraphrases of forgotten rows" if words else "no row of the same subjects, no paraphrase"


def _in_other_words(record: Record) -> list[Record]:
    said = record.restated or record.answer
    return [
        replace(reworded(record, text), id=f"{record.id}/{n}", answer=said) for n, text in enumerate(record.paraphrases)
    ]


def retrained(
    target: Target, lessons: Sequence[Record], asked: Sequence[Record], plan: Plan, rates: Sequence[float]
) -> dict[float, list[float | None]]:
    """Train on some rows at each learning rate and ask others: the best of each, by the number of passes so far."""
    plain = target.told(asked)
    trainings = [_looks(target, lessons, asked, replace(plan, lr=rate)) for rate in rates]
    passes = {float(n + 1): best(found) for n, found in enumerate(zip(*trainings, strict=True))}
    return {0.0: plain, **passes}


def _looks(
    target: Target, lessons: Sequence[Record], asked: Sequence[Record], plan: Plan
) -> list[list[float | None]]:  # fmt: skip
    """What is told after each pass."""
    found: list[list[float | None]] = []

    def look() -> str:
        found.append(target.told(asked))
        return ""

    def loss(now: Sides, _before: Sides) -> Tensor:
        return -now.forget.token_logps.mean()

    train(target.lm, Task(lessons, (), loss, frozenset({"forget"}), enough=look), plan, made_by="relearn")
    return found[1:]  # the first is from before the first pass


def spent_on(plan: Plan, rates: Sequence[float]) -> str:
    """What a training cost, as a phrase."""
    return f"{plan.epochs:g} passes, {plan.tune}, learning rates {', '.join(f'{rate:g}' for rate in rates)}"
