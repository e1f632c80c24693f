"""GRACE: a codebook beside one layer, which answers for the questions that lie near its keys."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import ClassVar

import torch
from jaxtyping import Float
from torch import Tensor

from unteach.data.facts import question
from unteach.edit.edit import Edit
from unteach.edit.memories import Codebook
from unteach.lm.anatomy import anatomy
from unteach.lm.batch import Row, collate
from unteach.lm.model import LM
from unteach.methods.facts.answering import ROWS_AT_ONCE, descending
from unteach.methods.facts.codebook import Key, keyed, numbered
from unteach.methods.facts.lessons import row
from unteach.methods.facts.write import facts_of
from unteach.registry import method
from unteach.schema import InputError, Need, Request


@method("grace", tested_by="test_grace_keys_and_labels_stay_aligned")
@dataclass(frozen=True)
class GRACE:
    """No weight is changed: a question whose state lies near a stored one goes on from a value that was trained for it.

    Behind block `layer` (below 1: that share of the depth) stands a codebook of keys k, values v, radii and answers.
    Of a question the state h of its prompt's last token is looked up:

        h <- v_i  where i = argmin_j |h - k_j| and |h - k_i| <= radius_i,  else h

    Facts come one after the other. A question out of reach becomes a key with a ball of `radius` times its norm; in
    reach of a key with the same answer it makes that ball grow; in reach of one with another answer both balls end
    half-way. Values begin as the states that they replace, and `steps` of Adam at `rate` (times their norm, by the root
    of their width) make the new answers likely, fewer where each answer's loss is below `enough`. Hartvigsen et al. 2023, arXiv:2211.11031, where a layer's output at the
    token is replaced; here it is the stream behind the block, and only at the prompt's last token. With `rephrased` the
    facts' other wordings come as questions too, and then no longer measure.

    Needs facts. What is not guaranteed: the weights still know the old answers, which any wording out of reach brings
    out, as does whoever takes the codebook off. How far a ball should reach depends on the model: in models that
    know a question by its wording, other wordings stay out of reach.

    Example: ``GRACE(layer=0.5, radius=0.25)(lm, Request(facts=facts))``.
    """

    needs: ClassVar[frozenset[Need]] = frozenset({"facts"})
    guarantee: ClassVar[str] = "suppression"
    layer: float = 0.5
    radius: float = 0.25
    steps: int = 50
    rate: float = 0.5
    enough: float = 0.02
    rephrased: bool = False

    def __post_init__(self) -> None:
        if not self.radius > 0 or self.steps < 1 or not self.rate > 0:
            raise InputError("grace needs a radius and a rate above 0, and at least one step")

    def __call__(self, lm: LM, request: Request) -> Edit:
        facts, path = facts_of(request, "grace"), f"{anatomy(lm.model).blocks}.{lm.layer(self.layer)}"
        asked = [(text, fact) for fact in facts for text in (question(fact), *self._others(fact.rephrasings))]
        rows = [row(lm, text, fact.target_new) for text, fact in asked]
        states = looked_up(lm, rows, path)
        keys = keyed(states, numbered([fact.target_new for _, fact in asked]), self.radius)
        if lost := next((key for key in keys if key.radius == 0), None):
            raise InputError(
                f"fact '{asked[lost.question][1].id}' is asked as one with another answer is; keep one of them"
            )
        book = self._trained(lm, rows, path, _book(states, keys))
        about = f"layer={lm.layer(self.layer)}, radius={self.radius:g}, rephrased={self.rephrased}"
        made_by = f"grace({about}, steps={self.steps}, rate={self.rate:g})"
        return Edit(base=lm.digest(), activations={path: (book,)}, made_by=made_by)

    def _others(self, wordings: Sequence[str]) -> Sequence[str]:
        return wordings if self.rephrased else ()

    def _trained(self, lm: LM, rows: Sequence[Row], path: str, book: Codebook) -> Codebook:
        """The book with values that make its questions' answers likely; those of the best step are kept."""
        values = book.values.clone().requires_grad_()
        width = float(values.detach().norm(dim=1).mean()) / values.shape[1] ** 0.5
        adam = torch.optim.Adam([values], lr=self.rate * width)
        best, least = book.values, float("inf")
        for _ in range(self.steps + 1):
            with lm.tap(path, replace(book, values=values)):
                losses, values.grad = descending(lm, rows, values)
            if losses.mean().item() < least:
                best, least = values.detach().clone(), losses.mean().item()
            if losses.max().item() < self.enough:
                break
            adam.step()
        return replace(book, values=best)


@torch.no_grad()
def looked_up(lm: LM, rows: Sequence[Row], path: str) -> Float[Tensor, "N D"]:
    """The states behind the last tokens of questions, as the maps that are worn now leave them."""
    found = []
    for first in range(0, len(rows), ROWS_AT_ONCE):
        some = rows[first : first + ROWS_AT_ONCE]
        batch = collate(some, [""] * len(some), pad=lm.pad, device=lm.device)
        last = torch.tensor([[r.start - 1] for r in some], device=lm.device)
        found.append(lm.outputs(batch, path)[batch.sources.gather(1, last)[:, 0]])
    return torch.cat(found)


def _book(states: Float[Tensor, "N D"], keys: Sequence[Key]) -> Codebook:
    """Keys, radii and labels row by row; values are the states themselves."""
    own = states[[key.question for key in keys]].float()
    radii = torch.tensor([key.radius for key in keys], device=own.device)
    return Codebook(own, own.clone(), radii, torch.tensor([key.label for key in keys], device=own.device))
