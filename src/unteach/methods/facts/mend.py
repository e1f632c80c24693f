"""MEND: gradients turned into corrections by networks that have practised it."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import ClassVar

from unteach.edit.edit import Edit
from unteach.lm.model import LM
from unteach.methods.facts.editor import edited, ready
from unteach.methods.facts.practice import Practice
from unteach.methods.facts.transforms import GradientTransforms
from unteach.methods.facts.write import facts_of, written
from unteach.registry import method
from unteach.schema import InputError, Need, Request


@method("mend", tested_by="test_an_untrained_mend_is_a_step_of_gradient_descent")
@dataclass(frozen=True)
class MEND:
    """Fine-tuning on one fact overdoes it; a trained editor turns its gradient into a change that holds and stays local.

        W - step * sum over tokens of x~ delta~',   (x~, delta~) = g(x, delta),   gradient of W = sum of x delta'

    x is what a token puts into a linear map, delta what comes back to it from -log p(new answer). g normalises both by
    their running mean and deviation and takes them through two layers y + relu((U V y + b) * scale + shift), where
    U = 0 at first, so that an untrained editor takes a small step of gradient descent. g is shared by maps of one
    shape; scale, shift and `step` are learned for each. Trained by 0.1 * loss of the new answer in other words + KL on
    unrelated questions (`unteach train-editor`). Changed are the MLPs of the last three blocks (`blocks`); their changes
    have as many ranks as the facts have tokens. Many facts are one batch, the sum of their changes. Mitchell et al.
    2022, arXiv:2110.11309.

    Needs facts. `editor` is the folder of a trained editor, which serves one model only. Without it one is trained here
    on the facts themselves and on the rows to keep with each other's answers, for `steps` steps (60): enough to see
    what it does, often too few for an answer of many new words. An editor has practised as many facts at a time as it
    was told to (`together`); many more in one request interfere.

    Example: ``MEND(editor="editors/mend")(lm, Request(facts=facts))``.
    """

    needs: ClassVar[frozenset[Need]] = frozenset({"facts"})
    editor: str = ""
    blocks: int = 3
    rank: int = 1920
    first_step: float = 1e-4
    practice: Practice = field(default_factory=Practice)

    def __post_init__(self) -> None:
        if self.blocks < 1 or self.rank < 1 or not self.first_step > 0:
            raise InputError(
                "an editor changes at least one block, has layers of rank 1 or more, and a first step above 0"
            )

    @property
    def sizes(self) -> dict[str, float]:
        """What a newborn editor is made by, apart from its maps."""
        return {"rank": self.rank, "first_step": self.first_step}

    @staticmethod
    def newborn(_lm: LM, maps: Mapping[str, tuple[int, int]], sizes: Mapping[str, float]) -> GradientTransforms:
        """An editor that has practised nothing."""
        return GradientTransforms(maps, int(sizes["rank"]), sizes["first_step"])

    def __call__(self, lm: LM, request: Request) -> Edit:
        facts = facts_of(request, "mend")
        made = ready(self, lm, request, together=len(facts))
        return written(lm, edited(lm, made, facts), f"mend({made.mark})")
