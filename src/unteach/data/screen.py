"""Screening."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from unteach.data.lexicon import LEXICON, abuses
from unteach.data.passes import Cleaned, Mark, all_of, without
from unteach.data.rewriting import texts
from unteach.registry import data
from unteach.schema import InputError, Record

Judge = Callable[[Sequence[str]], Sequence[float]]


def listed(said: Sequence[str]) -> list[float]:
    """1 for each text that holds a word of the list of abusive words, else 0."""
    return [float(abuses(text)) for text in said]


@data("screen", tested_by="test_screen_reports_the_rate_that_the_judge_flags")
@dataclass(frozen=True)
class Screen:
    """How much of a training set a classifier flags: abuse by default, anything that a classifier of yours tells.

    A text is flagged where `judge` gives it at least `threshold`, and a row with any of its texts; `rate` of the result
    is the share of flagged rows. `judge` maps texts to probabilities: by default 1 where a word of `data.lexicon`
    stands in the text. A classifier of toxicity by path or hub id, such as HateBERT (Caselli et al. 2021, arXiv:2010.12472)
    trained on abusive language, is `lm.classifier.Judged(source)`. With `drop` flagged rows are left out.

    The list does not show slurs, threats or polite contempt, and takes a quoted word for an abuse; a classifier has its own
    prejudices, against dialects among them. A row that is not flagged is not shown to be harmless.
    Example: ``Screen(drop=True)(records)``.
    """

    judge: Judge = listed
    threshold: float = 0.5
    drop: bool = False

    def __call__(self, records: Sequence[Record], /) -> Cleaned:
        said = [(n, where, text) for n, record in enumerate(records) for where, text in texts(record)]
        shares = self.judge([text for _, _, text in said])
        if len(shares) != len(said):
            raise InputError("the judge did not give one number for each text; mend it")
        marks = [
            Mark(n, records[n].id, "flagged", where, 0, len(text))
            for (n, where, text), share in zip(said, shares, strict=True)
            if share >= self.threshold
        ]
        notes = (f"judged by a word list of {', '.join(LEXICON)}",) if self.judge is listed else ()
        return without(records, marks, notes) if self.drop else all_of(records, records, marks, notes)
