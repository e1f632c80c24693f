"""From scores to a word: pure, so that a verdict can be checked against the table it came from."""

from collections.abc import Iterable, Mapping, Sequence

from unteach.audit.distance import FREE, GREEDY, SCREENS, forgotten
from unteach.audit.gates import Found, Scores, Thresholds, answering, fluent, kept
from unteach.schema import Gate, Row, Verdict, VerdictWord

DEFAULTS = Thresholds()
BARE = Gate("no guard", False, None, None, "a guard stands between the questions and the model, and can be taken off")
WELL_SAID = ("perplexity", "refusalrate")  # about how a model speaks, not about what it still knows


def verdict(
    rows: Iterable[Row], model: str, *, roles: Mapping[str, str], original: str = "original",
    retrained: str = "retrained", thresholds: Thresholds = DEFAULTS, guarded: bool = False,
) -> Verdict:  # fmt: skip
    """The word for one model, its gates, and one sentence with the reason.

    `rows` holds the scores of the model, of the original and of the retrained model where there is one; `roles`
    maps sets to their roles. In this order: *broken* where what should stay is mostly gone; *not forgotten*
    where a forget score is clearly above its goal, or where the model is `guarded`: a guard hides what the weights
    know, and whoever takes it off has all of it back; *over-forgotten* where one is clearly below it, where
    the rows are answered more surely than by a model that never saw them, or where what should stay was damaged; *inconclusive* where something needed is missing or too few rows were asked;
    else *forgotten*. One retrained model is compared with; how much retrainings differ is not measured.
    """
    scores = Scores(rows, model, roles, original=original, retrained=retrained)
    stays = [*kept(scores, thresholds), *fluent(scores, thresholds), *answering(scores, thresholds)]
    goes = list(forgotten(scores, thresholds))
    word, reason = _word(stays, goes, _missing(scores, stays, goes), guarded)
    return Verdict(word, (*(f.gate for f in (*goes, *stays)), *([BARE] if guarded else [])), reason)


def _word(
    stays: Sequence[Found], goes: Sequence[Found], missing: str, guarded: bool
) -> tuple[VerdictWord, str]:  # fmt: skip
    def names(found: Sequence[Found], finding: str) -> str:
        return ", ".join(f.what for f in found if f.finding == finding)

    if ruined := names(stays, "ruined"):
        return "broken", f"What should stay is mostly gone: {ruined}."
    damaged = names(stays, "lost")
    if leak := names(goes, "leak"):
        also = f"; and what should stay was damaged: {damaged}" if damaged else ""
        return "not forgotten", f"More is still known than should be: {leak}{also}."
    if guarded:
        return "not forgotten", "A guard hides what the model knows; nothing was removed from it."
    if over := names(goes, "over"):
        return "over-forgotten", f"The rows stand out by how little is left of them: {over}."
    if planted := names(goes, "planted"):
        return "over-forgotten", f"The rows stand out by how surely they are answered: {planted}."
    if damaged:
        return "over-forgotten", f"More was lost than was asked for: {damaged}."
    if missing:
        return "inconclusive", missing
    wide = [f for f in goes if f.metric not in SCREENS and f.gate.value is not None]
    if unclear := names(wide, "unclear"):
        return "inconclusive", f"Too few rows to tell: {unclear}."
    return "forgotten", "Every gate that could be measured held; this is evidence about behaviour, not proof."


def _missing(scores: Scores, stays: Sequence[Found], goes: Sequence[Found]) -> str:
    """What a verdict cannot do without, as a sentence; nothing where all is there."""
    if not scores.sets("forget"):
        return "There is no set of rows to forget."
    retained = set(scores.sets("retain"))
    measured = {f.metric for f in stays if f.finding != "unclear" and f.where in retained and f.metric not in WELL_SAID}
    if len(measured) < 2:
        return "Fewer than two scores of what should stay could be measured; give retain rows, at least ten."
    if all(f.gate.value is None for f in goes):
        return "No forget score has a goal; give a retrained model or holdout rows."
    if not any(f.metric in GREEDY and f.gate.value is not None for f in goes):
        return "No greedy score (ROUGE-L, exact memorisation) could be compared; probability alone can be gamed."
    if all(f.metric in FREE for f in goes if f.gate.value is not None):
        return "Nothing but free answers could be compared; what is held back there may still be known."
    return ""
