"""Membership inference from the loss, set against how well the text compresses."""

import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from typing import ClassVar

from unteach.audit.evidence import Evidence
from unteach.audit.membership import membership
from unteach.audit.scoring import Directions
from unteach.measure.answers import loss
from unteach.registry import metric
from unteach.schema import Need, Score


@metric("miazlib", tested_by="test_miazlib_sets_the_loss_against_the_compressed_size_of_the_answer")
@dataclass(frozen=True)
class MIAZlib:
    """How well an attacker tells the rows from unseen ones by their loss, given how plain each text is.

    AUC as in `mialoss`, of the loss divided by the number of bytes of the answer (UTF-8) after zlib compression;
    0 to 1, with 0.5 no better than a coin. Carlini et al. 2021, arXiv:2012.07805. A repetitive text is likely
    without having been learned, and a short one compresses badly: the quotient says more where lengths are alike.

    The goal is the retrained model's value; a destroyed model scores what the sizes alone give, not 0.5.
    """

    needs: ClassVar[frozenset[Need]] = frozenset({"forget", "holdout"})
    directions: ClassVar[Directions] = {"forget": "target"}
    bounds: ClassVar[tuple[float, float]] = (0.0, 1.0)
    companions: ClassVar[tuple[str, ...]] = ("mialoss", "perplexity", "modelutility")

    def __call__(self, evidence: Evidence, set_name: str, /) -> Score:
        def statistic(s: str) -> Iterator[float | None]:
            for record, answer in zip(evidence.sets[s], evidence.answers(s), strict=True):
                lost = loss(answer)
                yield None if lost is None else lost / _size(record.answer)

        return membership(self, evidence, set_name, statistic)


def _size(text: str) -> int:
    return len(zlib.compress(text.encode("utf-8", "surrogatepass")))
