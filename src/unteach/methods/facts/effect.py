"""Causal tracing: which states of a model carry a fact from its subject to its answer.

The embeddings of the subject's tokens are disturbed by noise, so that the model loses its answer. Then one output of
the undisturbed run is put back, and

    indirect effect = p(answer | disturbed, one output restored) - p(answer | disturbed)
    total effect    = p(answer) - p(answer | disturbed)

are taken in the mean over samples of the noise. p is the geometric mean of the probabilities of the answer's tokens.
What is restored is the state behind a block, or the outputs of the MLPs or attentions of a window of blocks, at one
token. Meng et al. 2022, arXiv:2202.05262. A great effect says that what is restored suffices, not that nothing else
would, and not that an edit works best there (Hase et al. 2023, arXiv:2301.04213).
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from functools import partial
from typing import Literal, get_args

import torch
from jaxtyping import Float, Int
from torch import Tensor

from unteach.data.facts import question
from unteach.edit.plan import draw
from unteach.lm.anatomy import anatomy
from unteach.lm.batch import Row, collate
from unteach.lm.model import LM
from unteach.lm.trace import tapped
from unteach.measure.answers import ELSEWHERE, ON_CPU, ask, loss, portions
from unteach.methods.facts.spot import Spot, spot
from unteach.schema import Fact, InputError, Record

Kind = Literal["state", "mlp", "attention"]
KINDS: tuple[Kind, ...] = get_args(Kind)
WIDEST = 10  # blocks in a window


@dataclass(frozen=True)
class Tracing:
    """How facts are traced: `samples` of noise of `noise` standard deviations of the subjects' embeddings, and `window`
    blocks whose outputs are restored together: ten as published, or in a model of fewer than 30 layers an odd number of
    at most a third of them.
    """

    samples: int = 10
    noise: float = 3.0
    window: int | None = None
    seed: int = 0

    def __post_init__(self) -> None:
        if self.samples < 1 or not self.noise > 0 or (self.window is not None and self.window < 1):
            raise InputError("a fact is traced with at least one sample, a noise above 0 and a window of at least 1")

    def wide(self, layers: int) -> int:
        """The window in a model of so many layers."""
        narrow = max(layers // 3 - 1, 0) | 1  # odd, so that a window has a middle
        return self.window or (WIDEST if layers // 3 >= WIDEST else narrow)


@dataclass(frozen=True, eq=False)
class Traced:
    """One fact: p(answer) as it is and `disturbed`, and the indirect effect of each kind, token and layer.

    The T `tokens` are those from the subject's first one to the last before the answer; the first `subject` of them
    are the subject's.
    """

    fact: str
    before: float
    disturbed: float
    tokens: tuple[int, ...]
    subject: int
    effects: Float[Tensor, "K T L"]


def known(lm: LM, facts: Sequence[Fact]) -> list[Fact]:
    """The facts whose right answer the model finds likelier, a token, than the new one."""
    told = [f for f in facts if f.ground_truth]
    rows = [Record(f.id, question(f), answer) for f in told for answer in (f.ground_truth, f.target_new)]
    losses = [loss(answer.words) for answer in ask(lm, rows)]
    pairs = zip(told, losses[::2], losses[1::2], strict=True)
    return [f for f, right, new in pairs if right is not None and new is not None and right < new]


def traced(
    lm: LM, facts: Sequence[Fact], how: Tracing, kinds: Sequence[Kind] = KINDS, *, alone: bool = False
) -> Iterator[Traced]:  # fmt: skip
    """The effects of facts that the model knows, one by one; with `alone`, at the subject's last token only."""
    spots = [spot(lm, f.prompt, f.subject, f.ground_truth) for f in facts]
    seen = [_subject(lm, s) for s in spots]
    size = how.noise * float(torch.cat([x.flatten() for x in seen]).float().std())
    for fact, where, states in zip(facts, spots, seen, strict=True):
        dice = torch.Generator().manual_seed(draw("disturbance", fact.id, how.seed) % 2**63)
        noise = size * torch.randn(how.samples, *states.shape, generator=dice)
        tokens = range(where.at, where.at + 1) if alone else range(where.subject.start, where.row.start)
        yield _traced(lm, fact.id, where, noise.to(states), tokens, kinds, how.wide(lm.layers))


@torch.no_grad()
def _subject(lm: LM, where: Spot) -> Float[Tensor, "N D"]:
    """The embeddings of the subject's tokens."""
    found: Tensor = lm.model.get_input_embeddings()(torch.tensor(where.row.ids, device=lm.device))
    return found[where.subject.start : where.subject.stop]


