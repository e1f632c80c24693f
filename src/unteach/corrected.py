"""What a correction did, in plain lines: weights, probabilities, free answers, neighbours."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from unteach.audit.facts import fact_sets
from unteach.edit.edit import Edit
from unteach.lm.model import LM
from unteach.measure.answers import Answer, ask
from unteach.measure.chosen import chosen
from unteach.schema import Fact, Record

LISTED = 20  # facts that have a line of their own


@dataclass(frozen=True, eq=False)
class _Said:
    """What a model says about E facts: probabilities of the new and the old answer, a free answer, neighbours' tokens."""

    new: Sequence[float | None]
    old: Sequence[float | None]
    texts: Sequence[str]
    neighbours: Sequence[tuple[int, ...] | None]


def moved(lm: LM, edit: Edit, facts: Sequence[Fact], *, max_new: int, show: bool) -> list[str]:
    """What became of the weights and of each fact; answers are quoted only with `show`."""
    sets = fact_sets(facts)
    asked, beside = sets["facts"], sets.get("neighbours", ())
    before = _say(lm, asked, beside, max_new)
    with edit.on(lm):
        after = _say(lm, asked, beside, max_new)
    lines = [_weights(lm, edit)]
    shifted = _shifted(beside, before, after)
    for n, fact in enumerate(facts[:LISTED]):
        mine = [m for row, m in shifted.items() if row.startswith(f"{fact.id}/")]
        lines.append(_line(fact, n, before, after, mine, show))
    if len(facts) > LISTED:
        lines.append(f"and {len(facts) - LISTED} more")
    given = [sum(_gives(text, fact) for text, fact in zip(said.texts, facts, strict=True)) for said in (before, after)]
    lines.append(f"the new answer is written for {given[0]} of {len(facts)} facts before and {given[1]} after")
    if beside:
        lines.append(f"{sum(shifted.values())} of {len(beside)} neighbours are answered otherwise than before")
    return lines


def _say(lm: LM, asked: Sequence[Record], beside: Sequence[Record], max_new: int) -> _Said:
    old = [Record(r.id, r.prompt, r.perturbed[0] if r.perturbed else "") for r in asked]
    observable = all(guard.observable for guard in lm.guards)
    rated = _rated(lm, asked, old) if observable else [[None] * len(asked)] * 2
    tokens = chosen(lm, beside) if beside and observable else [None] * len(beside)
    return _Said(rated[0], rated[1], lm.generate(asked, max_new), tokens)


def _rated(lm: LM, *columns: Sequence[Record]) -> list[list[float | None]]:
    return [[_likely(answer) for answer in ask(lm, rows)] for rows in columns]


def _likely(answer: Answer) -> float | None:
    """The geometric mean of the probabilities of an answer's tokens, its end left out."""
    return float(np.exp(answer.words.logps.mean())) if len(answer.words.logps) else None


def _shifted(beside: Sequence[Record], before: _Said, after: _Said) -> dict[str, bool]:
    pairs = zip(beside, before.neighbours, after.neighbours, strict=True)
    return {record.id: was != now for record, was, now in pairs}


def _weights(lm: LM, edit: Edit) -> str:
    if not edit.weights:
        return "no weight was changed: what the model knew it still knows"
    parameters, parts = lm.parameters(), edit.delta(lm)
    size = float(np.sqrt(sum(float(d.norm()) ** 2 for d in parts.values())))
    whole = float(np.sqrt(sum(float(parameters[name].detach().norm()) ** 2 for name in parts)))
    count = sum(d.numel() for d in parts.values())
    return f"{count:,} parameters in {len(parts)} weights changed, by {size:.4g} where their norm is {whole:.4g}"


def _line(fact: Fact, n: int, before: _Said, after: _Said, moved: Sequence[bool], show: bool) -> str:
    def pair(name: str, rate: Callable[[_Said], float | None]) -> str:
        was, now = rate(before), rate(after)
        return "" if was is None or now is None else f"p({name}) {was:.3f} -> {now:.3f}"

    words = [pair("new", lambda s: s.new[n]), pair("old", lambda s: s.old[n]) if fact.ground_truth else ""]
    if show:
        words.append(f"answers {before.texts[n].strip()!r} -> {after.texts[n].strip()!r}")
    else:
        words.append("gives the new answer" if _gives(after.texts[n], fact) else "does not give the new answer")
    if moved:
        words.append(f"{sum(moved)} of {len(moved)} neighbours moved")
    return f"fact {fact.id}: {', '.join(w for w in words if w)}"


def _gives(text: str, fact: Fact) -> bool:
    return fact.target_new.strip().casefold() in text.casefold()
