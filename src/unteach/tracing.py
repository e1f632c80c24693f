"""Where a model carries facts: each is traced, and the effects are averaged over facts, written and drawn."""

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import torch
from torch import Tensor

from unteach.audit.statistics import bootstrap_mean
from unteach.lm.model import LM
from unteach.methods.facts.effect import KINDS, Traced, Tracing, known, traced
from unteach.report.atomic import folder, put
from unteach.report.drawing import available, standing, style
from unteach.report.effects import Effect, Effects, Mean, effects_csv, effects_json
from unteach.report.heatmap import heatmap
from unteach.schema import Fact, InputError

ROLES = ("first subject token", "middle subject tokens", "last subject token", "further tokens", "last token")


def trace_effect(
    lm: LM, facts: Sequence[Fact], how: Tracing, out: Path, *, show: bool = False, say: Callable[[str], None] = print
) -> tuple[Effects, dict[str, Path]]:  # fmt: skip
    """Trace the facts that the model knows; write the averaged effects as JSON, CSV and a figure.

    With `show`, a figure for each fact too, with its own tokens beside the rows.
    """
    told = known(lm, facts)
    if not told:
        raise InputError(
            f"the model knows none of the {len(facts)} facts, so there is nothing to trace; give facts whose ground_truth it "
            "finds likelier than their target_new"
        )
    if len(told) < len(facts):
        say(
            f"{len(facts) - len(told)} of {len(facts)} facts are skipped: the model does not find their ground_truth likelier"
        )
    place, ones = folder(out), []
    for n, one in enumerate(traced(lm, told, how), 1):
        ones.append(one)
        say(f"traced {n} of {len(told)}")
    found = averaged(lm, ones, how, len(facts) - len(told))
    texts = {"json": effects_json(found), "csv": effects_csv(found.effects)}
    paths = {suffix: put(place / f"effects.{suffix}", text.encode("utf-8")) for suffix, text in texts.items()}
    for name, drawn in _figures(lm, found, ones if show else ()):
        paths[name] = put(place / f"{name}.svg", drawn)
    return found, paths


def averaged(lm: LM, ones: Sequence[Traced], how: Tracing, unknown: int = 0) -> Effects:
    """Means over facts, whose tokens are put side by side by the part they play."""
    rows = []
    for k, kind in enumerate(KINDS):
        for role in ROLES:
            values = [one.effects[k][at].mean(0) for one in ones if (at := _places(one, role))]
            for layer in range(lm.layers if values else 0):
                mean = _mean([float(v[layer]) for v in values])
                rows.append(Effect(kind, role, layer, mean.value, mean.low, mean.high, mean.n))
    before, disturbed = [one.before for one in ones], [one.disturbed for one in ones]
    total = _mean([a - b for a, b in zip(before, disturbed, strict=True)])
    window = how.wide(lm.layers)
    return Effects(
        lm.digest(), lm.layers, unknown, how.samples, how.noise, window, how.seed, _mean(before), _mean(disturbed), total,
        tuple(rows),
    )  # fmt: skip


def _mean(values: Sequence[float]) -> Mean:
    low, high = bootstrap_mean(values) or (None, None)
    return Mean(sum(values) / len(values), low, high, len(values))


def _places(one: Traced, role: str) -> list[int]:
    """The tokens of a fact that play a part; the last token of a subject that ends the question counts as that."""
    end, last = one.subject - 1, len(one.tokens) - 1
    parts = {
        "first subject token": range(min(end, 1)),
        "middle subject tokens": range(1, end),
        "last subject token": range(end, end + 1),
        "further tokens": range(end + 1, last),
        "last token": range(max(last, end + 1), last + 1),
    }
    return list(parts[role])


def _figures(lm: LM, found: Effects, ones: Sequence[Traced]) -> Iterator[tuple[str, bytes]]:
    """The figure of the means, and one for each of some facts, where figures can be drawn."""
    if not available():
        return
    roles = [role for role in ROLES if any(e.token == role for e in found.effects)]
    values = torch.tensor([e.value for e in found.effects]).view(len(KINDS), len(roles), found.layers)
    yield "effects", _drawn("effects", roles, values, found.total.value, found.window)
    for n, one in enumerate(ones, 1):
        words = [str(lm.tokenizer.decode([token])) for token in one.tokens]
        yield f"fact-{n}", _drawn(f"fact-{n}", words, one.effects, one.before - one.disturbed, found.window)


def _drawn(name: str, tokens: Sequence[str], values: Tensor, total: float, window: int) -> bytes:
    with style(name, {}):
        return standing(heatmap(tokens, dict(zip(KINDS, values.tolist(), strict=True)), total, window))
