"""Several retrained models: each is compared with by itself, and the verdict is the word that most of them say.

Two retrainings differ, so that beside one of them a model may look nearer to it, or farther from it, than retraining is.
"""

from collections import Counter
from collections.abc import Sequence
from dataclasses import replace

from unteach.schema import Verdict, VerdictWord


def agreed(verdicts: Sequence[Verdict]) -> Verdict:
    """One verdict for several, each beside a retrained model; its gates are those of the first that says its word."""
    word = most([v.verdict for v in verdicts])
    first = next(v for v in verdicts if v.verdict == word)
    if len(verdicts) == 1:
        return first
    said = sum(v.verdict == word for v in verdicts)
    told = f"{first.reason} So it is beside {said} of {len(verdicts)} retrained models."
    return replace(first, reason=told, beside=tuple(verdicts))


def most(words: Sequence[VerdictWord]) -> VerdictWord:
    """Forgotten where more than half say so; else the commonest of the other words."""
    if 2 * words.count("forgotten") > len(words):
        return "forgotten"
    return Counter(w for w in words if w != "forgotten").most_common(1)[0][0]
