"""One question on its way through a model whose weights are here: its ids, its words, and who hears them."""

import secrets
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import torch
from jaxtyping import Float, Int
from torch import Tensor

from unteach.lm.continuous import Reply
from unteach.lm.drawing import drawn, likely
from unteach.lm.encoder import Encoder
from unteach.lm.guard import Session, asked
from unteach.schema import InputError
from unteach.service.gateway.backend import Piece, Question, Refused
from unteach.service.gateway.wording import Wording

LENGTH = 256  # tokens of an answer to a question that sets no limit
COLD = 1e-3  # below this temperature the likeliest token is written


@dataclass(eq=False)
class Pending:
    """An answer that somebody waits for; `say` is called with its pieces, or with why there are none, in any thread."""

    question: Question
    sessions: Sequence[Session]
    say: Callable[[Piece | Refused], None]
    wanted: bool = True
    reply: Reply = field(default_factory=lambda: Reply([], (), 0))
    wording: Wording | None = None

    @property
    def size(self) -> int:
        """The positions that the question and the longest answer to it take."""
        return len(self.reply.given) + self.reply.room

    def open(self, encoder: Encoder) -> None:
        """Lay the question out; one that leaves no room for an answer is refused."""
        if self.wording:
            return
        ids, most = _ids(encoder, self.question), self.question.max_tokens
        if len(ids) >= encoder.max_length:
            told = f"the model reads {encoder.max_length} tokens, question and answer together, and this question has"
            raise Refused(400, "context_length_exceeded", f"{told} {len(ids)}; shorten it")
        room = min(LENGTH if most is None else most, encoder.max_length - len(ids))
        self.reply = Reply(ids, (*self.sessions, *_drawing(self.question)), room)
        self.wording = Wording(encoder, self.question.stop)

    def hear(self, goes_on: bool) -> bool:
        """Say what the newest token brought; whether the answer still goes on."""
        assert self.wording, "an answer is opened before it is written"
        text = self.wording.hear(self.reply.ids, not goes_on)
        ended, reply = not goes_on or self.wording.ended, self.reply
        if ended:
            finish = "stop" if self.wording.ended or reply.room > 0 else "length"
            self.say(Piece(text, finish, read=len(reply.prompt), written=len(reply.ids)))
        elif text:
            self.say(Piece(text))
        reply.unwanted = ended or not self.wanted
        return not reply.unwanted


@dataclass
class Drawing(Session):
    """Tokens drawn among the likeliest that hold a share of the probability together."""

    temperature: float
    top_p: float
    dice: torch.Generator = field(repr=False)

    def logits(self, ids: Int[Tensor, " T"], logits: Float[Tensor, " V"]) -> Float[Tensor, " V"]:  # noqa: ARG002
        return drawn(likely(logits.float() / self.temperature, top_p=self.top_p), self.dice).to(logits)


def _drawing(question: Question) -> tuple[Session, ...]:
    """What draws the tokens, behind all that weighs them; nothing where the likeliest are wanted."""
    if question.temperature < COLD or question.top_p <= 0:
        return ()
    seed = secrets.randbits(63) if question.seed is None else question.seed
    return (Drawing(question.temperature, question.top_p, torch.Generator().manual_seed(seed % 2**63)),)


def _ids(encoder: Encoder, question: Question) -> list[int]:
    """What the model reads of a question."""
    turns = question.turns
    try:
        return encoder.prompt(asked(turns), turns if len(turns) > 1 else ()) or [encoder.first]
    except InputError as refused:  # a chat template that knows no such roles
        raise Refused(400, "invalid_messages", str(refused), param="messages") from None
