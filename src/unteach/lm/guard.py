"""The protocol of a guard: something that stands around a model's conversation without touching its weights."""

from typing import Protocol

from torch import Tensor


class Session(Protocol):
    """A guard during one generation: it may rewrite the prompt, the logits of a step, and the reply."""

    def prompt(self, text: str) -> str: ...

    def logits(self, ids: Tensor, logits: Tensor) -> Tensor:
        """Next-token logits (V,) given the ids (T,) so far."""
        ...

    def reply(self, text: str) -> str: ...


class Guard(Protocol):
    """A frozen dataclass of JSON-able fields that opens a session for each generation.

    `observable` says whether log-probabilities still describe what a user meets (a guard that rewrites
    replies or prompts makes them meaningless).
    """

    @property
    def observable(self) -> bool: ...

    def session(self) -> Session: ...
