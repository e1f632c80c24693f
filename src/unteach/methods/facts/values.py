"""The value that makes a model say a new answer: sought by gradient, for many facts side by side.

For each fact a change delta of one hidden state at its subject's last token is sought that makes

    mean over contexts of -log p(new answer) / its tokens  +  kl * KL(changed || before)  +  decay * |delta| / |v|^2

small: the KL is that of the next token behind the subject in "SUBJECT is a", v the state as it was. After each step of
Adam |delta| is brought back to `clamp` |v|. Meng et al. 2022, arXiv:2202.05262; Meng et al. 2023, arXiv:2210.07229;
with a second change at the output of attention Li et al. 2024, arXiv:2308.08742.
"""

from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from functools import cached_property, partial

import torch
from jaxtyping import Float, Int
from torch import Tensor

from unteach.lm.anatomy import anatomy, head
from unteach.lm.batch import Row
from unteach.lm.model import LM
from unteach.lm.suffix import Onward, Suffixes, suffixes
from unteach.lm.trace import tapped
from unteach.methods.facts.gradients import still
from unteach.methods.facts.keys import states_at
from unteach.methods.facts.spot import ESSENCE, rewriting, spot
from unteach.schema import Fact, InputError

ROWS_AT_ONCE = 1024


@dataclass(frozen=True)
class Search:
    """How a value is sought. `weaker` is PMET's rule: where the new answer is the likeliest in every context its loss
    counts a tenth, and the search ends where KL is at most `weaker`.
    """

    steps: int = 25
    rate: float = 0.5
    decay: float = 1e-3
    clamp: float = 4.0
    kl: float = 0.0625
    enough: float = 0.05
    weaker: float | None = None

    def __post_init__(self) -> None:
        if self.steps < 1 or not self.rate > 0 or not self.clamp > 0:
            raise InputError("a value is sought in at least one step, with a rate and a clamp above 0")


@dataclass(frozen=True, eq=False)
class Found:
    """The states (E, D) at each site as they were and as they should be, and how the search of each fact ended."""

    before: tuple[Float[Tensor, "E D"], ...]
    after: tuple[Float[Tensor, "E D"], ...]
    steps: tuple[int, ...]
    losses: tuple[float, ...]


