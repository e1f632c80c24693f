"""Training an editor that is kept, and saying how well it does on facts it has not practised."""

from collections.abc import Callable, Sequence
from dataclasses import asdict
from pathlib import Path

from unteach.edit.checkpoint import checkpoints_in
from unteach.lm.model import LM
from unteach.methods.facts.editor import Learned, edited, keep, trained
from unteach.methods.facts.held import Held, apart, held
from unteach.methods.facts.lessons import lessons
from unteach.methods.facts.practice import SCHOOL
from unteach.methods.facts.write import written
from unteach.schema import Fact, InputError

CHECKPOINTS = ".checkpoints"


def train_editor(
    lm: LM, how: Learned, facts: Sequence[Fact], folder: Path, *, holdout: int = 0,
    say: Callable[[str], None] | None = None,
) -> Held | None:  # fmt: skip
    """Train the editor of a method on facts and save it in a folder, which the method's option `editor` then names.

    With `holdout` so many facts are kept out, of subjects that no other is about, and each is then corrected alone.
    A training that was stopped goes on from its checkpoint in the folder.
    """
    if holdout < 0:
        raise InputError("no fewer than 0 facts can be held out; give --holdout a number from 0 on")
    practice = how.practice.within(SCHOOL)
    practised, away = apart(facts, holdout, practice.seed)
    folder.mkdir(parents=True, exist_ok=True)
    with checkpoints_in(folder / CHECKPOINTS):
        made, losses = trained(how, lm, lessons(lm, practised), practice, say)
        score = held(lm, away, lambda fact: written(lm, edited(lm, made, [fact]), "")) if away else None
        notes = {"practice": asdict(practice), "facts": len(practised), "last": asdict(losses[-1])}
        keep(folder, how, lm, made, notes | {"held_out": None if score is None else asdict(score)})
    return score
