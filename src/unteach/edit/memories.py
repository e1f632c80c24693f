"""Changes of what a module puts out for some questions only: which, the module's own states decide.

Both decide once a question, when its prompt is read, and change nothing but prompts' tokens: what an answer's tokens
are told of it comes to them by attention. So a forced answer meets what a free one meets.
"""

from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from unteach.lm.trace import Site


@dataclass(frozen=True, eq=False)
class Codebook:
    """The state at a prompt's last token gives way to the value of the nearest key, where it lies in that key's ball.

    Key, value, radius and label stand in one row. A label is the number of an answer.
    """

    keys: Float[Tensor, "K D"]
    values: Float[Tensor, "K D"]
    radii: Float[Tensor, " K"]
    labels: Int[Tensor, " K"]

    def __call__(self, h: Float[Tensor, "B T D"], site: Site) -> Float[Tensor, "B T D"]:
        if site.phase == "decode" or not len(self.keys):
            return h
        row, at = (site.mask & (site.positions == site.prompt_end[:, None] - 1)).nonzero(as_tuple=True)
        key, near = self.nearest(h[row, at])
        if not near.any():
            return h
        return h.index_put((row[near], at[near]), self.values.to(h.device, h.dtype)[key[near]])

    def nearest(self, states: Float[Tensor, "N D"]) -> tuple[Int[Tensor, " N"], Bool[Tensor, " N"]]:
        """The number of the key that is nearest to each state, and whether the state lies in its ball."""
        keys, radii = self.keys.to(states.device).float(), self.radii.to(states.device)
        distance, key = torch.cdist(
            states.detach().float(), keys, compute_mode="donot_use_mm_for_euclid_dist"
        ).min(1)  # fmt: skip
        return key, distance <= radii[key]

    def without(self, label: int) -> "Codebook":
        """The same without the keys of one answer."""
        kept = self.labels != label
        return Codebook(self.keys[kept], self.values[kept], self.radii[kept], self.labels[kept])


@dataclass(frozen=True, eq=False)
class SideMemory:
    """Changes of a linear map's weight, of which a question meets one or none.

    A question goes to the change that moves the map's output most, the norm of a @ delta averaged over the prompt's
    tokens a, where that is more than the change's threshold.
    """

    deltas: Float[Tensor, "K I O"]
    thresholds: Float[Tensor, " K"]

    def __call__(self, h: Float[Tensor, "B T O"], site: Site) -> Float[Tensor, "B T O"]:
        if site.phase == "decode" or site.entered is None:
            return h
        asked = site.mask & (site.positions < site.prompt_end[:, None])
        moved = torch.einsum("bti,kio->kbto", site.entered, self.deltas.to(h.device, h.dtype))
        most, number = self.activation(moved, asked).max(0)
        met = most > self.thresholds.to(h.device)[number]
        if not met.any():
            return h
        chosen = moved[number, torch.arange(len(h), device=h.device)]
        return torch.where((asked & met[:, None])[..., None], h + chosen, h)

    @staticmethod
    def activation(moved: Float[Tensor, "K B T O"], asked: Bool[Tensor, "B T"]) -> Float[Tensor, "K B"]:
        """The norm of what each change moves, averaged over the tokens of a question."""
        norms: Tensor = moved.float().norm(dim=-1)
        return (norms * asked).sum(-1) / asked.sum(-1).clamp_min(1)
