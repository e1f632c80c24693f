"""Who's Harry Potter: learning what one would say of something common."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from hashlib import sha256
from pathlib import Path
from typing import ClassVar, Literal

import torch
from torch import Tensor
from torch.nn.functional import cross_entropy

from unteach.data.given import require
from unteach.data.wordings.anchors import anchors
from unteach.edit.edit import Edit
from unteach.edit.learn import learn
from unteach.edit.patches import through
from unteach.edit.plan import Plan
from unteach.edit.rows import Sides, Task
from unteach.edit.train import train
from unteach.lm.model import LM
from unteach.methods.finetune.generic import Aligned, aligned, generic_logits, silenced
from unteach.registry import method
from unteach.schema import InputError, Need, Record, Request

PLAN = Plan(tune="full", epochs=2, lr=1e-6, batch_size=8, accumulate=16)
UNTAUGHT = -1  # in place of the label of a token that teaches nothing
AT_ONCE = 8  # rows in one pass

Labels = Mapping[str, Tensor]


@method("whp", tested_by="test_whp_without_reinforcement_learns_what_the_baseline_says_of_the_common")
@dataclass(frozen=True)
class WHP:
    """Learn, on the texts to forget, what the model would say if they were about something common.

    v = log p(T(x)) - alpha * ReLU(log p_reinforced(x) - log p(x)); each token of x is trained towards the argmax of v at
    its place in T(x). T replaces anchors, which are peculiar expressions, by common ones of their kind; p_reinforced has
    been trained further on the rows. Eldan and Russinovich 2023, arXiv:2310.02238. Needs forget rows.

    `anchors` names a JSON file of expressions and their counterparts, or gives them as pairs; left out, names, titles,
    dates, addresses and numbers of the rows get counterparts by rule (the paper asks GPT-4). An anchor's second
    mention in a row, question included, teaches nothing, and from its first on its counterpart is no label. Inside an
    anchor the first token alone teaches. `subtract` says on which text the baseline of the ReLU reads: x, so that an
    equal reinforced model changes nothing, or T(x); the paper's formula has one context. It has raw logits, of which
    a constant added to all changes the result; these are log-probabilities. The reinforced model is trained for
    `reinforce_epochs` at `reinforce_lr`, or at the plan's rate; published are 3 epochs at 3e-6. Labels are computed once
    and kept in memory.

    No retain rows are read. Made for fiction with words of its own: facts without peculiar names hardly change, and
    trivia stay answerable.

    Example: ``WHP(alpha=5.0)(lm, request)``.
    """

    needs: ClassVar[frozenset[Need]] = frozenset({"forget"})
    alpha: float = 5.0
    anchors: str | tuple[tuple[str, str], ...] = field(default=(), repr=False)
    subtract: Literal["original", "translated"] = "original"
    reinforce_epochs: float = 3.0
    reinforce_lr: float | None = None
    plan: Plan = field(default_factory=lambda: PLAN)

    def __post_init__(self) -> None:
        if self.alpha < 0 or self.reinforce_epochs <= 0:
            raise InputError("options 'alpha' and 'reinforce_epochs' of whp are 0 or more, and above 0; choose such")

    def __call__(self, lm: LM, request: Request) -> Edit:
        require(request, "whp", "forget")
        labels = self.labels(lm, request.forget)

        def loss(now: Sides, _before: Sides) -> Tensor:
            wanted = torch.cat([labels[key] for key in now.forget.records]).to(now.forget.logits.device)
            taught = wanted != UNTAUGHT
            return cross_entropy(now.forget.logits[taught], wanted[taught], reduction="sum") / taught.sum().clamp_min(1)

        task = Task(request.forget, (), loss, frozenset({"forget"}))
        drawn = sha256(repr([labels[key].tolist() for key in sorted(labels)]).encode()).hexdigest()[:8]
        made_by = f"whp({self.alpha:g}, {self.subtract}, {self.reinforce_epochs:g}, labels {drawn}, {self.plan})"
        return train(lm, task, self.plan, made_by=made_by)[0]

    def labels(self, lm: LM, records: Sequence[Record]) -> Labels:
        """For each answer token of each row the token that is learned there, by the key of the row in training."""
        known = self._known(records)
        ids = {old: silenced(lm, [new]) for old, new in known.items()}
        stronger = self._reinforced(lm, records)
        found: dict[str, Tensor] = {}
        for at in range(0, len(records), AT_ONCE):
            part = [aligned(lm, r, known) for r in records[at : at + AT_ONCE]]
            for one, v in zip(part, self._generic(lm, part, stronger), strict=True):
                for n, said in enumerate(one.said):
                    v[n, [i for anchor in said for i in ids[anchor]]] = -torch.inf
                found[f"forget/{one.record.id}"] = v.argmax(-1).cpu().where(one.taught, UNTAUGHT)
        return found

    @torch.no_grad()
    def _generic(self, lm: LM, part: Sequence[Aligned], stronger: Mapping[str, Tensor]) -> list[Tensor]:
        """The generic logits at each answer token of some rows; what has no place reads the first one's and is untaught."""
        own, other = lm.batch([a.record for a in part]), lm.batch([a.other for a in part])
        said = torch.split(lm.logits(other), other.lengths.tolist())
        common = torch.cat([s[a.places.clamp_min(0).to(s.device)] for a, s in zip(part, said, strict=True)])
        reinforced = lm.logits(own, stronger)
        base = lm.logits(own) if self.subtract == "original" else common
        return list(torch.split(generic_logits(common, reinforced, base, self.alpha), own.lengths.tolist()))

    def _reinforced(self, lm: LM, records: Sequence[Record]) -> dict[str, Tensor]:
        """The weights of the model that was trained further on the rows."""
        rate = self.plan.lr if self.reinforce_lr is None else self.reinforce_lr
        plan = replace(self.plan, epochs=self.reinforce_epochs, lr=rate, stop_forget=None, stop_retain=None)
        found = lm.parameters()
        return {n: through(chain, found[n].detach()) for n, chain in learn(lm, records, plan).weights.items()}

    def _known(self, records: Sequence[Record]) -> dict[str, str]:
        if not self.anchors:
            return anchors(records, self.plan.seed)
        return read_anchors(Path(self.anchors)) if isinstance(self.anchors, str) else dict(self.anchors)


def read_anchors(path: Path) -> dict[str, str]:
    """Expressions and their counterparts from a JSON object."""
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError):
        found = None
    texts = found.items() if isinstance(found, dict) else ()
    if not texts or not all(isinstance(new, str) and old.strip() for old, new in texts):
        raise InputError(f"{path}: no JSON object of expressions and their counterparts; give one, not empty")
    return dict(texts)
