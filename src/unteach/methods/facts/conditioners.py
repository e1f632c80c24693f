"""KnowledgeEditor's network: it reads a correction and says which parts of the gradient to take."""

from collections.abc import Mapping, Sequence

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn.utils.parametrizations import weight_norm
from torch.nn.utils.rnn import pack_padded_sequence, pad_sequence

from unteach.methods.facts.gradients import Change, Factors

MOST = 1.0  # of sigma(eta)


class Reader(nn.Module):
    """A text's embeddings to one vector: an LSTM from both ends, then a layer with tanh."""

    def __init__(self, width: int, hidden: int, condition: int) -> None:
        super().__init__()
        self.lstm = nn.LSTM(width, hidden, bidirectional=True, batch_first=True)
        self.out = nn.Linear(2 * hidden, condition)

    def forward(self, told: Sequence[Tensor]) -> Float[Tensor, "B C"]:
        lengths = torch.tensor([len(t) for t in told])
        rows = pack_padded_sequence(pad_sequence(list(told), batch_first=True), lengths, True, enforce_sorted=False)
        _, (last, _) = self.lstm(rows)
        found: Tensor = self.out(torch.cat([last[0], last[1]], 1)).tanh()
        return found


class Conditioner(nn.Module):
    """One weight's share of a correction: (gradient * A + B) * sigma(eta), with A and B of rank 1.

    The columns c and d are told in units of 2 `step` times the rows that the softmax divides by, c begins at -1 and all
    else at 0: before practice sigma is a half, A is -2 `step` everywhere, and B is 0.
    """

    def __init__(self, shape: tuple[int, int], condition: int, hidden: int, step: float) -> None:
        super().__init__()
        read, write = shape
        self.sizes, self.unit = [write, read, write, read, 1], 2 * step * write / MOST
        last = weight_norm(nn.Linear(hidden, sum(self.sizes)))
        with torch.no_grad():
            last.parametrizations.weight.original0.zero_()
            last.bias.zero_()
            last.bias[write : write + read] = -1
        self.layers = nn.Sequential(weight_norm(nn.Linear(condition, hidden)), nn.Tanh(), last)

    def forward(self, terms: Factors, condition: Float[Tensor, "B C"]) -> Factors:
        row_a, col_a, row_b, col_b, eta = self.layers(condition).split(self.sizes, 1)
        size = MOST * eta.sigmoid() * self.unit
        x = torch.cat([terms.x * col_a[terms.fact], col_b])
        delta = torch.cat([terms.delta * (row_a.softmax(1) * size)[terms.fact], row_b.softmax(1) * size])
        return Factors(x, delta, torch.cat([terms.fact, torch.arange(len(condition), device=x.device)]))


class Conditioners(nn.Module):
    """The reader, and a conditioner for each weight."""

    def __init__(self, maps: Mapping[str, tuple[int, int]], width: int, hidden: int, step: float) -> None:
        super().__init__()
        self.maps = {path: (shape[0], shape[1]) for path, shape in maps.items()}
        self.reader = Reader(width, hidden // 2, 2 * hidden)
        self.weights = nn.ModuleList(Conditioner(shape, 2 * hidden, hidden, step) for shape in self.maps.values())

    def forward(self, found: Change, told: Sequence[Tensor]) -> Change:
        condition = self.reader(told)
        return {path: net(found[path], condition) for path, net in zip(self.maps, self.weights, strict=True)}
