"""Facts corrected as they usually are: one after another, the whole model run at every step, every logit computed.

Fine-tuning of one layer, ROME, MEMIT, PMET and AlphaEdit, with dense solutions in float64, and second moments in a pass a
layer. Each gives the changes of weights by name; the model is as it was afterwards.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from math import sqrt
from typing import Any

import torch
from torch import Tensor, nn

from benchmarks.straightforward.batches import in_order, padded
from unteach.data.facts import question
from unteach.lm.batch import Row
from unteach.lm.model import LM
from unteach.methods.facts.spot import ESSENCE, Spot, asking, rewriting, spot
from unteach.methods.facts.values import Search
from unteach.schema import Fact

Changes = dict[str, Tensor]
Change = Callable[[Tensor], Tensor]
TEXTS = 50  # in a batch


def fine_tuned(
    lm: LM, facts: Sequence[Fact], path: str, *, rate: float, steps: int = 25, enough: float = 1e-2, bound: float = 0.0,
    last: bool = True, special: bool = False,
) -> Changes:  # fmt: skip
    """Adam on the weight and the bias of one linear map; with `last` every token is wanted at the prompt's last one.

    With `special` also those that the tokenizer puts before the answer.
    """
    with _restored(lm.model, path) as (chosen, before):
        adam = torch.optim.Adam(chosen.values(), lr=rate)
        for _ in range(steps):
            adam.zero_grad()
            loss = torch.stack([_lost(lm, fact, last, special) for fact in facts]).mean()
            if loss.item() >= enough:
                loss.backward()
                adam.step()
            with torch.no_grad():
                for name, p in chosen.items() if bound else ():
                    p.copy_(torch.minimum(torch.maximum(p, before[name] - bound), before[name] + bound))
            if loss.item() < enough:
                break
        return {name: p.detach() - before[name] for name, p in chosen.items()}


def _lost(lm: LM, fact: Fact, last: bool, special: bool) -> Tensor:
    asked, answer = question(fact), f" {fact.target_new}"
    prompt = lm.tokenizer(asked, return_tensors="pt").to(lm.device)
    if last:
        wanted = lm.tokenizer(answer, add_special_tokens=special)["input_ids"]
        return -lm.model(**prompt).logits[0, -1].log_softmax(-1)[wanted].mean()
    whole = lm.tokenizer(asked + answer, return_tensors="pt").to(lm.device)
    start = prompt["input_ids"].shape[1]
    found: Tensor = nn.functional.cross_entropy(
        lm.model(**whole).logits[0, start - 1 : -1], whole["input_ids"][0, start:]
    )
    return found


def rome(lm: LM, fact: Fact, forms: Sequence[str], path: str, mlp: str, moment: Tensor, search: Search) -> Changes:
    """One change of rank one: W + (v* - W k) u' / (k' u), u the inverse second moment times the mean key."""
    (goal,) = sought(lm, fact, forms, [mlp], search)
    mean = _read(lm, asking(lm, fact, forms), path)[0].mean(0).double()
    key, value = (x[0].double() for x in _read(lm, [spot(lm, fact.prompt, fact.subject)], path))
    u = torch.inverse(moment.double()) @ mean
    with _restored(lm.model, path) as (chosen, before):
        _add(chosen[f"{path}.weight"], torch.outer((goal.double() - value) / (key @ u), u))
        return {name: p.detach() - before[name] for name, p in chosen.items() if name.endswith("weight")}


def spread(
    lm: LM, facts: Sequence[Fact], forms: Sequence[str], sites: Sequence[str], paths: Sequence[str], search: Search,
    solve: Callable[[str, Tensor], Tensor], *, root: bool = False,
) -> Changes:  # fmt: skip
    """MEMIT and its kin: values sought fact by fact at `sites`, then written into one map after another.

    `solve` gives (I, E) from a map and its (I, E) keys; the change is what is missing (O, E) times its transpose.
    """
    values = torch.stack([sought(lm, fact, forms, sites, search)[0] for fact in facts], 1)
    weights = torch.tensor([0.5, *[0.5 / (len(forms) - 1)] * (len(forms) - 1)])
    found: Changes = {}
    with _restored(lm.model, *paths) as (chosen, before):
        for n, path in enumerate(paths):
            keys = torch.stack([weights @ _read(lm, asking(lm, f, forms), path)[0] for f in facts], 1).double()
            now = torch.cat([_read(lm, [spot(lm, f.prompt, f.subject)], sites[0])[1] for f in facts]).T
            left = (values - now).double() / (sqrt(len(paths) - n) if root else len(paths) - n)
            _add(chosen[f"{path}.weight"], left @ solve(path, keys).T)
            found[f"{path}.weight"] = chosen[f"{path}.weight"].detach() - before[f"{path}.weight"]
    return found


def dense(moments: Mapping[str, Tensor], weight: float) -> Callable[[str, Tensor], Tensor]:
    """(weight C + K K')^-1 K, a system of the map's whole width."""
    return lambda path, keys: torch.linalg.solve(weight * moments[path].double() + keys @ keys.T, keys)


def beside(moments: Mapping[str, Tensor], threshold: float, ridge: float) -> Callable[[str, Tensor], Tensor]:
    """(P K K' + ridge)^-1 P K with P the projector on what text hardly uses."""

    def solve(path: str, keys: Tensor) -> Tensor:
        p = null_space(moments[path].double(), threshold)
        return torch.linalg.solve(p @ keys @ keys.T + ridge * torch.eye(len(p)).to(p), p @ keys)

    return solve


def null_space(moment: Tensor, threshold: float) -> Tensor:
    """The projector from a general singular value decomposition."""
    u, sizes, _ = torch.linalg.svd(moment, full_matrices=False)
    kept = u[:, sizes < threshold]
    return kept @ kept.T


def sought(lm: LM, fact: Fact, forms: Sequence[str], sites: Sequence[str], search: Search) -> list[Tensor]:
    """The outputs of modules at the subject's last token with which the model says the new answer."""
    asked, essence = rewriting(lm, fact, forms), spot(lm, ESSENCE, fact.subject)
    rows = [*(Row(s.row.ids[:-1], s.row.start) for s in asked), essence.row]
    batch = _inputs(lm, rows)
    at = torch.tensor([*(s.at for s in asked), essence.at], device=lm.device)
    deltas = [torch.zeros(lm.model.config.hidden_size, device=lm.device, requires_grad=True) for _ in sites]
    adam, factor, then, first = torch.optim.Adam(deltas, lr=search.rate), 1.0, None, {}
    for step in range(search.steps):
        adam.zero_grad()
        with _moved(lm.model, dict(zip(sites, deltas, strict=True)), at, first):
            logps = lm.model(**batch).logits.log_softmax(-1)
        now = logps[-1, at[-1]]
        then = now.detach() if then is None else then
        losses, likeliest = _said(logps, asked)
        drift = search.kl * (now.exp() * (now - then)).sum()
        sizes = sum(d.norm() / first[s].norm() ** 2 for s, d in zip(sites, deltas, strict=True))
        loss = factor * losses.mean() + drift + search.decay * sizes
        if loss.item() < search.enough or step + 1 == search.steps:
            break
        if search.weaker is not None:
            factor = 0.1 if likeliest else 1.0
            if likeliest and drift.item() <= search.weaker:
                break
        loss.backward(inputs=deltas)
        adam.step()
        with torch.no_grad():
            for site, delta in zip(sites, deltas, strict=True):
                delta.mul_(min(1.0, search.clamp * float(first[site].norm()) / float(delta.norm())))
    return [first[s] + d.detach() for s, d in zip(sites, deltas, strict=True)]


def _said(logps: Tensor, asked: Sequence[Spot]) -> tuple[Tensor, bool]:
    """Of each row the mean loss of its answer, and whether every token of all answers is the likeliest."""
    losses, hits = [], []
    for of_row, s in zip(logps, asked, strict=False):
        answer = torch.tensor(s.row.ids[s.row.start :], device=logps.device)
        here = of_row[s.row.start - 1 : len(s.row.ids) - 1]
        losses.append(-here.gather(1, answer[:, None]).mean())
        hits.append(bool((here.argmax(1) == answer).all()))
    return torch.stack(losses), all(hits)


def second_moments(lm: LM, texts: Sequence[str], paths: Sequence[str]) -> dict[str, Tensor]:
    """The mean of k k' for what goes into each map: a pass over all texts for each of them, as far as it is read."""
    rows = [Row(tuple(lm.tokenizer(text)["input_ids"]), 0) for text in texts]
    found = {}
    for path in paths:
        total, count = torch.zeros(()), 0
        for part in in_order(rows, TEXTS):
            batch = _inputs(lm, part)
            keys = _entering(lm, batch, path)[batch["attention_mask"].bool()]
            total, count = total + keys.T @ keys, count + len(keys)
        found[path] = total / count
    return found


class _Reached(Exception):
    """What is read has been computed."""


@torch.no_grad()
def _entering(lm: LM, batch: Mapping[str, Tensor], path: str) -> Tensor:
    caught: list[Tensor] = []

    def read(_module: nn.Module, args: tuple[Any, ...]) -> None:
        caught.append(args[0])
        raise _Reached

    handle = lm.model.get_submodule(path).register_forward_pre_hook(read)
    try:
        lm.model(**batch)
    except _Reached:
        pass
    finally:
        handle.remove()
    return caught[0]


@torch.no_grad()
def _read(lm: LM, spots: Sequence[Spot], path: str) -> tuple[Tensor, Tensor]:
    """What goes into a module and comes out of it at each row's spot."""
    caught: list[tuple[Tensor, Tensor]] = []

    def read(_module: nn.Module, args: tuple[Any, ...], kwargs: Mapping[str, Any], out: Any) -> None:
        caught.append((args[0] if args else kwargs["hidden_states"], out[0] if isinstance(out, tuple) else out))

    handle = lm.model.get_submodule(path).register_forward_hook(read, with_kwargs=True)
    try:
        lm.model(**_inputs(lm, [s.row for s in spots]))
    finally:
        handle.remove()
    row, at = torch.arange(len(spots)), torch.tensor([s.at for s in spots])
    return caught[0][0][row, at], caught[0][1][row, at]


@contextmanager
def _moved(model: nn.Module, deltas: Mapping[str, Tensor], at: Tensor, first: dict[str, Tensor]) -> Iterator[None]:
    """Add to each module's output at one place of each row; `first` keeps what the first row's was at first."""

    def hook(site: str) -> Any:
        def change(_module: nn.Module, _args: Any, out: Any) -> Any:
            states = out[0] if isinstance(out, tuple) else out
            first.setdefault(site, states[0, at[0]].detach().clone())
            rows = torch.arange(len(at), device=at.device)
            moved = states.index_put((rows, at), deltas[site].expand(len(at), -1), accumulate=True)
            return (moved, *out[1:]) if isinstance(out, tuple) else moved

        return change

    handles = [model.get_submodule(site).register_forward_hook(hook(site)) for site in deltas]
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()


@contextmanager
def _restored(model: nn.Module, *paths: str) -> Iterator[tuple[dict[str, nn.Parameter], dict[str, Tensor]]]:
    """The parameters of some modules, alone in training, and what they were; they are that again afterwards."""
    chosen = {n: p for n, p in model.named_parameters() if n.rpartition(".")[0] in paths}
    before = {n: p.detach().clone() for n, p in chosen.items()}
    flags = {n: p.requires_grad for n, p in model.named_parameters()}
    model.requires_grad_(False)
    try:
        for p in chosen.values():
            p.requires_grad_(True)
        yield chosen, before
    finally:
        with torch.no_grad():
            for name, p in chosen.items():
                p.copy_(before[name])
                p.grad = None
        for name, p in model.named_parameters():
            p.requires_grad_(flags[name])


@torch.no_grad()
def _add(weight: Tensor, change: Tensor) -> None:
    weight.add_((change if change.shape == weight.shape else change.T).to(weight))


def _inputs(lm: LM, rows: Sequence[Row]) -> dict[str, Tensor]:
    found = padded(rows, pad=lm.pad, device=lm.device)
    return {k: found[k] for k in ("input_ids", "attention_mask")}