@torch.no_grad()
def _traced(
    lm: LM, fact: str, where: Spot, noise: Float[Tensor, "S N D"], tokens: range, kinds: Sequence[Kind], window: int
) -> Traced:  # fmt: skip
    row, count = where.row, len(noise)
    disturb = partial(_disturbed, noise=noise, first=where.subject.start)
    sites = [(t, _paths(lm, kind, n, window)) for kind in kinds for t in tokens for n in range(lm.layers)]
    clean: dict[str, Tensor] = {}
    taps = {path: partial(_kept, kept=clean, path=path) for _, paths in sites for path in paths}
    before = float(_said(lm, row, 1, taps)[0])
    disturbed = _said(lm, row, count, {_embeddings(lm): disturb})
    most = (ON_CPU if lm.device.type == "cpu" else ELSEWHERE) // (len(row.ids) * count)
    restored = []
    for at in range(0, len(sites), max(1, most)):
        some = sites[at : at + max(1, most)]
        said = _said(lm, row, len(some) * count, {_embeddings(lm): disturb, **_restoring(clean, some, count)})
        restored.append((said.view(len(some), count) - disturbed).mean(1).cpu())
    effects = torch.cat(restored).view(len(kinds), len(tokens), lm.layers)
    inside = len(set(tokens) & set(where.subject))
    return Traced(fact, before, float(disturbed.mean()), tuple(row.ids[t] for t in tokens), inside, effects)


def _paths(lm: LM, kind: Kind, layer: int, window: int) -> tuple[str, ...]:
    """The modules whose outputs are restored together, around a layer."""
    where = anatomy(lm.model)
    if kind == "state":
        return (f"{where.blocks}.{layer}",)
    part = where.mlp_out if kind == "mlp" else where.attn_out
    first = layer - window // 2
    return tuple(f"{where.blocks}.{n}.{part}" for n in range(max(first, 0), min(first + window, lm.layers)))


def _embeddings(lm: LM) -> str:
    embed = lm.model.get_input_embeddings()
    return next(str(name) for name, module in lm.model.named_modules() if module is embed)


def _said(lm: LM, row: Row, count: int, taps: Mapping[str, Callable[[Tensor], Tensor | None]]) -> Float[Tensor, " B"]:
    """p(answer) in each of so many copies of a row; each tap is given the copies side by side, (B, T, D)."""
    batch = collate([row] * count, [""] * count, pad=lm.pad, device=lm.device)
    with ExitStack() as stack:
        for path, tap in taps.items():
            stack.enter_context(tapped(lm.model, path, partial(_by_row, tap=tap, shape=batch.ids.shape)))
        logits = lm.logits(batch)
    parts = zip(logits.chunk(portions(logits)), batch.targets.chunk(portions(logits)), strict=True)
    own = torch.cat([some.float().log_softmax(-1).gather(1, ids[:, None])[:, 0] for some, ids in parts])
    return own.view(count, -1).mean(1).exp()


def _by_row(states: Tensor, *, tap: Callable[[Tensor], Tensor | None], shape: torch.Size) -> Tensor | None:
    """Rows that lie end to end, (1, B * T, D), as a tap wants them, and back."""
    changed = tap(states.view(*shape, -1))
    return None if changed is None else changed.view_as(states)


def _kept(states: Float[Tensor, "1 T D"], *, kept: dict[str, Tensor], path: str) -> None:
    kept[path] = states[0].clone()


def _disturbed(states: Float[Tensor, "B T D"], *, noise: Float[Tensor, "S N D"], first: int) -> Float[Tensor, "B T D"]:
    """Each sample of noise on the embeddings of the subject's tokens, for as many rounds of samples as there are rows."""
    changed = states.clone()
    changed[:, first : first + noise.shape[1]] += noise.repeat(len(states) // len(noise), 1, 1)
    return changed


def _restoring(
    clean: Mapping[str, Tensor], sites: Sequence[tuple[int, Sequence[str]]], count: int
) -> dict[str, Callable[[Tensor], Tensor]]:  # fmt: skip
    """Taps that put the outputs of the undisturbed run back; each site has so many rows."""
    taps: dict[str, Callable[[Tensor], Tensor]] = {}
    for path in dict.fromkeys(p for _, paths in sites for p in paths):
        mine = [(n * count + k, t) for n, (t, paths) in enumerate(sites) if path in paths for k in range(count)]
        rows, tokens = torch.tensor(mine, device=clean[path].device).T
        taps[path] = partial(_restored, clean=clean[path], rows=rows, tokens=tokens)
    return taps


def _restored(
    states: Float[Tensor, "B T D"], *, clean: Float[Tensor, "T D"], rows: Int[Tensor, " n"], tokens: Int[Tensor, " n"]
) -> Float[Tensor, "B T D"]:
    changed = states.clone()
    changed[rows, tokens] = clean[tokens]
    return changed
