"""Rows for a training step: forget, replacement and retain answers side by side, and what the model said before."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cache, partial

import torch
from torch import Tensor

from unteach.edit.plan import Step
from unteach.lm.anatomy import anatomy
from unteach.lm.batch import Batch, Row, collate
from unteach.lm.model import LM
from unteach.lm.trace import Enter, Start
from unteach.lm.view import Pass, View
from unteach.schema import InputError, Need, Record

DONE = "done"  # the share of its steps that a training has made, as its loss finds it among the numbers it carries
REFERENCE = "reference."  # how remembered log-probabilities are named in a checkpoint
AT_ONCE = 32  # rows in one pass over the reference
BEGINNING = Start()
MOST_BYTES = 2**31  # of states that rows enter with, before they are computed anew


@dataclass(frozen=True)
class Sides:
    """What a loss sees of one model: its view of the forget rows and of the retain rows."""

    forget: View
    retain: View


@dataclass(frozen=True)
class Task:
    """What to train on, and the loss: it is given the model now and the model before.

    `needs` says what the loss reads; `instead` gives the replacement answers of a record in an epoch. `keep` maps the
    names of tensors in training to masks of their shape, false where nothing may move. `enough` ends the training with
    the reason it gives, asked before the first step and at every measurement. `state` holds numbers that the loss
    carries from step to step, and under `DONE` how far training has come; they go into checkpoints. `watched` are the
    rows to forget where others are trained on in their place.
    """

    forget: Sequence[Record]
    retain: Sequence[Record]
    loss: Callable[[Sides, Sides], Tensor]
    needs: frozenset[Need]
    instead: Callable[[Record, int], tuple[str, ...]] | None = None
    keep: Mapping[str, Tensor] = field(default_factory=dict)
    enough: Callable[[], str] | None = None
    state: dict[str, float] = field(default_factory=dict)
    watched: Sequence[Record] = ()

    @property
    def replaced(self) -> bool:
        """Whether the loss reads other answers to the forget questions."""
        return bool(self.needs & {"instead", "mismatched"})


class Desk:
    """Encodes every row once and lays the rows of each step side by side.

    `memory` keeps what the model before said of a row, `entered` what a row enters with where training begins: both
    are the same in every epoch.
    """

    def __init__(self, lm: LM, task: Task) -> None:
        self.lm, self.task = lm, task
        self.records = {f"{side}/{r.id}": r for side, rows in self._named for r in rows}  # ids may clash across sets
        self.rows: dict[str, Row] = {i: lm.encoder.row(r) for i, r in self.records.items()}
        self.tokens = 0  # trained on so far, prompts included, padding not
        self.memory: dict[str, Tensor] = {}
        self.entered: dict[str, Tensor] = {}
        self.states: dict[float, dict[str, Tensor]] = {}
        if task.replaced and task.instead is None:
            raise InputError("this objective needs replacement answers; give --instead FILE")

    @property
    def _named(self) -> tuple[tuple[str, Sequence[Record]], ...]:
        return (("forget", self.task.forget), ("retain", self.task.retain if "retain" in self.task.needs else ()))

    @property
    def lengths(self) -> tuple[Mapping[str, int], Mapping[str, int]]:
        """The lengths of forget and of retain rows, in tokens."""
        forget, retain = ({f"{s}/{r.id}": len(self.rows[f"{s}/{r.id}"].ids) for r in rows} for s, rows in self._named)
        return forget, retain

    def views(self, step: Step, before: Callable[[Batch, Enter | None], Pass], first: Start) -> tuple[Sides, Sides]:
        """One forward pass for all rows of the step, seen from both sides, and the model before, equally.

        `first` is where training begins; what lies below it runs once for each row.
        """
        step = replace(step, forget=self._sorted(step.forget), retain=self._sorted(step.retain))
        own = step.forget if "forget" in self.task.needs else ()
        swapped = self._swapped(step) if self.task.replaced else ()
        parts = (own, swapped, step.retain)
        keys = (*own, *swapped, *step.retain)
        batch = self._batch(keys, first)
        self.tokens += int(batch.real.sum())
        now = sides(self.lm.run(batch, enter=self._enter(keys, batch, first)), list(map(len, parts)))
        one, other, kept = (partial(self._past, part, before, first) for part in parts)
        return now, Sides(one(instead=other()), kept())

    def _sorted(self, keys: Sequence[str]) -> tuple[str, ...]:
        """Rows that begin alike stand side by side."""
        return tuple(sorted(keys, key=lambda k: self.rows[k].ids))

    def _past(
        self,
        keys: Sequence[str],
        before: Callable[[Batch, Enter | None], Pass],
        first: Start,
        instead: View | None = None,
    ) -> View:
        """What the model before says of some rows: remembered, or computed for them alone when a loss asks for it."""

        @cache
        def whole() -> Pass:
            batch = self._batch(keys, first)
            return before(batch, self._enter(keys, batch, first) if keys else None)

        @torch.no_grad()
        def logits() -> Tensor:  # no graph, though inputs ask for a gradient where a user's blocks are checkpointed
            return whole().logits

        kept = Pass(lambda: whole().batch, logits, lambda layer: self._states(keys, whole(), layer))
        return View(kept, slice(0, len(keys)), known=self._known(keys), instead=instead)

    def _enter(self, keys: Sequence[str], batch: Batch, first: Start) -> Enter | None:
        if any(k not in self.entered for k in keys):
            begun = self.lm.enter(batch, first)
            if begun is None:
                return None
            states = begun.states if begun.inner is None else torch.cat([begun.states, begun.inner], 2)
            _put(self.entered, keys, states[0], batch.real.sum(1))
        known = torch.cat([self.entered[k] for k in keys])[None]
        width = int(self.lm.model.config.hidden_size)
        if known.shape[-1] == width:
            return Enter(first.layer, known)
        return Enter(first.layer, known[..., :width], known[..., width:], anatomy(self.lm.model).mlp_out)

    def _states(self, keys: Sequence[str], before: Pass, layer: float) -> Tensor:
        """The states after a block at the answers, of the model before, computed once for each row."""
        known = self.states.setdefault(layer, {})
        if any(k not in known for k in keys):
            with torch.no_grad():
                _put(known, keys, before.hidden(layer), before.batch.lengths)
        return torch.cat([known[k] for k in keys])

    def remember(self, steps: Sequence[Step]) -> None:
        """Ask the model as it is for the log-probabilities that the loss will compare with, each once."""
        if "reference" not in self.task.needs:
            return
        keys = {k for s in steps for k in (*s.forget, *(self._swapped(s) if self.task.replaced else ()))}
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
        if self.task.replaced:
            for step in steps:
                self._swapped(step)

    def _swapped(self, step: Step) -> tuple[str, ...]:
        """Keys of the step's forget rows with the replacement answers of its epoch."""
        assert self.task.instead is not None
        keys = []
        for i in step.forget:
            for n, answer in enumerate(self.task.instead(self.records[i], step.epoch)):
                key = f"{i}|{step.epoch}|{n}"
                if key not in self.rows:
                    self.rows[key] = self.lm.encoder.row(replace(self.records[i], id=key, answer=answer))
                keys.append(key)
        return tuple(keys)

    def _row(self, key: str) -> Row:
        return self.rows[key]

    def _batch(self, keys: Sequence[str], first: Start = BEGINNING) -> Batch:
        """The rows; what they begin with alike is computed once, unless each has its own states to begin with."""
        share = first == BEGINNING
        return collate([self.rows[k] for k in keys], keys, pad=self.lm.pad, device=self.lm.device, share=share)

    def _known(self, keys: Sequence[str]) -> Tensor | None:
        found = [self.memory[REFERENCE + k] for k in keys if REFERENCE + k in self.memory]
        return torch.cat(found).to(self.lm.device) if len(found) == len(keys) and keys else None


def _put(table: dict[str, Tensor], keys: Sequence[str], states: Tensor, lengths: Tensor) -> None:
    """Keep each row's part of the states, unless there are too many of them."""
    if len(table) * states.nbytes // len(keys) > MOST_BYTES:
        table.clear()
    table |= zip(keys, torch.split(states, lengths.tolist()), strict=True)


def sides(whole: Pass, counts: Sequence[int]) -> Sides:
    """The views of a pass over so many forget rows, rows with replacement answers, and retain rows."""
    own, swapped, kept = counts
    instead = View(whole, slice(own, own + swapped))
    forget = View(whole, slice(0, own), instead=instead)
    return Sides(forget, View(whole, slice(own + swapped, own + swapped + kept)))
