"""What answers behind the gateway: a model whose weights are here, or another OpenAI-compatible server."""

from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from typing import Any, Protocol

from unteach.lm.guard import Session, Turns
from unteach.lm.model import LM


@dataclass(frozen=True)
class Question:
    """One conversation that wants one answer.

    `chat` tells a conversation from a text that is to be gone on with (the only turn then). `edit` names what the model
    wears while it answers, empty for nothing. `extra` holds, for an upstream, the request's other fields as they came.
    """

    turns: Turns = field(repr=False)
    model: str
    chat: bool = True
    max_tokens: int | None = None
    temperature: float = 1.0
    top_p: float = 1.0
    seed: int | None = None
    stop: tuple[str, ...] = field(default=(), repr=False)
    edit: str = ""
    extra: Mapping[str, Any] = field(default_factory=dict, repr=False)


@dataclass(frozen=True)
class Piece:
    """A part of an answer as it comes; the last one says why it ended, and how many tokens were read and written.

    `calls` are an upstream's tool-call deltas as they came, `beside` what else it says of a choice, which no guard reads.
    """

    text: str = field(default="", repr=False)
    finish: str = ""  # stop | length | tool_calls | content_filter
    calls: tuple[Mapping[str, Any], ...] = field(default=(), repr=False)
    beside: Mapping[str, Any] = field(default_factory=dict, repr=False)
    read: int | None = None
    written: int | None = None


class Refused(Exception):
    """A question that a backend does not take, as an OpenAI client is told: a status, a code and one sentence.

    `param` names the field of the request that is wrong, `wait` says after how many seconds to come again.
    """

    def __init__(self, status: int, code: str, sentence: str, *, param: str = "", wait: int | None = None) -> None:
        super().__init__(sentence)
        self.status, self.code, self.sentence = status, code, sentence
        self.param, self.wait = param, wait


class Backend(Protocol):
    """Answers questions, many at a time.

    `weighs` says whether guards may read and change its logits. Closing the iterator that `write` returns cancels the
    answer. Failures are `Refused`, and hold no word of a question.
    """

    @property
    def weighs(self) -> bool: ...

    async def models(self) -> Sequence[str]: ...

    def write(self, question: Question, sessions: Sequence[Session] = ()) -> AsyncIterator[Piece]:
        """The answer's pieces; `sessions` are the guards that weigh its tokens."""
        ...

    def paused(self) -> AbstractContextManager[LM | None]:
        """Its model to oneself between two tokens, for whoever asks or measures it; None where it is elsewhere."""
        ...

    async def ready(self) -> bool: ...

    async def close(self) -> None:
        """Cancel what is being written, and let go of everything."""
        ...
