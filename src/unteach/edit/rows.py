"""Rows for a training step: forget, replacement and retain answers side by side, and what the model said before."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from unteach.edit.plan import Step
from unteach.lm.batch import Batch, Row, collate
from unteach.lm.model import LM
from unteach.lm.view import Pass, View
from unteach.schema import InputError, Need, Record

REFERENCE = "reference."  # how remembered log-probabilities are named in a checkpoint
AT_ONCE = 32  # rows in one pass over the reference


@dataclass(frozen=True)
class Sides:
    """What a loss sees of one model: its view of the forget rows and of the retain rows."""

    forget: View
    retain: View


@dataclass(frozen=True)
class Task:
    """What to train on, and the loss: it is given the model now and the model before.

    `needs` says what the loss reads; `instead` gives the replacement answer of a record in an epoch.
    """

    forget: Sequence[Record]
    retain: Sequence[Record]
    loss: Callable[[Sides, Sides], Tensor]
    needs: frozenset[Need]
    instead: Callable[[Record, int], str] | None = None


class Desk:
    """Encodes every row once and lays the rows of each step side by side."""

    def __init__(self, lm: LM, task: Task) -> None:
        self.lm, self.task = lm, task
        self.records = {f"{side}/{r.id}": r for side, rows in self._named for r in rows}  # ids may clash across sets
        self.rows: dict[str, Row] = {i: lm.encoder.row(r) for i, r in self.records.items()}
        self.memory: dict[str, Tensor] = {}
        if "instead" in task.needs and task.instead is None:
            raise InputError("this objective needs replacement answers; give --instead FILE")

    @property
    def _named(self) -> tuple[tuple[str, Sequence[Record]], ...]:
        return (("forget", self.task.forget), ("retain", self.task.retain if "retain" in self.task.needs else ()))

    @property
    def lengths(self) -> tuple[Mapping[str, int], Mapping[str, int]]:
        """The lengths of forget and of retain rows, in tokens."""
        forget, retain = ({f"{s}/{r.id}": len(self.rows[f"{s}/{r.id}"].ids) for r in rows} for s, rows in self._named)
        return forget, retain

    def views(self, step: Step, before: Callable[[Batch], Pass]) -> tuple[Sides, Sides]:
        """One forward pass for all rows of the step, seen from both sides, and the model before, equally."""
        own = step.forget if "forget" in self.task.needs else ()
        swapped = self._swapped(step) if "instead" in self.task.needs else ()
        keys = (*own, *swapped, *step.retain)
        batch = self._batch(keys)
        parts = (len(own), len(swapped), len(step.retain))
        now = _sides(self.lm.run(batch), parts, None)
        known = self._known(keys, batch, parts) if "reference" in self.task.needs else None
        return now, _sides(before(batch), parts, known)

    def remember(self, steps: Sequence[Step]) -> None:
        """Ask the model as it is for the log-probabilities that the loss will compare with, each once."""
        if "reference" not in self.task.needs:
            return
        keys = {k for s in steps for k in (*s.forget, *(self._swapped(s) if "instead" in self.task.needs else ()))}
        keys |= {k for s in steps for k in s.retain} if "reference_logits" in self.task.needs else set()
        order = sorted(keys, key=lambda k: (len(self._row(k).ids), k))
        for at in range(0, len(order), AT_ONCE):
            part = order[at : at + AT_ONCE]
            batch = self._batch(part)
            with torch.no_grad():
                logps = self.lm.run(batch).token_logps.cpu()
            for key, first, last in zip(part, batch.offsets, batch.offsets[1:], strict=False):
                self.memory[REFERENCE + key] = logps[first:last].clone()

    def recall(self, tensors: Mapping[str, Tensor]) -> None:
        """Take remembered log-probabilities from a checkpoint."""
        self.memory = {k: t for k, t in tensors.items() if k.startswith(REFERENCE)}

    def lay_out(self, steps: Sequence[Step]) -> None:
        """Encode the replacement answers of every step, so that `rows` holds all that the training will read."""
        if "instead" in self.task.needs:
            for step in steps:
                self._swapped(step)

    def _swapped(self, step: Step) -> tuple[str, ...]:
        """Keys of the step's forget rows with the replacement answers of its epoch."""
        assert self.task.instead is not None
        keys = []
        for i in step.forget:
            answer = self.task.instead(self.records[i], step.epoch)
            key = f"{i}|{step.epoch}"
            if key not in self.rows:
                self.rows[key] = self.lm.encoder.row(replace(self.records[i], id=key, answer=answer))
            keys.append(key)
        return tuple(keys)

    def _row(self, key: str) -> Row:
        return self.rows[key]

    def _batch(self, keys: Sequence[str]) -> Batch:
        return collate([self.rows[k] for k in keys], keys, pad=self.lm.pad, device=self.lm.device)

    def _known(self, keys: Sequence[str], batch: Batch, parts: tuple[int, int, int]) -> list[Tensor | None]:
        found: list[Tensor | None] = []
        at = 0
        for count in parts:
            logps = [self.memory.get(REFERENCE + k) for k in keys[at : at + count]]
            have = [t for t in logps if t is not None]
            found.append(torch.cat(have).to(batch.ids.device) if len(have) == count and count else None)
            at += count
        return found


def _sides(whole: Pass, parts: tuple[int, int, int], known: Sequence[Tensor | None] | None) -> Sides:
    own, swapped, kept = parts
    ends = (own, own + swapped, own + swapped + kept)
    logps = known or (None, None, None)
    instead = View(whole, slice(ends[0], ends[1]), known=logps[1])
    forget = View(whole, slice(0, ends[0]), known=logps[0], instead=instead)
    return Sides(forget, View(whole, slice(ends[1], ends[2]), known=logps[2]))
