"""LEACE: what linear probes know of a concept, taken out of the states between a model's layers."""

from dataclasses import dataclass
from typing import ClassVar, Literal

import torch
from torch.nn.functional import one_hot

from unteach.edit.edit import Edit
from unteach.edit.maps import Erase
from unteach.lm.model import LM
from unteach.methods.concepts.covariance import Covariances, eraser
from unteach.methods.concepts.fold import foldable, folded
from unteach.methods.concepts.scrub import Portions, Tokens, blocks, labelled, norms, scrub
from unteach.registry import method
from unteach.schema import Guarantee, InputError, Need, Request

CLAIM = (
    "On the states it was fitted to, no linear probe of them tells the classes better than a constant, but for "
    "correlations below the tolerance. The concept is hidden from linear maps, not removed from the weights; probes "
    "that are not linear, and states of other rows, may show it."
)


@method("leace", tested_by="test_leace_leaves_no_linear_trace_and_moves_states_least")
@dataclass(frozen=True)
class LEACE:
    """Erase a concept from hidden states by the projection that moves them least of all those that suffice.

        r(x) = x - W^+ U U' W (x - mean x),   W = cov(x, x)^(-1/2),   U = left singular vectors of W cov(x, z)

    z marks the class of a row, its `label`; x is a state at each of its tokens, or with `tokens` last at the one behind
    which its answer begins. After it cov(r(x), z) = 0, so that no linear probe beats a constant. Belrose et al. 2023,
    arXiv:2306.03819, and concept scrubbing as there: block after block, behind the norms in front of a block's halves
    (`site` norms) or behind the blocks (`site` blocks), each eraser fitted to what comes out of a model that wears
    those before it. `variant` orth is the orthogonal projection, W = I. `shrinkage` draws the covariance towards a
    multiple of I, as few states ask for; `constrain_trace` keeps it from adding variance. Singular values up to
    `tolerance` are let be, and with them a class of which few rows are. With `affine` false the mean is not kept.

    With `fold` the erasers become part of the weights that read what the norms put out; these need a bias where
    `affine` is true. The states themselves then hold the concept as before; what reads them is blind to it.

    Needs labels of at least two classes on the rows to forget. It does not change what the model holds in its weights,
    hides nothing from probes that are not linear, and taken off leaves nothing behind.

    Example: ``LEACE(site="norms")(lm, request)``.
    """

    needs: ClassVar[frozenset[Need]] = frozenset({"forget", "labels"})
    guarantee: ClassVar[str] = "suppression"
    site: Literal["norms", "blocks"] = "norms"
    tokens: Tokens = "all"
    variant: Literal["leace", "orth"] = "leace"
    affine: bool = True
    shrinkage: bool = True
    constrain_trace: bool = True
    tolerance: float = 0.01
    fold: bool = False

    def __post_init__(self) -> None:
        if not 0 < self.tolerance < 1:
            raise InputError("option 'tolerance' of leace must lie between 0 and 1")
        if self.fold and self.site != "norms":
            raise InputError("leace folds erasers into the maps behind a norm; choose site=norms with fold")

    def __call__(self, lm: LM, request: Request) -> Edit:
        told = labelled(request.forget, "leace")
        sites = norms(lm) if self.site == "norms" else blocks(lm)
        if self.fold:
            foldable(lm, affine=self.affine)
        found = scrub(lm, told, sites, self.tokens, lambda portions: self._fitted(portions, told.count))
        if not found:
            raise InputError("no state tells the classes apart, so there is nothing to erase; give more rows")
        made_by, base = f"leace({self})", lm.digest()
        if self.fold:
            return Edit(base, folded(lm, found), made_by=made_by, guarantee=Guarantee("suppression", "", CLAIM))
        worn = {path: (change,) for path, change in found.items()}
        hidden = Guarantee("suppression", "removable", CLAIM)
        return Edit(base, activations=worn, made_by=made_by, guarantee=hidden)

    def _fitted(self, portions: Portions, classes: int) -> Erase:
        seen: Covariances | None = None
        like = torch.float32
        for states, labels in portions:
            like = torch.promote_types(states.dtype, torch.float32)
            seen = seen or Covariances(states.shape[1], classes, states.device)
            seen.add(states, one_hot(labels, classes).double())
        assert seen is not None, "there is at least one row"
        made = eraser(
            seen, orthogonal=self.variant == "orth", affine=self.affine, shrinkage=self.shrinkage,
            constrain_trace=self.constrain_trace, tolerance=self.tolerance,
        )  # fmt: skip
        return Erase(made.left.to(like), made.right.to(like), made.center.to(like))
