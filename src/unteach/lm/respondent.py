"""What an audit asks: a model whose weights are here, or one that somebody else serves."""

from collections.abc import Sequence
from typing import Protocol

from unteach.lm.encoder import Template
from unteach.lm.guard import Guard
from unteach.lm.model import LM
from unteach.schema import Record


class Respondent(Protocol):
    """A model that answers.

    `held` is the model itself where its weights are here; `observable` says whether log-probabilities can be read
    and describe what a user meets. `chat` tells that conversations are laid out as such, and not as text by
    `template`. Lengths are in tokens, and where nobody counts them an estimate that is rather too large.
    """

    @property
    def held(self) -> LM | None: ...

    @property
    def observable(self) -> bool: ...

    @property
    def guards(self) -> Sequence[Guard]: ...

    @property
    def chat(self) -> bool: ...

    @property
    def template(self) -> Template: ...

    @property
    def max_length(self) -> int: ...

    def question_length(self, record: Record) -> int: ...

    def answer_length(self, record: Record) -> int: ...

    def generate(
        self, prompts: Sequence[str | Record], max_new: int = 64, *, begun: Sequence[int] | None = None
    ) -> list[str]: ...

    def digest(self) -> str: ...
