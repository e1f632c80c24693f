"""Answers in OpenAI's shapes, whole and in the chunks of a stream."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from secrets import token_hex
from time import time
from typing import Any, Literal, NotRequired

from typing_extensions import TypedDict

from unteach.lm.guard import Decision
from unteach.service.gateway.backend import Piece

GUARANTEE = "suppression"
HEADER = "x-unteach-guarantee"


class Told(TypedDict):
    """What a guard did with a question or a reply."""

    guard: str
    stage: Literal["question", "reply"]
    action: str


class Label(TypedDict):
    """What stood around the answer: its class, the version of the policies, and what guards did."""

    guarantee: str
    policy: str
    decisions: list[Told]


class Usage(TypedDict):
    """Tokens that were read and written."""

    prompt_tokens: int
    completion_tokens: int
    total_tokens: int


class Choice(TypedDict):
    """One answer: a `message` in a chat, a `text` otherwise, a `delta` in a stream."""

    index: int
    finish_reason: str | None
    message: NotRequired[dict[str, Any]]
    delta: NotRequired[dict[str, Any]]
    text: NotRequired[str]
    logprobs: NotRequired[Any]


class Reply(TypedDict):
    """A whole reply, or one chunk of it. `unteach` is there where guards were worn."""

    id: str
    object: Literal["chat.completion", "chat.completion.chunk", "text_completion"]
    created: int
    model: str
    choices: list[Choice]
    usage: NotRequired[Usage | None]
    unteach: NotRequired[Label]


class Model(TypedDict):
    """A model that can be asked."""

    id: str
    object: Literal["model"]
    created: int
    owned_by: str


class Models(TypedDict):
    """The models that a key may ask."""

    object: Literal["list"]
    data: list[Model]


@dataclass
class Answer:
    """One answer as far as it has been written."""

    text: str = ""
    finish: str = ""
    read: int = 0
    written: int = 0

    def hear(self, piece: Piece) -> None:
        self.text += piece.text
        self.finish = piece.finish or self.finish
        self.read, self.written = self.read + (piece.read or 0), self.written + (piece.written or 0)


@dataclass(frozen=True)
class Sheet:
    """What the parts of one reply have in common."""

    id: str
    created: int
    model: str
    chat: bool

    def whole(self, choices: Sequence[Choice], usage: Usage, label: Label | None) -> Reply:
        made: Reply = {
            "id": self.id, "object": "chat.completion" if self.chat else "text_completion",
            "created": self.created, "model": self.model, "choices": list(choices), "usage": usage,
        }  # fmt: skip
        if label is not None:
            made["unteach"] = label
        return made

    def chunk(self, choices: Sequence[Choice]) -> Reply:
        return {
            "id": self.id, "object": "chat.completion.chunk" if self.chat else "text_completion",
            "created": self.created, "model": self.model, "choices": list(choices),
        }  # fmt: skip

    def choice(
        self, index: int, answer: Answer, calls: Sequence[Mapping[str, Any]], beside: Mapping[str, Any]
    ) -> Choice:
        """One whole answer."""
        if not self.chat:
            return {
                "index": index,
                "finish_reason": answer.finish,
                "text": answer.text,
                "logprobs": beside.get("logprobs"),
            }
        own = {k: v for k, v in beside.items() if k != "logprobs"}
        said: dict[str, Any] = {**own, "role": "assistant", "content": answer.text or (None if calls else "")}
        if calls:
            said["tool_calls"] = [{k: v for k, v in call.items() if k != "index"} for call in calls]
        return {"index": index, "finish_reason": answer.finish, "message": said, "logprobs": beside.get("logprobs")}

    def piece(self, index: int, piece: Piece, *, first: bool) -> Choice:
        """A piece of an answer."""
        finish = piece.finish or None
        if not self.chat:
            return {
                "index": index,
                "finish_reason": finish,
                "text": piece.text,
                "logprobs": piece.beside.get("logprobs"),
            }
        delta: dict[str, Any] = {k: v for k, v in piece.beside.items() if k != "logprobs"}
        if first:
            delta["role"] = "assistant"
        if piece.text or first:
            delta["content"] = piece.text
        if piece.calls:
            delta["tool_calls"] = [dict(call) for call in piece.calls]
        return {"index": index, "finish_reason": finish, "delta": delta, "logprobs": piece.beside.get("logprobs")}


def sheet(model: str, *, chat: bool) -> Sheet:
    """A new reply's."""
    return Sheet(f"{'chatcmpl' if chat else 'cmpl'}-{token_hex(12)}", int(time()), model, chat)


def usage(answers: Sequence[Answer]) -> Usage:
    """The tokens of several answers."""
    read, written = sum(a.read for a in answers), sum(a.written for a in answers)
    return {"prompt_tokens": read, "completion_tokens": written, "total_tokens": read + written}


def label(version: str, decisions: Sequence[Decision]) -> Label:
    """What stood around an answer."""
    told: list[Told] = [{"guard": d.guard, "stage": d.stage, "action": d.action} for d in decisions]
    return {"guarantee": GUARANTEE, "policy": version, "decisions": told}
