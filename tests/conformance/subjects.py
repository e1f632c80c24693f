"""Everything registered, one by one, on each of the two tiny families."""

from dataclasses import dataclass, fields, replace
from typing import Any

import torch
from torch import Tensor

import worlds
from unteach.edit.edit import Edit
from unteach.edit.plan import Plan
from unteach.lm.model import LM
from unteach.methods.facts.practice import Practice
from unteach.registry import Entry, build, entries, find
from unteach.schema import Fact, Record, Request

# One plan for all: long enough for the gentlest objective to show what it does.
WHOLE = Plan(tune="full", epochs=28, lr=3e-3, batch_size=4, accumulate=1, decay="linear", measure_every=28)
SHORT = Plan(tune="full", epochs=2, lr=1e-3, batch_size=4, accumulate=1, measure_every=2)
BRIEF = Practice(steps=4)  # of an editor whose corrections are not looked at
REQUEST = Request(
    forget=worlds.FORGET,
    retain=worlds.RETAIN,
    holdout=tuple(Record(f"unseen-{i}", f"What is {t} known for?", f"{t} has nothing.") for i, t in enumerate("XYZ")),
    facts=tuple(
        Fact(f"fact-{i}", "What is {} known for?", town, "a well that sings", known)
        for i, (town, known) in enumerate(list(worlds.TOWNS.items())[:2])
    ),
)
LABELLED = replace(  # every town in two wordings, which are the classes
    REQUEST,
    forget=tuple(
        replace(r, id=f"{r.id}-{label}", prompt=f"{opening} {r.prompt[:1].lower()}{r.prompt[1:]}", label=label)
        for label, opening in enumerate(("In spring,", "At night,"))
        for r in worlds.RECORDS
    ),
)


@dataclass(frozen=True)
class Subject:
    """A registered method, or the method `finetune` with a registered objective."""

    entry: Entry

    @property
    def cls(self) -> Any:
        return find(self.entry.kind, self.entry.name)

    def method(self, plan: Plan, practice: Practice = BRIEF) -> Any:
        if self.entry.kind == "objective":
            return build("method", "finetune", {"objective": self.entry.name, "plan": plan})
        known = {f.name for f in fields(self.cls)}
        given = {"plan": plan, "practice": practice, "tokens": "last"}  # where an answer begins, a concept is read
        return build("method", self.entry.name, {name: value for name, value in given.items() if name in known})

    @property
    def corrects(self) -> bool:
        """Whether it corrects facts; what that does shows on models that know facts by their subjects alone."""
        return "facts" in self.entry.needs

    @property
    def erases(self) -> bool:
        """Whether it takes the concept that labels tell from hidden states."""
        return "labels" in self.entry.needs and "forget" in self.entry.needs

    @property
    def request(self) -> Request:
        """All that it may need."""
        return LABELLED if self.erases else REQUEST

    @property
    def keeps(self) -> bool:
        """Whether it makes a model keep its rows, not forget them."""
        return self.entry.kind == "objective" and self.cls.role == "retain"

    @property
    def retains(self) -> bool:
        """Whether it has a term for the retain rows."""
        return bool(self.cls.retain) if self.entry.kind == "objective" else "retain" in self.entry.needs


SUBJECTS = [Subject(e) for e in entries() if e.kind in ("method", "objective")]

_MADE: dict[tuple[str, str], Edit] = {}


def made(lm: LM, method: Any, request: Request = REQUEST) -> Edit:
    """What a method makes of the whole request; made once in a session."""
    key = lm.digest(), repr(method)
    if key not in _MADE:
        _MADE[key] = method(lm, request)
    return _MADE[key]


def standing(lm: LM) -> list[object]:
    """All that a method must leave as it is: bytes, storage, flags, modules, hooks, guards, the libraries' random state."""
    model = lm.model
    return [
        lm.digest(),
        [(n, p.data_ptr(), p.requires_grad, p.grad is None) for n, p in model.named_parameters()],
        [(n, id(m), m.training, len(m._forward_hooks), len(m._forward_pre_hooks)) for n, m in model.named_modules()],
        list(lm.guards),
        list(lm.worn),
        torch.get_rng_state().tolist(),
        sorted(vars(model)),
    ]


def said(lm: LM) -> Tensor:
    with torch.no_grad():
        return lm.logits(lm.batch(worlds.RECORDS))
