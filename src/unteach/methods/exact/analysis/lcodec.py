"""A Newton step in the few maps whose output decides the loss."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from unteach.edit.edit import Edit
from unteach.edit.patches import Put
from unteach.edit.plan import draw
from unteach.lm.anatomy import anatomy
from unteach.lm.batch import Row, collate
from unteach.lm.model import LM
from unteach.lm.view import View
from unteach.measure.fisher import Moments, moments
from unteach.methods.exact.analysis.codec import foci
from unteach.methods.exact.analysis.fisher import noise
from unteach.methods.exact.analysis.subspace import AT_ONCE, both, reach
from unteach.registry import method
from unteach.schema import EMPIRICAL, InputError, Need, Record, Request


@method("lcodec", tested_by="test_the_dependence_is_near_0_where_nothing_is_said_and_near_1_where_all_is")
@dataclass(frozen=True)
class LCODEC:
    """Choose the maps whose output decides the forget rows' loss, then take those rows out there by one Newton step.

        w' = w + share (m / (n - m)) H^-1 g + noise

    The maps are the last of each half of each block. Tokens of the questions are replaced at random (`flipped` of them,
    `samples` times in all), and what a map puts out, at the answers and along its first principal direction, is set
    against the losses: maps are picked one by one by a nearest-neighbour statistic of conditional dependence, at most
    `maps` of them. g is the mean gradient of the m forget rows, H the diagonal of the retain rows' Fisher matrix plus
    `damping` times its mean; the noise has `noise` times the step's root mean square. The step goes as far as the
    retain rows bear: their mean loss rises by `slack` at most. Mehta et al. 2022, arXiv:2204.07655, with the step of
    Sekhari et al. 2021, arXiv:2103.03279, whose theorem wants a convex loss and is not claimed. Needs forget and retain
    rows.

    Example: ``LCODEC(maps=2)(lm, request)``.
    """

    needs: ClassVar[frozenset[Need]] = frozenset({"forget", "retain"})
    maps: int = 3
    samples: int = 96
    flipped: float = 0.3
    damping: float = 0.1
    noise: float = 0.1
    slack: float = 0.25
    seed: int = 0

    def __post_init__(self) -> None:
        if not (self.maps > 0 and self.samples > 2 and 0 < self.flipped <= 1):
            raise InputError("lcodec wants 'maps' above 0, 'samples' above 2, and 'flipped' above 0 and at most 1")
        if not (self.damping > 0 and self.noise >= 0 and self.slack > 0):
            raise InputError("lcodec wants 'damping' and 'slack' above 0, and 'noise' not below")

    def __call__(self, lm: LM, request: Request) -> Edit:
        both(request, "lcodec")
        paths = self._chosen(lm, request.forget)
        names = [f"{p}.weight" for p in paths]
        gone, kept = (moments(lm, rows, names) for rows in (request.forget, request.retain))
        steps = newton(gone, kept, len(request.forget) / len(request.retain), self.damping)
        for name, step in steps.items():
            drawn = noise(step, draw(self.seed, "lcodec", name))
            steps[name] = step + self.noise * step.square().mean().sqrt() * drawn
        found = lm.parameters()

        def moved(share: float) -> dict[str, Tensor]:
            return {n: (found[n].detach() + share * s).to(found[n].dtype) for n, s in steps.items()}

        share = reach(lm, request.retain, moved, self.slack)
        put = {n: (Put(w),) for n, w in moved(share).items()}
        made_by = f"{self}, {share:.3g} of the step in {', '.join(paths)}"
        return Edit(lm.digest(), put, made_by=made_by, guarantee=EMPIRICAL)

    def _chosen(self, lm: LM, records: Sequence[Record]) -> tuple[str, ...]:
        place = anatomy(lm.model)
        paths = [f"{place.blocks}.{n}.{half}" for n in range(lm.layers) for half in (place.attn_out, place.mlp_out)]
        rows = [self._flipped(lm, records[k % len(records)], k) for k in range(self.samples)]
        losses, states = watched(lm, rows, paths)
        return tuple(paths[k] for k in foci(losses, states, self.maps))

    def _flipped(self, lm: LM, record: Record, number: int) -> Row:
        """The row with some tokens of its question replaced; the first, which may open the text, stays."""
        row = lm.encoder.row(record)
        ids, size = list(row.ids), len(lm.tokenizer)
        for at in range(1, row.start):
            drawn = draw(self.seed, "flipped", record.id, number, at)
            if drawn % 1000 < 1000 * self.flipped:
                ids[at] = drawn // 1000 % size
        return Row(tuple(ids), row.start)


@torch.no_grad()
def watched(lm: LM, rows: Sequence[Row], paths: Sequence[str]) -> tuple[np.ndarray, np.ndarray]:
    """Of each row its loss (n,), and what each module puts out at its answer, as one number (n, k)."""
    losses, states = [], []
    for at in range(0, len(rows), AT_ONCE):
        part = rows[at : at + AT_ONCE]
        batch = collate(part, [str(k) for k in range(len(part))], pad=lm.pad, device=lm.device)
        losses.append(-View(lm.run(batch), slice(0, len(part))).means)
        found = [lm.outputs(batch, path).index_select(0, batch.predicting).float() for path in paths]
        sums = [f.new_zeros(len(part), f.shape[1]).index_add(0, batch.rows, f) for f in found]
        states.append([s / batch.lengths[:, None] for s in sums])
    columns = [_principal(torch.cat(parts).double().cpu()) for parts in zip(*states, strict=True)]
    return torch.cat(losses).double().cpu().numpy(), torch.stack(columns, 1).numpy()


def _principal(states: Float[Tensor, "n d"]) -> Float[Tensor, " n"]:
    """Along the direction in which they differ most."""
    centred = states - states.mean(0)
    left, sizes, _ = torch.linalg.svd(centred, full_matrices=False)
    found: Tensor = left[:, 0] * sizes[0]
    return found


def newton(gone: Moments, kept: Moments, share: float, damping: float) -> dict[str, Tensor]:
    """(m / (n - m)) g / (F + damping mean F), weight by weight."""
    floor = damping * torch.cat([f.flatten().cpu() for f in kept.square.values()]).mean()
    return {n: share * g / (kept.square[n] + floor.to(g.device)) for n, g in gone.mean.items()}
