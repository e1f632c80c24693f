"""A hundred facts corrected at once, and one after another: what holds, what else moves, and how far the weights go."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace
from math import exp
from typing import Any

import torch
from torch import Tensor

from unteach.audit.evidence import Evidence
from unteach.audit.facts import fact_sets
from unteach.audit.statistics import bootstrap_mean
from unteach.data.facts import question
from unteach.edit.edit import Edit
from unteach.edit.patches import through
from unteach.lm.model import LM
from unteach.measure.answers import ask
from unteach.registry import build
from unteach.schema import Fact, InputError, Record, Request

MANY, AFTER, TOGETHER = 100, (1, 3, 10, 30, 100), (1, 10, 100)
AT_ONCE = ("memit", "alphaedit", "ftl", "emmet", "grace", "wise")
IN_SEQUENCE = ("ftl", "memit", "rome", "alphaedit", "emmet", "grace")


@dataclass(frozen=True)
class Point:
    """After so many `edits`: means with their 95 % intervals, and how far the weights that moved have gone.

    `reliability` is that of all facts so far, `locality` that of questions beside all hundred, `perplexity` that of
    texts of the kind that the model was trained on; `moved` is |W' - W| / |W| of the weights that the method writes into.
    """

    edits: int
    reliability: tuple[float, float, float]
    locality: tuple[float, float, float]
    perplexity: float
    moved: float


@dataclass(frozen=True, eq=False)
class Course:
    """A model, the facts that it is to learn, what is asked of it besides, and what it said before."""

    lm: LM
    facts: Sequence[Fact]
    texts: Sequence[Record]
    original: Evidence
    weights: Mapping[str, Tensor]


def course(lm: LM, facts: Sequence[Fact], texts: Sequence[str]) -> Course:
    """One fact of each subject; questions that another of the facts answers anew are no questions beside them."""
    some = tuple({f.subject: f for f in facts}.values())[:MANY]
    asked = {question(f) for f in some}
    beside = tuple(r for r in fact_sets(some)["neighbours"] if r.prompt not in asked)
    original = Evidence(lm, {"neighbours": beside}, name="original")
    build("metric", "locality", {})(original, "neighbours")
    original.close()
    rows = [Record(str(n), "", text) for n, text in enumerate(texts)]
    return Course(lm, some, rows, original, {n: p.detach().clone() for n, p in lm.parameters().items()})


def at_once(given: Course, method: Any) -> tuple[list[Point], str]:
    """The first facts of each number corrected by one edit of the model as it was; and why it ended early, if it did."""
    found: list[Point] = []
    for count in TOGETHER:
        try:
            edit = method(given.lm, Request(facts=given.facts[:count]))
        except InputError as refused:
            return found, f"{count} facts: {refused}"
        with edit.on(given.lm):
            found.append(_point(given, count, set(edit.weights), edit))
    return found, ""


def in_sequence(given: Course, method: Any) -> tuple[list[Point], str]:
    """One edit after another, each of the model that wears all before it; and why it ended early, if it did."""
    if hasattr(method, "batch"):  # it keeps the keys of facts written before, in one request
        return _grown(given, replace(method, batch=1)(given.lm, Request(facts=given.facts))), ""
    found: list[Point] = []
    touched: set[str] = set()
    with ExitStack() as worn:
        worn.callback(_put_back, given)
        for count, fact in enumerate(given.facts, 1):
            try:
                edit = method(given.lm, Request(facts=(fact,)))
            except InputError as refused:
                return found, f"edit {count}: {refused}"
            touched |= set(edit.weights)
            if edit.activations:
                worn.enter_context(edit.on(given.lm))
            else:
                _add(given.lm, edit.delta(given.lm))
            if count in AFTER:
                found.append(_point(given, count, touched))
    return found, ""


def _grown(given: Course, edit: Edit) -> list[Point]:
    """The points of an edit that holds one patch a fact, in order, for each weight."""
    found = []
    for count in AFTER:
        part = replace(edit, weights={n: chain[:count] for n, chain in edit.weights.items()}, links=())
        with part.on(given.lm):
            found.append(_point(given, count, set(part.weights), part))
    return found


def _add(lm: LM, change: Mapping[str, Tensor]) -> None:
    with torch.no_grad():
        for name, delta in change.items():
            lm.parameters()[name].add_(delta)


def _put_back(given: Course) -> None:
    with torch.no_grad():
        for name, parameter in given.lm.parameters().items():
            parameter.copy_(given.weights[name])


def _point(given: Course, count: int, touched: set[str], worn: Edit | None = None) -> Point:
    sets = {"facts": fact_sets(given.facts[:count])["facts"], **given.original.sets}
    evidence = Evidence(given.lm, sets, name=str(count), original=given.original)
    told = [list(build("metric", m, {})(evidence, s).per_record.values()) for m, s in _ASKED]
    evidence.close()
    return Point(count, *map(_mean, told), _perplexity(given), _moved(given, touched, worn))


_ASKED = (("reliability", "facts"), ("locality", "neighbours"))


def _mean(values: Sequence[float]) -> tuple[float, float, float]:
    mean = sum(values) / len(values)
    low, high = bootstrap_mean(values) or (mean, mean)
    return mean, low, high


def _perplexity(given: Course) -> float:
    answers = [answer.words.logps for answer in ask(given.lm, given.texts)]
    return exp(-sum(map(sum, answers)) / sum(map(len, answers)))


def _moved(given: Course, touched: set[str], worn: Edit | None) -> float:
    """How far weights have gone; a low-rank change is worn over its weight, which stands as it was."""
    parts = list(_lengths(given, touched, worn.weights if worn else {}))
    return (sum(d for d, _ in parts) / sum(w for _, w in parts)) ** 0.5 if parts else 0.0


def _lengths(given: Course, touched: set[str], worn: Mapping[str, Any]) -> Iterator[tuple[float, float]]:
    for name in touched:
        was = given.weights[name]
        now = through(worn[name], was) if name in worn else given.lm.parameters()[name].detach()
        yield float((now - was).norm()) ** 2, float(was.norm()) ** 2
