"""A request to the gateway as conversations: one for each answer that is wanted."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from unteach.lm.guard import Turns
from unteach.schema import Message
from unteach.service.gateway.backend import Question, Refused
from unteach.service.gateway.bodies import (
    HARMLESS,
    STEERING,
    Body,
    ChatBody,
    ChatMessage,
    CompletionBody,
    checked,
    permit,
)
from unteach.service.gateway.config import Limits

ROLES = {"system": "system", "developer": "system", "user": "user", "tool": "user", "assistant": "assistant"}
TOLD_OF = "is not allowed where guards are worn, which could not read what it brings"
UNKNOWN_HERE = "is nothing that this model can do"
OWN = ("messages", "prompt", "n", "model")  # what is made anew for each question
AT = "@"  # between a model and the edit that it wears


@dataclass(frozen=True)
class Asked:
    """A request: the conversations, and how each is to be answered.

    `sent` finds the message that a turn was made of by the turn's `id`, so that an upstream gets a turn that no guard
    changed as it came, tool calls and names included.
    """

    body: Body = field(repr=False)
    chat: bool
    model: str
    edit: str
    conversations: tuple[Turns, ...] = field(repr=False)
    sent: Mapping[int, Mapping[str, Any]] = field(repr=False)
    fields: Mapping[str, Any] = field(repr=False)

    @property
    def stream(self) -> bool:
        return bool(self.body.stream)

    @property
    def counted(self) -> bool:
        """Whether a stream ends with what was read and written."""
        return self.stream and bool(self.body.stream_options and self.body.stream_options.include_usage)

    @property
    def answers(self) -> int:
        return len(self.conversations) * (self.body.n or 1)

    def wearing(self, edit: str) -> "Asked":
        """The same under an edit."""
        return replace(self, edit=edit)

    def turns(self, number: int) -> Turns:
        """What answer `number` is wanted to: the `n` answers to one conversation lie together."""
        return self.conversations[number // (self.body.n or 1)]

    def question(self, number: int, turns: Turns) -> Question:
        """Answer `number`'s question as guards left it."""
        body = self.body
        seed = None if body.seed is None else body.seed + number % (body.n or 1)
        extra = dict(self.fields) if seed is None else {**self.fields, "seed": seed}
        if self.chat:
            extra["messages"] = [self.sent.get(id(t)) or {"role": t.role, "content": t.content} for t in turns]
        most = body.max_completion_tokens if isinstance(body, ChatBody) else None
        return Question(
            turns, self.model, self.chat, most or body.max_tokens,
            1.0 if body.temperature is None else body.temperature, 1.0 if body.top_p is None else body.top_p,
            seed, tuple(body.stop or ()), self.edit, extra,
        )  # fmt: skip


def asked(content: bytes, *, chat: bool, guarded: bool, here: bool, limits: Limits) -> Asked:
    """A request from its body. `guarded`: guards are worn; `here`: the model is, and takes what a `Question` holds."""
    body = checked(ChatBody if chat else CompletionBody, content)
    others = body.model_extra or {}
    if here:
        permit(others, HARMLESS, UNKNOWN_HERE)
    elif guarded:
        permit(others, HARMLESS | STEERING, TOLD_OF)
    conversations, sent = _chat(body, guarded=guarded) if isinstance(body, ChatBody) else _texts(body)
    if here and any("tool_calls" in message or message["role"] == "tool" for message in sent.values()):
        raise Refused(400, "unsupported_parameter", "this model uses no tools; leave their turns out", param="messages")
    fields = {k: v for k, v in body.model_dump(exclude_unset=True).items() if k not in OWN}
    model, _, edit = body.model.partition(AT) if here else (body.model, "", "")
    made = Asked(body, chat, model, edit, conversations, sent, fields)
    _within(made, limits)
    return made


def _chat(body: ChatBody, *, guarded: bool) -> tuple[tuple[Turns, ...], dict[int, Mapping[str, Any]]]:
    if guarded and body.messages[-1].role not in ("user", "tool"):
        what = "the last message is not a user's, and guards read what is asked there; end with one"
        raise Refused(400, "invalid_value", what, param="messages")
    turns = tuple(Message(ROLES[m.role], m.text) for m in body.messages)  # type: ignore[arg-type]
    return (turns,), {id(turn): _message(m) for turn, m in zip(turns, body.messages, strict=True)}


def _message(message: ChatMessage) -> Mapping[str, Any]:
    kept = message.model_dump(exclude_unset=True)
    return {**kept, "content": message.text if message.content is not None else None}


def _texts(body: Body) -> tuple[tuple[Turns, ...], dict[int, Mapping[str, Any]]]:
    assert isinstance(body, CompletionBody)
    return tuple((Message("user", text),) for text in body.prompt), {}


def _within(made: Asked, limits: Limits) -> None:
    """Refuse what is larger than the gateway allows."""
    name = "messages" if made.chat else "prompt"
    if max(map(_length, made.conversations)) > limits.characters:
        what = f"the conversation is longer than {limits.characters} characters; shorten it"
        raise Refused(400, "context_length_exceeded", what, param=name)
    if made.answers > limits.answers:
        what = f"more than {limits.answers} answers are wanted at once; ask for fewer"
        raise Refused(400, "invalid_value", what, param="n")
    if (made.question(0, made.turns(0)).max_tokens or 0) > limits.tokens:
        what = f"more than {limits.tokens} tokens are wanted; ask for fewer"
        raise Refused(400, "invalid_value", what, param="max_tokens")


def _length(turns: Sequence[Message]) -> int:
    return sum(len(turn.content) for turn in turns)
