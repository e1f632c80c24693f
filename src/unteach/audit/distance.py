"""The gates of what should go: how far each forget score is from where it should be."""

from collections.abc import Iterator
from math import log, sqrt

import numpy as np

from unteach.audit.gates import Finding, Found, Scores, Thresholds
from unteach.audit.statistics import Interval, auc_gap_interval, bootstrap_mean
from unteach.schema import Gate, Score

GREEDY = ("rougel", "paraphrase", "exactmemorization")  # what a temperature cannot hide
FREE = ("rougel", "paraphrase")  # what is written freely, which a filter can hold back
CLOSE = ("probability", *GREEDY)  # must be shown to be near the goal
# coarse at usual sizes: decide where their whole interval is off
SCREENS = ("extractionstrength", "accuracy", "mialoss", "miaconfidence")
MEMBERSHIP, LOSS = ("mialoss", "miaconfidence"), "perplexity"
SURE = "miaconfidence"  # of whatever is answered: the truth, or what was taught in its place
UNSEEN = "rows never seen"


def forgotten(scores: Scores, asked: Thresholds) -> Iterator[Found]:
    """What should go: each score against the retrained model's or, without one, against rows never seen.

    The level of unseen rows is the original's score on them, which an edit cannot move. The loss is compared
    with the edited model's own on unseen rows instead, as a membership attack compares it, and membership
    itself with a coin.
    """
    for where in scores.sets("forget"):
        for metric in (*CLOSE, *SCREENS, LOSS):
            now = scores.now(where, metric)
            if now is None:
                continue
            if scores.has_retrained:
                yield _distance(where, now, scores.ideal(where, metric), "the retrained model", asked)
            elif metric in MEMBERSHIP:
                yield _distance(where, now, Score(metric, 0.5, n=now.n), "a coin", asked)
            else:
                yield _distance(where, now, _unseen(scores, metric), UNSEEN, asked)


def _unseen(scores: Scores, metric: str) -> Score | None:
    """The score on rows never seen; for want of other wordings of these, their own wording."""
    of = scores.now if metric == LOSS else scores.before
    names = (metric, "rougel") if metric == "paraphrase" else (metric,)
    found = (of(where, name) for name in names for where in scores.sets("holdout"))
    return next((s for s in found if s is not None and s.value is not None), None)


def _distance(where: str, now: Score, goal: Score | None, against: str, asked: Thresholds) -> Found:
    metric, name = now.name, f"{now.name} on {where}, distance to {against}"
    room = asked.nats if now.name == LOSS else asked.margin
    if now.value is None or goal is None or goal.value is None:
        why = now.note if now.value is None else "neither a retrained model nor unseen rows give a level for it"
        return Found(Gate(name, None, None, room, why), "unclear", metric, where)
    gap, interval = _gap(now, goal, where, same_rows=against == "the retrained model")
    more = -gap if metric == LOSS else gap  # how much more is known than should be
    unit = " nats a token" if metric == LOSS else ""
    half = f" ± {(interval[1] - interval[0]) / 2:.3f}" if interval else ""
    note = f"{now.value:.4g} where {against} has {goal.value:.4g}; difference {gap:+.3f}{half}, at most {room:g}{unit}"
    one_sided = (against == UNSEEN and metric != LOSS) or metric == SURE
    finding = _judge(more, interval, room, now, one_sided=one_sided, asked=asked)
    if finding == "leak" and metric == SURE:
        finding = "planted"
    if finding == "unclear":
        note += "; too few rows to tell"
    passed = None if finding == "unclear" else finding == "held"
    return Found(Gate(name, passed, gap, room, note), finding, metric, where)


def _judge(
    more: float, interval: Interval | None, room: float, now: Score, *, one_sided: bool, asked: Thresholds
) -> Finding:
    clear = room if now.name in SCREENS else 0.0  # rows say nothing of how two retrainings differ, so leave that room
    sure = interval is None or interval[0] > clear or interval[1] < -clear
    if more > room:  # the burden of proof is on forgetting: with no interval at all it still counts as a leak
        return "leak" if sure else "unclear"
    if interval is None or now.n < asked.least:
        return "unclear"
    if more < -room and not one_sided:
        return "over" if sure else "unclear"
    wide = (interval[1] - interval[0]) / 2 > room
    return "unclear" if wide and now.name not in SCREENS else "held"


def _gap(now: Score, goal: Score, where: str, *, same_rows: bool) -> tuple[float, Interval | None]:
    """The difference and its 95 % interval: over paired rows where both models were asked the same ones."""
    assert now.value is not None
    assert goal.value is not None
    if now.name in MEMBERSHIP and same_rows:
        return now.value - goal.value, _membership_interval(now, goal, where)
    if same_rows:
        labels = [label for label in now.per_record if label in goal.per_record]
        paired = [_level(now, now.per_record[k]) - _level(now, goal.per_record[k]) for k in labels]
        if paired:
            return float(np.mean(paired)), bootstrap_mean(paired)
    gap, halves = _level(now, now.value) - _level(now, goal.value), [_half(now), _half(goal)]
    if halves[0] is None:
        return gap, None
    half = sqrt(sum(h * h for h in halves if h is not None))  # the two samples are independent
    return gap, (gap - half, gap + half)


def _level(score: Score, value: float) -> float:
    return log(value) if score.name == LOSS else value


def _half(score: Score) -> float | None:
    if score.low is None or score.high is None:
        return None
    return (_level(score, score.high) - _level(score, score.low)) / 2


def _membership_interval(now: Score, goal: Score, where: str) -> Interval | None:
    labels = [label for label in now.per_record if label in goal.per_record]
    members = [k for k in labels if k.startswith(f"{where}/")]
    others = [k for k in labels if not k.startswith(f"{where}/")]
    if not members or not others:
        return None
    return auc_gap_interval(
        ([now.per_record[k] for k in members], [now.per_record[k] for k in others]),
        ([goal.per_record[k] for k in members], [goal.per_record[k] for k in others]),
    )