@dataclass(frozen=True, eq=False)
class _Rows:
    """E facts behind C contexts each, row after row, and then one row a fact for what its subject is.

    The N answer tokens `ids` are predicted at `place` of the suffix of `row`.
    """

    lm: LM
    suffixes: Suffixes
    facts: int
    ids: Int[Tensor, " N"]
    row: Int[Tensor, " N"]
    place: Int[Tensor, " N"]

    @cached_property
    def owner(self) -> Int[Tensor, " B"]:
        """The fact of each row."""
        fact = torch.arange(self.facts, device=self.ids.device)
        return torch.cat([fact.repeat_interleave(len(self.suffixes.starts) // self.facts - 1), fact])

    @cached_property
    def essence(self) -> Int[Tensor, " E"]:
        """The row of each fact that says what its subject is."""
        return torch.arange(len(self.owner) - self.facts, len(self.owner), device=self.ids.device)

    @cached_property
    def onward(self) -> Onward:
        """The last states where an answer's token is predicted, and at each subject's end."""
        row, place = torch.cat([self.row, self.essence]), torch.cat([self.place, torch.zeros_like(self.essence)])
        return Onward(self.lm, self.suffixes, row, place)

    def only(self, alive: Sequence[int]) -> "_Rows":
        """Some of the facts."""
        rows = torch.tensor([r for r, f in enumerate(self.owner.tolist()) if f in set(alive)], device=self.ids.device)
        number = torch.full((len(self.suffixes.starts),), -1, device=self.ids.device)
        number[rows] = torch.arange(len(rows), device=self.ids.device)
        here = number[self.row] >= 0
        return _Rows(
            self.lm, self.suffixes.only(rows), len(alive), self.ids[here], number[self.row[here]], self.place[here]
        )


@dataclass(frozen=True, eq=False)
class _Said:
    """What E facts' rows say: the mean loss of the new answers, whether each token of them is the likeliest, and the
    log-probabilities (E, V) behind their subjects."""

    losses: Float[Tensor, " E"]
    likeliest: Tensor
    essence: Float[Tensor, "E V"]


def seek(
    lm: LM, facts: Sequence[Fact], contexts: Sequence[str], sites: Sequence[str], layer: int, search: Search
) -> Found:  # fmt: skip
    """The values of facts at the outputs of modules of one block; `sites` are paths from the block, "" is itself."""
    size = max(1, ROWS_AT_ONCE // (len(contexts) + 1))
    with lm.lock, still(lm):
        parts = [_sought(lm, facts[i : i + size], contexts, sites, layer, search) for i in range(0, len(facts), size)]
    before, after = (
        tuple(torch.cat([getattr(p, name)[n] for p in parts]) for n in range(len(sites)))
        for name in ("before", "after")
    )
    return Found(before, after, tuple(n for p in parts for n in p.steps), tuple(x for p in parts for x in p.losses))


def _sought(
    lm: LM, facts: Sequence[Fact], contexts: Sequence[str], sites: Sequence[str], layer: int, search: Search
) -> Found:  # fmt: skip
    paths = [f"{anatomy(lm.model).blocks}.{layer}.{site}".rstrip(".") for site in sites]
    above = paths if len(sites) > 1 or not (sites[0] == "" or anatomy(lm.model).sums) else []  # else they add up
    rows = _laid(lm, facts, contexts, layer if above else layer + 1)
    bare = [spot(lm, fact.prompt, fact.subject) for fact in facts]
    before = [states_at(lm, bare, path) for path in paths]
    changes = [torch.zeros_like(v, requires_grad=True) for v in before]
    steps, losses = _descend(lm, rows, changes, before, above, search)
    after = tuple(v + change.detach() for v, change in zip(before, changes, strict=True))
    return Found(tuple(before), after, tuple(steps), tuple(losses))


def _descend(
    lm: LM, rows: _Rows, changes: Sequence[Tensor], before: Sequence[Tensor], paths: Sequence[str], search: Search
) -> tuple[list[int], list[float]]:  # fmt: skip
    """Adam on the changes of all facts at once; one that has reached its end stays as it is."""
    every, adam = rows.facts, torch.optim.Adam(changes, lr=search.rate, fused=True)
    factor = torch.ones(every, device=rows.ids.device)
    steps, losses, alive, now, was = [0] * every, [0.0] * every, list(range(every)), rows, torch.empty(0)
    for step in range(search.steps):
        mine = [change[alive] for change in changes]
        said = _say(lm, now, mine, paths)
        was = said.essence.detach() if step == 0 else was
        drift = search.kl * (said.essence.exp() * (said.essence - was[alive])).sum(1)
        sizes = sum(c.norm(dim=1) / v[alive].norm(dim=1) ** 2 for c, v in zip(mine, before, strict=True))
        loss = factor[alive] * said.losses + drift + search.decay * sizes
        done = loss.detach() < search.enough
        if search.weaker is not None:
            factor[alive] = torch.where(said.likeliest, 0.1, 1.0)
            done |= said.likeliest & (drift.detach() <= search.weaker)
        for fact, value in zip(alive, loss.tolist(), strict=True):
            steps[fact], losses[fact] = step + 1, value
        if step + 1 == search.steps or done.all():
            break
        grads = torch.autograd.grad(loss[~done].sum(), changes)
        if done.any():
            alive = [fact for fact, end in zip(alive, done.tolist(), strict=True) if not end]
            now = rows.only(alive)
        _step(adam, changes, grads, before, alive, search.clamp)
    return steps, losses


def _step(
    adam: torch.optim.Adam, changes: Sequence[Tensor], grads: Sequence[Tensor], before: Sequence[Tensor],
    alive: Sequence[int], clamp: float,
) -> None:  # fmt: skip
    """One step of the facts that are alive, and back into the ball around each state."""
    kept = [change.detach().clone() for change in changes]
    for change, grad in zip(changes, grads, strict=True):
        change.grad = grad
    adam.step()
    with torch.no_grad():
        for change, old, v in zip(changes, kept, before, strict=True):
            moved = change[alive]
            most = clamp * v[alive].norm(dim=1, keepdim=True)
            size = moved.norm(dim=1, keepdim=True)
            old[alive] = torch.where(size > most, moved * (most / size), moved)
            change.copy_(old)


def _say(lm: LM, rows: _Rows, changes: Sequence[Tensor], paths: Sequence[str]) -> _Said:
    owner, suffixes, asked = rows.owner, rows.suffixes, len(rows.ids)
    with ExitStack() as stack:
        if paths:
            states = suffixes.states
            for path, change in zip(paths, changes, strict=True):
                stack.enter_context(tapped(lm.model, path, partial(_at_first, change=change[owner])))
        else:
            states = _at_first(suffixes.states, change=changes[0][owner])
        last = rows.onward(states)
    logps, essence = head(lm.model, last).log_softmax(-1).tensor_split([asked])
    own = logps.gather(1, rows.ids[:, None])[:, 0]
    of_row = torch.bincount(rows.row, minlength=len(owner))
    means = own.new_zeros(len(owner)).index_add(0, rows.row, -own)[: -rows.facts] / of_row[: -rows.facts]
    missed = own.new_zeros(len(owner)).index_add(0, rows.row, (own < logps.amax(1)).to(own.dtype))[: -rows.facts]
    return _Said(means.view(rows.facts, -1).mean(1), missed.view(rows.facts, -1).sum(1) == 0, essence)


def _at_first(states: Float[Tensor, "B S D"], *, change: Float[Tensor, "B D"]) -> Float[Tensor, "B S D"]:
    """The change at the first place of every suffix."""
    return torch.cat([states[:, :1] + change[:, None], states[:, 1:]], 1)


def _laid(lm: LM, facts: Sequence[Fact], contexts: Sequence[str], layer: int) -> _Rows:
    if layer >= lm.layers:
        raise InputError(f"a fact cannot be written into the last of {lm.layers} layers; choose one below it")
    asked = [s for fact in facts for s in rewriting(lm, fact, contexts)]
    spots = [*asked, *(spot(lm, ESSENCE, fact.subject) for fact in facts)]
    rows = [s.row if n >= len(asked) else Row(s.row.ids[:-1], s.row.start) for n, s in enumerate(spots)]
    answers = [(s.row.ids[t], n, t - 1 - s.at) for n, s in enumerate(asked) for t in range(s.row.start, len(s.row.ids))]
    ids, row, place = (torch.tensor(column, device=lm.device) for column in zip(*answers, strict=True))
    return _Rows(lm, suffixes(lm, rows, [s.at for s in spots], layer), len(facts), ids, row, place)
