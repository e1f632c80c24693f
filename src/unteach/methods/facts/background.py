"""Where the second moments come from that tell what a linear map is otherwise used for."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from unteach.data.passages import passages
from unteach.lm.model import LM
from unteach.lm.stats import Moments, second_moments
from unteach.methods.facts.contexts import written
from unteach.schema import Request

OWN = 200  # texts; so many there should be, some written by the model itself


@dataclass(frozen=True)
class Background:
    """`corpus` names a text file (passages divided by empty lines) or a hub data set with a column "text". Without one
    the rows to keep are taken, and where they are few, what the model writes itself beside them. `samples` is how many texts are read,
    `cache` a folder where the moments are kept by the digests of model and texts.
    """

    corpus: str = ""
    samples: int = 1000
    cache: str = ""

    def moments(self, lm: LM, request: Request, layers: Sequence[int]) -> Moments:
        """The second moments of what enters the last linear map of these layers' MLPs."""
        return second_moments(lm, self.texts(lm, request), layers, cache=Path(self.cache) if self.cache else None)

    def texts(self, lm: LM, request: Request) -> tuple[str, ...]:
        """What the moments are taken over."""
        if self.corpus:
            return passages(self.corpus, limit=self.samples)
        kept = [f"{r.prompt} {r.answer}" for r in request.retain[: self.samples]]
        return (*kept, *written(lm, max(0, min(self.samples, OWN) - len(kept))))
