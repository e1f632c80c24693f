"""What forgetting cost beside retraining."""

from dataclasses import dataclass
from typing import ClassVar

from unteach.audit.evidence import Evidence
from unteach.audit.scoring import Directions, direction, nothing
from unteach.registry import metric
from unteach.schema import Cost, Need, Score


@metric("efficiency", tested_by="test_efficiency_is_the_share_of_the_cost_of_retraining")
@dataclass(frozen=True)
class Efficiency:
    """What the forgetting took, as a share of what retraining without the rows takes.

    Operations of the forgetting's training / operations of retraining, each 6 * parameters * tokens (2 forward and
    4 backward a parameter and token; Kaplan et al. 2020, arXiv:2001.08361); 0 or more, below 1 it was cheaper. The
    note holds both numbers, whether the second was measured or estimated, the seconds, the greatest memory and
    the share of the weights that were trained. `n` is the number of rows to forget. No interval: it is one run.

    It does not show what was reached for it: doing nothing is cheapest. Nor does it count asking the models.
    """

    needs: ClassVar[frozenset[Need]] = frozenset({"cost"})
    directions: ClassVar[Directions] = {"forget": "down"}
    bounds: ClassVar[tuple[float, float]] = (0.0, float("inf"))
    companions: ClassVar[tuple[str, ...]] = ("rougel", "exactmemorization", "modelutility")

    def __call__(self, evidence: Evidence, set_name: str, /) -> Score:
        cost = evidence.cost
        if cost is None:
            return nothing(self, evidence, set_name, "what making this model took is not known")
        if not cost.retrain_flops:
            why = f"what retraining takes is not known; {_said(cost)}"
            return nothing(self, evidence, set_name, why)
        note = f"{_said(cost)}; retraining {cost.retrain_flops:.3g} operations ({cost.retrain_is})"
        way = direction(self, evidence, set_name)
        n = len(evidence.sets[set_name])
        return Score("efficiency", cost.flops / cost.retrain_flops, n=n, note=note, direction=way)


def _said(cost: Cost) -> str:
    parts = [
        f"{cost.flops:.3g} operations",
        f"{cost.seconds:.3g} seconds",
        f"at most {cost.peak_bytes / 2**20:.4g} MiB of memory",
    ]
    if cost.trainable is not None:
        parts.append(f"{100 * cost.trainable:.3g} % of the weights trained")
    return ", ".join(parts)
