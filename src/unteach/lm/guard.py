"""Guards: what stands around a model's conversation without touching its weights, and how a chain of them talks.

A guard that was worn later stands further out: it meets a question first and a reply last.
"""

from collections.abc import Callable, Generator, Sequence
from dataclasses import dataclass
from logging import getLogger
from typing import ClassVar, Literal, Protocol, TypeGuard

from torch import Tensor

from unteach.schema import Message

Turns = tuple[Message, ...]
Action = Literal["passed", "rewrote", "answered", "changed", "asked again", "cut"]
ROUNDS = 32  # times that one guard may have the model asked in one conversation
LOG = getLogger("unteach.guards")


class Session(Protocol):
    """A guard during one conversation; what it does not define passes.

    A guard whose session is no more than this hears a reply when all of it has been written.
    """

    def ask(self, turns: Turns) -> Turns | str:
        """What the model is asked in place of a conversation, whose last turn wants an answer; or that answer itself."""
        return turns

    def logits(self, ids: Tensor, logits: Tensor) -> Tensor:  # noqa: ARG002 - for those who define it
        """Next-token logits (V,) given the ids (T,) of the question as asked and of the answer so far."""
        return logits

    def reply(self, text: str) -> Turns | str:
        """What leaves of a whole reply; or the turns that the model is asked next, whose reply comes back here."""
        return text


class Streaming(Session, Protocol):
    """A guard that lets a reply through while it is being written."""

    @property
    def over(self) -> bool:
        """Whether nothing that may still be written can leave: the model need not go on."""
        return False

    def feed(self, piece: str) -> str:
        """What may leave now that the reply goes on with a piece."""
        return piece

    def end(self) -> str:
        """What may still leave now that the reply has ended."""
        return ""

    def reply(self, text: str) -> str:
        return self.feed(text) + self.end()


def streams(session: Session) -> TypeGuard[Streaming]:
    """Whether a guard need not hear a reply whole. It has to say so: to have the methods alone is not enough."""
    return Streaming in type(session).__mro__


class Guard(Protocol):
    """A frozen dataclass of JSON-able fields that opens a session for each conversation.

    `observable` says whether log-probabilities still describe what a user meets (a guard that rewrites replies or
    prompts makes them meaningless). One that `weighs` reads or changes logits, which only a model whose weights are
    here shows.
    """

    weighs: ClassVar[bool] = False

    @property
    def observable(self) -> bool: ...

    def session(self) -> Session: ...


@dataclass(frozen=True)
class Decision:
    """What a guard did with a question or a reply; it holds nothing of either."""

    guard: str
    stage: Literal["question", "reply"]
    action: Action


Opened = tuple[str, Session]  # a guard's name, and the guard in one conversation
Talk = Generator[Turns | str, str | None, None]


class Conversation:
    """One conversation behind guards, whatever answers it: ask `turns` of a model, and let it `hear` the reply.

    `turns` is None where nothing is to be asked any more, and another question than before where a guard asks again.
    `said` is all that has left so far, `decisions` what each guard did.
    """

    def __init__(self, guards: Sequence[Guard], turns: Turns) -> None:
        chain = [(getattr(g, "__registered__", ("", type(g).__name__))[1], g.session()) for g in guards]
        self.sessions = tuple(session for _, session in chain)
        self.turns: Turns | None = None
        self.said, self.decisions = "", list[Decision]()
        self._talk = talk(chain, turns, self.decisions.append)
        self.hear(None)

    def hear(self, piece: str | None) -> str:
        """Hear a piece of the reply, or None at its end: what may leave now."""
        before = len(self.said)
        try:
            event = self._talk.send(piece)
            while isinstance(event, str):
                self.said += event
                if piece is not None:
                    return self.said[before:]
                event = self._talk.send(None)
            self.turns = event
        except StopIteration:
            self.turns = None
        return self.said[before:]


def talk(chain: Sequence[Opened], turns: Turns, told: Callable[[Decision], None] = lambda _: None) -> Talk:
    """A conversation behind a chain of sessions, innermost first, whatever answers it.

    Yields turns, which the model is to be asked, and texts, which may leave. After turns it is sent the reply's first
    piece, after each text the next piece, and None where the reply has ended. Turns that come later are a new question,
    and what was being written in answer to the last is no longer wanted. `told` hears what each guard decides.
    """
    if not chain:
        piece = yield turns
        while piece is not None:
            piece = yield piece
        return
    *inner, (name, session) = chain

    def tell(stage: Literal["question", "reply"], action: Action) -> None:
        LOG.debug("%s: %s %s", name, stage, action)
        told(Decision(name, stage, action))

    met = session.ask(turns)
    tell("question", "answered" if isinstance(met, str) else "passed" if met == turns else "rewrote")
    for _ in range(ROUNDS):
        if isinstance(met, str):
            yield met
            return
        below = talk(inner, met, told)
        met, action = yield from (_streamed(below, session) if streams(session) else _whole(below, session))
        tell("reply", action)
    raise RuntimeError(f"the guard '{name}' asks again without end")


def _streamed(below: Talk, session: Streaming) -> Generator[Turns | str, str | None, tuple[str, Action]]:
    """Let a reply through piece by piece; what is left at its end."""
    came, left, event = "", "", next(below)
    while True:
        leaves = event
        if isinstance(event, str):
            leaves = session.feed(event)
            came, left = came + event, left + leaves
        if session.over:
            below.close()
            return (leaves if isinstance(leaves, str) else "") + session.end(), "cut"
        try:
            event = below.send((yield leaves))
        except StopIteration:
            break
    rest = session.end()
    return rest, "passed" if left + rest == came else "changed"


def _whole(below: Talk, session: Session) -> Generator[Turns | str, str | None, tuple[Turns | str, Action]]:
    """Hear a reply to its end before anything of it leaves."""
    said, event = "", next(below)
    while True:
        if isinstance(event, str):
            said += event
        try:
            event = below.send((yield "" if isinstance(event, str) else event))
        except StopIteration:
            break
    met = session.reply(said)
    return met, "passed" if met == said else "changed" if isinstance(met, str) else "asked again"


def asked(turns: Turns) -> str:
    """The words of the turn that wants an answer."""
    return turns[-1].content if turns else ""


def asking(turns: Turns, text: str) -> Turns:
    """The conversation with other words in the turn that wants an answer."""
    return (*turns[:-1], Message("user", text)) if asked(turns) != text else turns
