"""Ascent until the rows are known no better than rows that were never seen."""

from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from typing import ClassVar

import numpy as np

from unteach.edit.edit import Edit
from unteach.edit.plan import Plan
from unteach.lm.model import LM
from unteach.measure.extraction import extraction_likelihood, memorization_accuracy
from unteach.methods.finetune.finetune import Finetune
from unteach.registry import method
from unteach.schema import InputError, Need, Record, Request

Level = tuple[float, float]  # extraction likelihood and memorisation accuracy


@method("jang", tested_by="test_jang_stops_at_the_first_epoch_below_the_level_of_unseen_rows")
@dataclass(frozen=True)
class Jang:
    """Gradient ascent on a chunk of the forget rows at a time, each until it is forgotten.

    A chunk is one batch. It is forgotten when EL_n and MA, the means over its rows of extraction likelihood and
    memorisation accuracy, are both no higher than on rows never seen (or than `el` and `ma`, where these are
    given). That is asked before the first step and after every epoch, of which `plan.epochs` are made at most.
    Jang et al. 2023, arXiv:2210.01504: "batched" where one chunk holds all rows, else "sequential", which damages
    less. Needs forget rows, and holdout rows unless `el` and `ma` are given. Without `plan.lr` the rate is 5e-5,
    constant.

    It does not look at what should stay, and what it forgot comes back with little training.

    Example: ``Jang(chunk=8)(lm, request)``.
    """

    needs: ClassVar[frozenset[Need]] = frozenset({"forget", "holdout"})
    chunk: int = 32
    n: int = 10
    el: float | None = None
    ma: float | None = None
    plan: Plan = field(default_factory=Plan)

    def __post_init__(self) -> None:
        if self.chunk < 1 or self.n < 1:
            raise InputError("options 'chunk' and 'n' of jang count rows and tokens; choose them at least 1")

    def __call__(self, lm: LM, request: Request) -> Edit:
        level = self._level(lm, request)
        plan = replace(
            self.plan, lr=self.plan.lr or 5e-5, warmup_epochs=0.0, decay="constant", batch_size=self.chunk,
            accumulate=1, measure_every=1.0,
        )  # fmt: skip
        method = Finetune("ga", retain_term="none", plan=plan)
        method.task(request)  # refuses what is missing
        edits: list[Edit] = []
        with ExitStack() as worn:
            for at in range(0, len(request.forget), self.chunk):
                rows = request.forget[at : at + self.chunk]
                edits.append(self._one(lm, method, rows, level))
                worn.enter_context(edits[-1].on(lm))
        whole = edits[0]
        for edit in edits[1:]:
            whole = whole.then(edit)
        return whole

    def _one(self, lm: LM, method: Finetune, rows: Sequence[Record], level: Level) -> Edit:
        def enough() -> str:
            el, ma = known(lm, rows, self.n)
            return "the rows are known no better than unseen ones" if el <= level[0] and ma <= level[1] else ""

        return method.train(lm, replace(method.task(Request(forget=rows)), enough=enough), made_by=f"jang({level})")

    def _level(self, lm: LM, request: Request) -> Level:
        if self.el is not None and self.ma is not None:
            return self.el, self.ma
        if not request.holdout:
            raise InputError("the level to stop at is taken from holdout rows; give --holdout FILE, or --el and --ma")
        el, ma = known(lm, request.holdout, self.n)
        return el if self.el is None else self.el, ma if self.ma is None else self.ma


def known(lm: LM, rows: Sequence[Record], n: int) -> Level:
    """The means over rows of extraction likelihood and memorisation accuracy."""
    measured = (extraction_likelihood(lm, rows, n), memorization_accuracy(lm, rows))
    el, ma = (float(np.mean([v for v in values if v is not None])) for values in measured)
    return el, ma
