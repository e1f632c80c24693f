"""What an edit only lays over a model, taken off."""

from dataclasses import dataclass
from typing import ClassVar

from unteach.audit.target import Attempt, Holds, Target, best
from unteach.edit.worn import adapters, bare
from unteach.registry import attack
from unteach.schema import Need


@attack("adapterremoval", tested_by="test_adapterremoval_brings_back_all_that_an_edit_only_wears")
@dataclass(frozen=True)
class AdapterRemoval:
    """Is the forgetting a part that can be taken off?

    The attacker holds the model in its parts. Guards, activation maps and low-rank terms that lie over the weights are
    taken off, and of LoRA adapters each by itself and all together, for one of them may hold what was learned. Of each
    row the best try counts.

    Of a model over which nothing lies, taking off nothing brings nothing back; the answers stand as they were.

    What lies over a model and is taken off leaves the model as it was: the answers come back in full by construction,
    and the figure tells no more than that the parts can be had. Ship the edit baked into the weights, and there is
    nothing to take off; that is no proof that nothing is left in them.
    """

    holds: ClassVar[Holds] = "weights"
    needs: ClassVar[frozenset[Need]] = frozenset({"forget", "generation", "weights"})
    measure: ClassVar[str] = "told"
    axis: ClassVar[str] = ""

    def __call__(self, target: Target, /) -> Attempt:
        worn = adapters(target.lm.model)
        choices = [{name} for name in worn] + ([set(worn)] if len(worn) != 1 else [])
        tries: list[list[float | None]] = []
        for off in choices:
            with bare(target.lm, off) as taken:
                if not taken:
                    return Attempt(target.told(), note="nothing to take off: whatever was changed is in the weights")
                tries.append(target.told())
        return Attempt(best(tries), note=f"taken off: {', '.join(taken)}")
