"""Training with noise from the first step: what one subject taught is bounded before anybody asks for it to go."""

import secrets
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from math import inf
from typing import ClassVar

import torch
from jaxtyping import Float
from torch import Tensor

from unteach.edit.edit import Edit
from unteach.edit.plan import draw
from unteach.methods.exact.analysis.fisher import noise
from unteach.methods.exact.analysis.subspace import Subspace, subspace, total
from unteach.methods.exact.guarantees import indistinguishable
from unteach.methods.exact.heads.asked import asked
from unteach.methods.exact.private.accountant import of_group, of_training
from unteach.methods.exact.shards.sharded import Corpus
from unteach.registry import learner
from unteach.schema import Guarantee, GuaranteeKind, InputError, Record

ASSUMPTIONS = (
    "what belongs together bears the same subject; the base model did not learn from the rows; who asks for a deletion "
    "has not seen the model; which subjects a step read, and the noise, are known to nobody, and pseudo-random numbers, "
    "rounded to floats, are as good as the real ones. The model is the same as before the deletion: nothing was "
    "taken out, and each further subject weakens the bound."
)
NOTHING_OUT = Guarantee(
    "empirical", claim="Trained with privacy; nothing was asked to go yet, so that nothing is claimed."
)


@dataclass(frozen=True, eq=False, repr=False)
class Private:
    """A private training's end: the point, its price for one subject, and whose the ids were. No row is kept."""

    corpus: Corpus  # with no records
    point: Float[Tensor, " p"]
    epsilon: float
    delta: float
    owners: Mapping[str, str]
    gone: frozenset[str] = frozenset()
    guarantee: Guarantee = field(default=NOTHING_OUT)

    def __repr__(self) -> str:
        return f"Private(n={len(self.owners) - len(self.gone)}, epsilon={self.epsilon:.3g}, delta={self.delta:.1g})"

    @property
    def units(self) -> int:
        """How many subjects the group counts that is out: one that is out in part counts twice, as out and in again."""
        left = {owner for i, owner in self.owners.items() if i not in self.gone}
        return sum(1 + (owner in left) for owner in {self.owners[i] for i in self.gone})


@learner("dpsgd", tested_by="test_without_noise_and_clipping_it_is_gradient_descent")
@dataclass(frozen=True)
class DPSGD:
    """Each step takes subjects at random, clips what each asks for, and adds noise to the sum.

        w' = w - (lr / lot) (sum over sampled subjects of g min(1, clip / |g|) + N(0, (sigma clip)^2))

    g is the gradient of the sum over a subject's rows of their mean negative log-probability (a row without a subject is
    its own). A step takes each subject with probability `share`; `lot` is a constant, as the number of subjects is
    theirs to hide. Abadi et al. 2016, arXiv:1607.00133; epsilon for `delta` by the moments of the sampled normal
    (Mironov et al. 2019, arXiv:1908.10530). What is trained is the B of an adapter of `rank` on each linear map from
    block `layer` on (a share of the depth below 1), whose A is drawn.

    A deletion changes nothing and costs nothing: k subjects are hidden within k epsilon and k e^((k - 1) epsilon)
    delta, counted over all deletions. It is refused once that delta is above `worst`: train anew without them then.
    Noise costs what few subjects could teach; what many say alike stays, as it is not theirs. With a `seed` the noise is
    as secret as the seed.

    Example: ``DPSGD(sigma=2.0).fit(Corpus(lm, records))``.
    """

    guarantee: ClassVar[GuaranteeKind] = "certified"
    steps: int = 100
    lr: float = 0.5
    share: float = 0.1
    lot: float = 16.0
    clip: float = 0.5
    sigma: float = 2.0
    delta: float = 1e-6
    worst: float = 1e-2
    layer: float = 0.5
    rank: int = 8
    seed: int | None = None

    def __post_init__(self) -> None:
        if min(self.steps, self.rank) < 1 or min(self.lr, self.lot, self.clip) <= 0 or self.sigma < 0:
            raise InputError("dpsgd wants steps and rank from 1 on, lr, lot and clip above 0, and sigma not below")
        if not (0 < self.share <= 1 and 0 < self.delta < self.worst < 1):
            raise InputError(
                "dpsgd wants 'share' above 0 and at most 1, and 'delta' below 'worst', both between 0 and 1"
            )
        if self.sigma > 0 and self.clip == inf:
            raise InputError("without clipping no noise is enough; give 'clip'")

    def fit(self, data: Corpus, /) -> Private:
        """Train, with a price that is known beforehand."""
        if not data.records:
            raise InputError("there is no record to learn from; give some")
        key = secrets.token_hex(16) if self.seed is None else self.seed
        space, subjects = self._space(data), _by_subject(data.records)
        point = torch.zeros(space.size, dtype=torch.float64)
        for step in range(self.steps):
            taken = [rows for s, rows in subjects.items() if draw(key, "taken", step, s) < self.share * 2**64]
            asks = summed(space, taken, point, self.clip)
            if self.sigma:
                asks = asks + self.sigma * self.clip * noise(asks, draw(key, "noise", step))
            point = point - self.lr / self.lot * asks
        epsilon = of_training(self.share, self.sigma, self.steps, self.delta)
        owners = {r.id: r.subject or r.id for r in data.records}
        return Private(replace(data, records=()), point, epsilon, self.delta, owners)

    def delete(self, state: Private, ids: Sequence[str], /) -> tuple[Private, Guarantee]:
        """Say what the training hid of them, together with all that is out already."""
        gone = state.gone | asked(ids, state.owners.keys() - state.gone)
        after = replace(state, gone=gone)
        epsilon, delta = of_group(state.epsilon, state.delta, after.units)
        if not (epsilon < inf and delta <= self.worst):
            raise InputError(
                f"{after.units} subjects together are no longer hidden (delta {delta:.1g}); train anew without them"
            )
        numbers = {
            "epsilon": epsilon, "delta": delta, "units": float(after.units), "epsilon_of_one": state.epsilon,
            "delta_of_one": state.delta, "sigma": self.sigma, "clip": self.clip, "share": self.share,
            "steps": float(self.steps),
        }  # fmt: skip
        promise = indistinguishable("the adapter", numbers, ASSUMPTIONS)
        return replace(after, guarantee=promise), promise

    def release(self, state: Private, /) -> Edit:
        """The adapter, on the model that the records were taught to."""
        patches = self._space(state.corpus).patches(state.point)
        return Edit(state.corpus.lm.digest(), patches, made_by="dpsgd", guarantee=state.guarantee)

    def _space(self, corpus: Corpus) -> Subspace:
        return subspace(corpus.lm, self.layer, self.rank, seed=0)


def summed(
    space: Subspace, subjects: Sequence[Sequence[Record]], point: Float[Tensor, " p"], clip: float
) -> Float[Tensor, " p"]:
    """The sum of the subjects' gradients, each made at most `clip` long."""
    found = torch.zeros_like(point)
    for rows in subjects:
        asks = total(space, rows, point)
        if not torch.isfinite(asks).all():
            raise InputError("a gradient is no finite number; lower 'lr', or check the records")
        found += asks * min(1.0, clip / max(float(asks.norm()), 1e-30))
    return found


def _by_subject(records: Sequence[Record]) -> dict[str, list[Record]]:
    found: dict[str, list[Record]] = {}
    for record in sorted(records, key=lambda r: r.id):
        found.setdefault(record.subject or record.id, []).append(record)
    return found
