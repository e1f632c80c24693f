"""How an editor is trained. Nothing here knows torch: the command line reads its flags from it."""

from dataclasses import dataclass, replace
from typing import Annotated

from unteach.schema import InputError

SCHOOL, SPOT = (
    (2000, 10),
    (60, 4),
)  # steps and corrections in each, of an editor that is kept and of one for one request


@dataclass(frozen=True)
class Practice:
    """How an editor is trained. The loss of a step is

        c_edit * -log p(new answer | one of the wordings) / its tokens  +  c_loc * KL(before || after)

    in the mean over `batch` corrections that are made apart, or `together` at a time; KL is that at the answer of a
    question that has nothing to do with them. Adam; its rates `lr`, and `step_lr` for learned step sizes, fall to 0.
    `steps` and `batch` left out are 2000 and 10 for an editor that is kept, 60 and 4 for one that serves one request.
    """

    steps: Annotated[int, "steps of training; 2000, or 60 for an editor that serves one request"] = 0
    batch: Annotated[int, "corrections in a step; 10, or 4"] = 0
    together: Annotated[int, "corrections that are made at once"] = 1
    lr: Annotated[float, "the rate of the editor"] = 1e-3
    step_lr: Annotated[float, "the rate of its learned step sizes"] = 1e-4
    c_edit: Annotated[float, "the weight of the new answers"] = 0.1
    c_loc: Annotated[float, "the weight of what should not change"] = 1.0
    clip: Annotated[float, "the greatest norm of a gradient"] = 100.0
    seed: Annotated[int, "what is drawn depends on it"] = 0

    def __post_init__(self) -> None:
        if self.steps < 0 or self.batch < 0 or self.together < 1:
            raise InputError("an editor is trained in at least one step, on at least one correction")
        if not self.lr > 0 or self.step_lr < 0 or self.c_edit < 0 or self.c_loc < 0 or not self.clip > 0:
            raise InputError("an editor is trained with a rate and a clip above 0, and with no weight below 0")

    def within(self, budget: tuple[int, int]) -> "Practice":
        """With the steps and the batch of a budget, where they are left out."""
        return replace(self, steps=self.steps or budget[0], batch=self.batch or budget[1])
