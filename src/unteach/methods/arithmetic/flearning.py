"""F-learning: take off what the old answers would add, then learn the new ones."""

from dataclasses import dataclass, field, replace
from typing import ClassVar

from unteach.data.contradictions import refuse_contradictions
from unteach.data.facts import question
from unteach.edit.edit import Edit
from unteach.edit.learn import learn
from unteach.edit.plan import Plan, draw
from unteach.lm.model import LM
from unteach.methods.arithmetic.vectors import refuse, vectors, watched
from unteach.registry import method
from unteach.schema import Need, Record, Request


@method("flearning", tested_by="test_flearning_forgets_the_old_answers_and_learns_the_new")
@dataclass(frozen=True)
class FLearning:
    """Forgetting before learning: a step against the old answers, then fine-tuning on the new ones.

        W1 = W - alpha * (W_ft(old) - W),    W2 = W1 fine-tuned on new

    Ni et al. 2023, arXiv:2311.08011. The old answers are the forget rows. The new ones are those of the request's facts
    (`target_new`), and for each forget row whose question no fact asks one of `instead`, drawn by its id; with no facts
    and no `instead` only the first step is made, which is a task vector. To correct facts, give them with their old
    answers as forget rows. `old_tune` says what the first step trains where that is not what the second does: lora for
    the old answers does about as well as all weights by the paper. `alpha` has to be tuned; 0.3 is a start.

    Needs forget rows; facts are used where they are given. A step too far breaks what the second fine-tuning does not
    mend, and that looks at nothing that should stay. Two adapters one over the other are no single adapter.

    Example: ``FLearning(alpha=0.3)(lm, request)``.
    """

    needs: ClassVar[frozenset[Need]] = frozenset({"forget"})
    makes_adapter: ClassVar[bool] = False
    alpha: float = 0.3
    instead: tuple[str, ...] = ("I do not know.",)
    old_tune: str | None = None
    plan: Plan = field(default_factory=Plan)

    def __post_init__(self) -> None:
        refuse(self.alpha)
        replace(self.plan, tune=self.old_tune)  # refuses what cannot be trained

    @property
    def _first(self) -> Plan:
        return replace(self.plan, tune=self.old_tune or self.plan.tune)

    def __call__(self, lm: LM, request: Request) -> Edit:
        refuse_contradictions(request.facts)
        (tau,) = vectors(lm, request, 1, self._first)
        forgetting = replace(tau.scaled(-self.alpha), made_by=f"flearning(alpha={self.alpha:g}, {self._first})")
        new = self._new(request)
        forgetting = watched(lm, request, forgetting, request.forget, self._first)
        if not new:
            return forgetting
        with forgetting.on(lm):
            learning = watched(lm, request, learn(lm, new, self.plan), new, self.plan)
        return forgetting.then(learning)

    def _new(self, request: Request) -> list[Record]:
        facts = [Record(f"fact/{f.id}", question(f), f.target_new) for f in request.facts]
        asked = {row.prompt for row in facts}
        others = [r for r in request.forget if r.prompt not in asked] if self.instead else []
        return [*facts, *(replace(r, answer=self._instead(r), spans=()) for r in others)]

    def _instead(self, record: Record) -> str:
        return self.instead[draw(self.plan.seed, "instead", record.id) % len(self.instead)]
