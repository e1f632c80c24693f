"""DEPN: the neurons that give a secret its probability are silenced."""

from dataclasses import dataclass
from typing import ClassVar

import torch
from jaxtyping import Float
from torch import Tensor

from unteach.data.given import require
from unteach.edit.edit import Edit
from unteach.lm.anatomy import anatomy
from unteach.lm.model import LM
from unteach.lm.stats import mlp_out
from unteach.measure.spans import marks
from unteach.methods.neurons.attribution import attributions
from unteach.methods.neurons.silence import silenced
from unteach.registry import method
from unteach.schema import InputError, Need, Record, Request


@method("depn", tested_by="test_depn_silences_the_neurons_that_most_rows_owe_their_answers_to")
@dataclass(frozen=True)
class DEPN:
    """Integrated gradients tell which MLP neurons give a secret its probability; those that do so in many rows go.

        IG_j = a_j * mean over m < steps of dP(a (m + 1/2) / steps) / da_j,  summed over the secret's tokens

    a is what enters the last linear map of one layer's MLP at the place that predicts a token, P the token's
    probability. A row holds on to the neurons of all layers with IG >= `t1` * the largest; of those that a share `t2`
    of the rows holds on to, the `erase` that most rows do are silenced: the weights out of them become 0. Wu et al.
    2023, arXiv:2310.20138, for BERT's masked tokens; here for causal models, with the midpoint rule in place of
    the left one. What a row's spans mark is its secret, else its whole answer. Needs forget rows.

    It looks at no row to keep: what else the neurons are used for goes with them, and the more so the more rows are
    to be forgotten together. Many rows also share fewer neurons; where none is shared by enough, it says so. Models
    with a norm behind each MLP (Gemma 2 and 3, OLMo 2) are refused: all that activations do there happens next to 0.

    Example: ``DEPN(t1=0.1, t2=0.5)(lm, request)``.
    """

    needs: ClassVar[frozenset[Need]] = frozenset({"forget"})
    t1: float = 0.1
    t2: float = 0.5
    erase: int = 200
    steps: int = 20

    def __post_init__(self) -> None:
        if not (0 < self.t1 <= 1 and 0 < self.t2 <= 1 and self.erase >= 1 and self.steps >= 1):
            raise InputError("depn wants 't1' and 't2' above 0 and at most 1, and 'erase' and 'steps' from 1 on")

    def __call__(self, lm: LM, request: Request) -> Edit:
        require(request, "depn", "forget")
        if not anatomy(lm.model).sums:
            raise InputError("depn cannot tell neurons apart in front of a norm, as this model has; use another method")
        rows = [record for record in request.forget if secret(lm, record)]
        if not rows:
            raise InputError("no record to forget has an answer whose tokens could be attributed; give other records")
        held, sizes, layers = torch.zeros(()), torch.zeros(()), list[Tensor]()
        for record in rows:
            layers = attributions(lm, lm.encoder.row(record), secret(lm, record), self.steps)
            relative = share_of_largest(torch.cat(layers).cpu())
            held, sizes = held + (relative >= self.t1), sizes + relative
        marked = torch.zeros(len(held), dtype=torch.bool)
        marked[self._chosen(held / len(rows), sizes)] = True
        of_layers = torch.split(marked, [len(layer) for layer in layers])
        neurons = {mlp_out(lm, n): some for n, some in enumerate(of_layers)}
        return Edit(lm.digest(), silenced(lm, neurons), made_by=f"{self}, {int(marked.sum())} neurons")

    def _chosen(self, shares: Float[Tensor, " F"], sizes: Float[Tensor, " F"]) -> list[int]:
        """The neurons of all layers that most rows hold on to; among equals those that give more."""
        found: list[int] = (shares >= self.t2).nonzero()[:, 0].tolist()
        if not found:
            raise InputError(
                f"no neuron matters to a share {self.t2:g} of the records to forget; lower 't2', or forget fewer at once"
            )
        return sorted(found, key=lambda j: (-float(shares[j]), -float(sizes[j]), j))[: self.erase]


def share_of_largest(given: Float[Tensor, " F"]) -> Float[Tensor, " F"]:
    """What each neuron gives, in units of what the one gives that gives most; 0 for those that take away."""
    return (given / given.max().clamp_min(torch.finfo(given.dtype).tiny)).clamp_min(0)


def secret(lm: LM, record: Record) -> list[int]:
    """The places in a row of the tokens that its spans mark; without spans of all answer tokens but the end of text."""
    row, closing = lm.encoder.row(record), lm.encoder.closing
    first = max(row.start, 1)  # what is predicted from nothing has no neurons
    if record.spans:
        flags = marks(lm.encoder, record)
        if flags is None:
            raise InputError("the model's tokenizer does not tell which tokens spans mark; give records without them")
        return [first + int(n) for n in flags.nonzero()[0]]
    end = len(row.ids) - (row.ids[-len(closing) :] == closing if closing else 0)
    return list(range(first, end))
