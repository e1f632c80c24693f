"""Selective pruning: the neurons that forget rows use and retain rows do not."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import torch
from jaxtyping import Bool, Float
from torch import Tensor

from unteach.data.given import require
from unteach.edit.edit import Edit
from unteach.lm.anatomy import anatomy
from unteach.lm.model import LM
from unteach.measure.answers import ask, exact_match
from unteach.methods.neurons.activity import IMPORTANCES, Importance, activities
from unteach.methods.neurons.silence import silenced
from unteach.registry import method
from unteach.schema import InputError, Need, Record, Request

Marks = Mapping[str, Bool[Tensor, " I"]]  # by the path of the map that the neurons enter


@method("selectivepruning", tested_by="test_selectivepruning_silences_what_forget_rows_use_more_than_retain_rows")
@dataclass(frozen=True)
class SelectivePruning:
    """Round after round, the neurons that are more active on forget rows than on retain rows are silenced.

        score = I(forget) / (I(retain) + eps),   I = mean |a| (abs), share of a > 0 (freq), rms or std of a, over tokens

    a is what enters the last linear map of an MLP or, dimension of a head by dimension, of an attention. Each round
    silences the shares `mlp` and `attention` of all neurons of their kind, those with the highest scores: the weights out
    of them become 0. The next round looks at the model that is left, until `rounds` are done or one more would take the
    greedy accuracy on the retain rows below `stop_retain` of what it was. About `sample` tokens of each set are looked at.
    Pochinkov & Schoots 2024, arXiv:2403.01267; to stop by the retain rows was chosen here. Needs forget and retain rows.

    A neuron that both sets use is left, and what it holds of the forget rows with it. It works best where the sets
    differ in kind (code and prose), and worse, as they report, on models trained without dropout.

    Example: ``SelectivePruning(importance="abs")(lm, request)``.
    """

    needs: ClassVar[frozenset[Need]] = frozenset({"forget", "retain"})
    importance: Importance = "abs"
    mlp: float = 0.02
    attention: float = 0.0
    eps: float = 1e-3
    rounds: int = 50
    stop_retain: float = 0.95
    sample: int = 100_000

    def __post_init__(self) -> None:
        if not (0 <= self.mlp <= 1 and 0 <= self.attention <= 1 and 0 <= self.stop_retain <= 1):
            raise InputError("selectivepruning wants 'mlp', 'attention' and 'stop_retain' from 0 to 1")
        if not (self.eps >= 0 and self.rounds >= 1 and self.sample >= 1):
            raise InputError("selectivepruning wants 'eps' from 0 on, 'rounds' and 'sample' from 1 on")

    def __call__(self, lm: LM, request: Request) -> Edit:
        require(request, "selectivepruning", "forget", "retain")
        shares = {out: share for out, share in self._shares(lm).items() if share}
        edit = Edit(lm.digest(), made_by=f"{self}, 0 rounds")
        marks: Marks = {}
        least = self.stop_retain * _accuracy(lm, request.retain)
        for n in range(self.rounds if shares else 0):
            with edit.on(lm):
                marks = self._further(lm, request, shares, marks)
            further = Edit(edit.base, silenced(lm, marks), made_by=f"{self}, {n + 1} rounds")
            with further.on(lm):
                enough = _accuracy(lm, request.retain) < least
            if enough and not n:
                raise InputError("one round of pruning takes too much from the records to keep; choose smaller shares")
            if enough:
                break
            edit = further
        return edit

    def _shares(self, lm: LM) -> dict[str, float]:
        """By the path, from a block, of the map that neurons of a kind enter, in the order in which they run."""
        where = anatomy(lm.model)
        return {where.attn_out: self.attention, where.mlp_out: self.mlp}

    def _further(self, lm: LM, request: Request, shares: Mapping[str, float], marks: Marks) -> Marks:
        """The marks with those that the neurons with the highest scores get in this round."""
        blocks = anatomy(lm.model).blocks
        paths = [f"{blocks}.{n}.{out}" for n in range(lm.layers) for out in shares]
        gone, kept = (activities(lm, rows, paths, self.sample) for rows in (request.forget, request.retain))
        of = IMPORTANCES[self.importance]
        found: dict[str, Bool[Tensor, " I"]] = {}
        for out, share in shares.items():
            some = [p for p in paths if p.endswith(f".{out}")]
            scores = torch.cat([ratio(of(gone[p]), of(kept[p]), self.eps) for p in some])
            before = torch.cat([marks[p] for p in some]) if marks else torch.zeros_like(scores, dtype=torch.bool)
            after = before | highest(scores.masked_fill(before, -torch.inf), share)
            found |= zip(some, torch.split(after, [len(of(kept[p])) for p in some]), strict=True)
        return found


def ratio(forget: Float[Tensor, " I"], retain: Float[Tensor, " I"], eps: float) -> Float[Tensor, " I"]:
    """How much more important neurons are to the forget rows; 0 for those that are important to none."""
    return (forget / (retain + eps)).nan_to_num(0.0, posinf=torch.inf)


def highest(scores: Float[Tensor, " I"], share: float) -> Bool[Tensor, " I"]:
    """The given share of all scores, one at least, the first among equals."""
    order = scores.argsort(descending=True, stable=True)
    chosen = torch.zeros_like(scores, dtype=torch.bool)
    chosen[order[: max(1, int(share * len(scores)))]] = True
    return chosen


def _accuracy(lm: LM, records: Sequence[Record]) -> float:
    return float(np.mean([hit for a in ask(lm, records) if (hit := exact_match(a)) is not None]))
