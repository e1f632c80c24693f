"""Attacks on several models: what each brings back, beside the same attack on the retrained model.

A retrained model gives way too: it learns, and it guesses. Only what comes back beyond that was still there.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from unteach.audit.models import ORIGINAL, RETRAINED, Opens, Worn, is_retrained, worn
from unteach.audit.statistics import bootstrap_mean
from unteach.audit.target import Attack, Attempt, Target, mean
from unteach.edit.checkpoint import checkpoints_in
from unteach.lm.respondent import Respondent
from unteach.registry import build, name_of
from unteach.schema import Finding, Record

LEAST = 0.02  # between original and edited: below that there is nothing to recover
SERVED = Attempt(note="needs the weights; the model is served")
ROOM = 8  # tokens that an answer may be longer than the longest recorded one
Progress = Callable[[str], None]


@dataclass(frozen=True)
class Rows:
    """What the attacker wants back, and what else is at hand."""

    forget: Sequence[Record]
    retain: Sequence[Record] = ()
    holdout: Sequence[Record] = ()


def attacked(
    models: Mapping[str, Worn], rows: Rows, attacks: Sequence[tuple[str, Mapping[str, Any]]], *,
    before: Opens | None = None, most: int = 200, seed: int = 0, progress: Progress | None = None,
) -> tuple[Finding, ...]:  # fmt: skip
    """Every attack on every model, in their order; the original is only asked, unless it stands alone.

    `before` opens the model as it was a second time, for an attacker who holds both. Answers may be as long as the
    longest recorded one and a few tokens more, but no longer than `most` tokens.
    """
    made: list[Attack] = [build("attack", name, options) for name, options in attacks]
    if not made:
        return ()
    arms = [m for m in models if m != ORIGINAL]
    if all(map(is_retrained, arms)):  # a model by itself
        arms = [*models]
    known: list[float | None] = []
    found: dict[str, list[Finding]] = {}
    with checkpoints_in(None):
        if ORIGINAL in models and ORIGINAL not in arms:
            with worn(models[ORIGINAL]) as lm:
                known = _target(lm, rows, before, most, seed).told()
        for model in sorted(arms, key=lambda m: m != RETRAINED):
            with worn(models[model]) as lm:
                target = _target(lm, rows, before, most, seed)
                plain = target.told()
                for attack in made:
                    if progress is not None:
                        progress(f"{name_of(attack)} on {model}")
                    finding = _finding(attack, model, _attempt(attack, target), plain, known)
                    found.setdefault(model, []).append(finding)
    controls = {f.attack: f for f in found.get(RETRAINED, ())}
    return tuple(beyond(f, controls.get(f.attack)) for m in models for f in found.get(m, ()))


def _target(lm: Respondent, rows: Rows, before: Opens | None, most: int, seed: int) -> Target:
    longest = max(map(lm.answer_length, rows.forget), default=0)
    return Target(lm, rows.forget, rows.retain, rows.holdout, before, min(most, longest + ROOM), seed)


def _attempt(attack: Attack, target: Target) -> Attempt:
    return SERVED if target.model.held is None and "weights" in attack.needs else attack(target)


def _finding(
    attack: Attack, model: str, attempt: Attempt, plain: Sequence[float | None], known: Sequence[float | None]
) -> Finding:
    here = [i for i, value in enumerate(attempt.values) if value is not None]
    values = [v for v in attempt.values if v is not None]
    value, (low, high) = mean(values), bootstrap_mean(values) or (None, None)
    unattacked = mean([plain[i] for i in here]) if attack.measure == "told" else None
    original = mean([known[i] for i in here]) if known and attack.measure == "told" else None
    recovered = None
    if value is not None and unattacked is not None and original is not None and original - unattacked >= LEAST:
        recovered = (value - unattacked) / (original - unattacked)
    return Finding(
        name_of(attack), model, attack.holds, attack.measure, value, low, high, len(values), unattacked, recovered,
        axis=attack.axis, curve=attempt.curve, note=attempt.note,
    )  # fmt: skip


def beyond(finding: Finding, control: Finding | None) -> Finding:
    """What came back beyond what the same attack brings out of a retrained model; of such a model nothing is."""
    if control is None or is_retrained(finding.model):
        return finding
    mine, theirs = (
        (finding.recovered, control.recovered) if finding.measure == "told" else (finding.value, control.value)
    )
    return finding if mine is None or theirs is None else replace(finding, excess=mine - theirs)
