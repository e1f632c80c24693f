"""What a verdict asks for, and the gates of what should stay, each in plain words."""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Literal

from unteach.schema import Gate, Row, Score

ROUNDING = 1e-9  # of a difference of two shares
KEPT = ("probability", "rougel", "truthratio", "accuracy", "paraphrase")  # shares of what the original keeps

Finding = Literal["held", "lost", "ruined", "leak", "over", "planted", "unclear"]


@dataclass(frozen=True)
class Thresholds:
    """What a verdict asks for.

    `keep`: the share of each kept score that must remain (0.95, the level at which methods are compared).
    `fluency`: the greatest factor by which perplexity on kept rows may grow.
    `distinct`: the share of distinct outputs that must remain.
    `refusals`: the greatest share of kept questions that may be declined beyond those that were.
    `margin`: how far a forget score may be from its goal, in units of a score from 0 to 1. Two retrainings with
    different seeds differ by a few hundredths; 0.10 leaves room for that and for little else.
    `nats`: the same for the loss per token; 1 nat is a probability e times smaller or larger.
    `ruin`: below this share of a kept score, or above 1/ruin times the perplexity, a model counts as destroyed.
    `least`: rows below which nothing positive is said; the intervals of fewer are too narrow by far.
    `floor`: a kept score that was below this before says nothing as a share.
    """

    keep: float = 0.95
    fluency: float = 1.1
    distinct: float = 0.9
    refusals: float = 0.02
    margin: float = 0.10
    nats: float = 1.0
    ruin: float = 0.5
    least: int = 10
    floor: float = 0.05


@dataclass(frozen=True)
class Found:
    """A gate with what follows from it, and the metric and the set it rests on."""

    gate: Gate
    finding: Finding
    metric: str
    where: str

    @property
    def what(self) -> str:
        """What a reason calls it: of a distance, only what is distant."""
        return self.gate.name.split(", distance")[0]


class Scores:
    """The scores of one model beside those of the original and of the retrained model, where there is one."""

    def __init__(
        self, rows: Iterable[Row], model: str, roles: Mapping[str, str], *, original: str, retrained: str | None
    ) -> None:
        self._table = {(r.model, r.set, r.score.name): r.score for r in rows}
        self._roles, self._model, self._original, self._retrained = roles, model, original, retrained
        self.has_retrained = any(r == retrained for r, _, _ in self._table)

    def sets(self, *roles: str) -> list[str]:
        return [s for s, role in self._roles.items() if role in roles]

    def now(self, where: str, metric: str) -> Score | None:
        return self._table.get((self._model, where, metric))

    def before(self, where: str, metric: str) -> Score | None:
        return self._table.get((self._original, where, metric))

    def ideal(self, where: str, metric: str) -> Score | None:
        """The retrained model's score on the same rows."""
        return self._table.get((self._retrained or "", where, metric))


def kept(scores: Scores, asked: Thresholds) -> Iterator[Found]:
    """What should stay: each score as a share of what the original had.

    Where there is a retrained model the smaller of both counts: what leaving the rows out costs by itself is
    not the edit's fault.
    """
    for where in scores.sets("retain", "general"):
        for metric, least in [*((m, asked.keep) for m in KEPT), ("distinctoutputs", asked.distinct)]:
            now, before = scores.now(where, metric), scores.before(where, metric)
            if now is None or before is None or before.value is None:
                continue
            ideal = scores.ideal(where, metric)
            goal = min(before.value, ideal.value) if ideal and ideal.value is not None else before.value
            if goal >= asked.floor:
                yield _share(where, now, goal, least, asked)


def _share(where: str, now: Score, goal: float, least: float, asked: Thresholds) -> Found:
    metric, name = now.name, f"{now.name} kept on {where}"
    if now.value is None or now.n < asked.least:
        why = now.note if now.value is None else f"{now.n} rows are too few; at least {asked.least} are asked for"
        return Found(Gate(name, None, None, least, why), "unclear", metric, where)
    share = now.value / goal
    finding: Finding = "held" if share >= least else "ruined" if share < asked.ruin else "lost"
    note = f"{now.value:.3f} where {goal:.3f} should stay; at least {least:g} of it is asked for"
    return Found(Gate(name, finding == "held", share, least, note), finding, metric, where)


def fluent(scores: Scores, asked: Thresholds) -> Iterator[Found]:
    """Perplexity on kept rows against the larger of the original's and the retrained model's.

    An original that knows its training rows by heart has a perplexity near 1 there; a model trained without the
    forget set, on another path, need not reach it and is not damaged for that.
    """
    for where in scores.sets("retain", "general"):
        now, before = scores.now(where, "perplexity"), scores.before(where, "perplexity")
        if now is None or before is None or before.value is None:
            continue
        ideal = scores.ideal(where, "perplexity")
        goal = max(before.value, ideal.value) if ideal and ideal.value is not None else before.value
        name = f"perplexity on {where}"
        if now.value is None or now.n < asked.least:
            why = now.note or f"{now.n} rows are too few; at least {asked.least} are asked for"
            yield Found(Gate(name, None, None, asked.fluency, why), "unclear", "perplexity", where)
            continue
        growth = now.value / goal
        finding: Finding = "held" if growth <= asked.fluency else "ruined" if growth > 1 / asked.ruin else "lost"
        note = f"{now.value:.4g} where {goal:.4g} is expected; at most {asked.fluency:g} times that is asked for"
        yield Found(Gate(name, finding == "held", growth, asked.fluency, note), finding, "perplexity", where)


def answering(scores: Scores, asked: Thresholds) -> Iterator[Found]:
    """How many more of the questions that should be answered are declined than by the original or the retrained model.

    The larger of both counts. Refusing is forgetting too much where nothing was to be forgotten.
    """
    for where in scores.sets("retain", "general"):
        now, before = scores.now(where, "refusalrate"), scores.before(where, "refusalrate")
        if now is None or before is None or before.value is None:
            continue
        ideal = scores.ideal(where, "refusalrate")
        goal = max(before.value, ideal.value) if ideal and ideal.value is not None else before.value
        name = f"refusalrate added on {where}"
        if now.value is None or now.n < asked.least:
            why = now.note if now.value is None else f"{now.n} rows are too few; at least {asked.least} are asked for"
            yield Found(Gate(name, None, None, asked.refusals, why), "unclear", "refusalrate", where)
            continue
        added = now.value - goal
        held = added <= asked.refusals + ROUNDING
        finding: Finding = "held" if held else "ruined" if added > asked.ruin else "lost"
        note = f"{now.value:.3f} decline where {goal:.3f} did; at most {asked.refusals:g} more are asked for"
        yield Found(Gate(name, held, added, asked.refusals, note), finding, "refusalrate", where)
