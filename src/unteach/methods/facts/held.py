"""How well corrections hold that were not practised: each is made alone, asked, and taken off again."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from statistics import fmean

from unteach.data.facts import question
from unteach.edit.edit import Edit
from unteach.edit.plan import draw
from unteach.lm.model import LM
from unteach.measure.answers import ask, exact_match
from unteach.measure.chosen import chosen
from unteach.schema import Fact, InputError, Probe, Record


@dataclass(frozen=True)
class Held:
    """Means over `count` corrections.

    `reliability` is the share of the new answer's tokens that are the likeliest when asked as it was edited,
    `generalisation` in other words, `locality` the share of tokens at unrelated answers whose likeliest one is as it
    was before. None where there is nothing to ask.
    """

    count: int
    reliability: float | None
    generalisation: float | None
    locality: float | None

    def __str__(self) -> str:
        named = ("reliability", "generalisation", "locality")
        told = (f"{name} {'-' if (v := getattr(self, name)) is None else format(v, '.3f')}" for name in named)
        return f"{self.count} corrections that were not practised: {', '.join(told)}"


def held(lm: LM, facts: Sequence[Fact], make: Callable[[Fact], Edit]) -> Held:
    """Make, ask and take off the correction of each fact."""
    found = [_one(lm, fact, make) for fact in facts]
    reliable, general, local = ([v for one in found for v in one[i]] for i in range(3))
    return Held(len(facts), _mean(reliable), _mean(general), _mean(local))


def _one(lm: LM, fact: Fact, make: Callable[[Fact], Edit]) -> tuple[list[float], list[float], list[float]]:
    rows = [Record("", text, fact.target_new) for text in (question(fact), *fact.rephrasings)]
    beside = [Record("", probe.prompt, probe.answer) for probe in fact.locality]
    before = chosen(lm, beside)
    with make(fact).on(lm):
        said = [exact_match(answer.words) or 0.0 for answer in ask(lm, rows)]
        after = chosen(lm, beside)
    return said[:1], said[1:], list(_kept(before, after))


def _kept(
    before: Sequence[tuple[int, ...] | None], after: Sequence[tuple[int, ...] | None]
) -> Iterator[float]:  # fmt: skip
    for then, now in zip(before, after, strict=True):
        if then and now:
            yield fmean(a == b for a, b in zip(then, now, strict=True))


def _mean(values: Sequence[float]) -> float | None:
    return fmean(values) if values else None


def apart(facts: Sequence[Fact], count: int, seed: int) -> tuple[tuple[Fact, ...], tuple[Fact, ...]]:
    """Facts to practise on, and `count` of other subjects, which the others' probes do not mention either."""
    subjects = sorted({f.subject for f in facts}, key=lambda s: draw(seed, "held out", s))
    away: list[Fact] = []
    names: set[str] = set()
    for subject in subjects:
        if len(away) >= count:
            break
        names.add(subject)
        away += [f for f in facts if f.subject == subject]
    kept = tuple(replace(f, locality=_without(f, names)) for f in facts if f.subject not in names)
    if not kept:
        raise InputError(
            f"{count} facts are to be held out of {len(facts)}, and none is left; give more, or --holdout less"
        )
    return kept, tuple(away[:count])


def _without(fact: Fact, names: set[str]) -> tuple[Probe, ...]:
    return tuple(p for p in fact.locality if not any(name in p.prompt for name in names))
