"""Another OpenAI-compatible server as what answers: one address, no redirects, and no word of it in an error."""

import json
from collections.abc import AsyncGenerator, AsyncIterator, Mapping, Sequence
from contextlib import AbstractContextManager, asynccontextmanager, nullcontext
from dataclasses import dataclass, field
from time import monotonic
from typing import Any
from urllib.parse import urlunsplit

from aiohttp import ClientError, ClientResponse, ClientSession, ClientTimeout, DummyCookieJar, TCPConnector
from pydantic_core import from_json

from unteach.lm.address import parts_of
from unteach.lm.guard import Session
from unteach.service.gateway.backend import Piece, Question, Refused

KEPT_OPEN = 4.0  # seconds that an idle connection is kept; servers close theirs after 5 or more
LARGEST = 1 << 24  # bytes of a whole reply, and of one event of a stream
CONNECT, FRESH = 5.0, 1.0  # seconds: until a connection stands; during which a server is believed to be as it was
PASSED = {  # status of the upstream: what a client is told
    400: (400, "invalid_request_error", "the model's server cannot use the request; look at its fields"),
    404: (404, "model_not_found", "the model's server has no such model or route"),
    413: (413, "request_too_large", "the request is too large for the model's server; send less"),
    422: (422, "unprocessable", "the model's server cannot use the request; look at its fields"),
    429: (429, "rate_limit_exceeded", "the model's server is asked too often; wait"),
    503: (503, "upstream_unavailable", "the model's server is not ready; wait"),
    504: (504, "upstream_timeout", "the model's server does not answer in time; wait"),
}
FAILED = (502, "upstream_error", "the model's server fails, or refuses the gateway; tell the operator")
SILENT = (502, "upstream_unreachable", "the model's server cannot be reached; tell the operator")
LATE = (504, "upstream_timeout", "the model's server does not answer in time; wait")
ODD = (502, "upstream_error", "the model's server does not answer as an OpenAI-compatible one; tell the operator")
MALFORMED = (ValueError, KeyError, IndexError, TypeError, AttributeError)


@dataclass
class Upstream:
    """The server behind a URL; `name` is the only model that is asked of it, empty for any.

    `key` is sent to it and shown nowhere. `patience` is how long, in seconds, it may be silent.
    """

    url: str = field(repr=False)
    name: str = ""
    key: str = field(default="", repr=False)
    patience: float = 120.0
    _session: ClientSession | None = field(default=None, repr=False)
    _seen: tuple[float, tuple[str, ...] | None] = field(default=(-FRESH, None), repr=False)

    @property
    def weighs(self) -> bool:
        return False

    async def models(self) -> Sequence[str]:
        if self.name:
            return (self.name,)
        async with self._asked("GET", "models", None) as reply:
            return _ids(await _content(reply))

    async def ready(self) -> bool:
        when, found = self._seen
        if monotonic() - when > FRESH:
            try:
                async with self._asked("GET", "models", None) as reply:
                    found = _ids(await _content(reply))
            except Refused:
                found = None
            self._seen = monotonic(), found
        return found is not None

    def paused(self) -> AbstractContextManager[None]:
        return nullcontext()

    async def close(self) -> None:
        if self._session is not None:
            await self._session.close()

    async def write(self, question: Question, sessions: Sequence[Session] = ()) -> AsyncGenerator[Piece, None]:
        assert not sessions, "an upstream shows no logits"
        if self.name and question.model != self.name:
            raise Refused(*PASSED[404], param="model")
        async with self._asked("POST", "chat/completions" if question.chat else "completions", question) as reply:
            if not question.extra.get("stream"):
                for piece in _whole(await _content(reply), chat=question.chat):
                    yield piece
                return
            finished = False
            async for event in _events(reply):
                for piece in _pieces(event, chat=question.chat):
                    finished = finished or bool(piece.finish)
                    yield piece
            if not finished:
                raise Refused(*FAILED)

    @asynccontextmanager
    async def _asked(self, how: str, route: str, question: Question | None) -> AsyncIterator[ClientResponse]:
        """The reply of the server, which is let go of in the end; its failures as ours."""
        parts = parts_of(self.url)
        address = urlunsplit(parts._replace(path=f"{parts.path.rstrip('/')}/{route}", fragment=""))
        content = _body(question) if question is not None else None
        headers = {"Content-Type": "application/json"} | ({"Authorization": f"Bearer {self.key}"} if self.key else {})
        try:
            async with self._client().request(
                how, address, data=content, headers=headers, allow_redirects=False
            ) as reply:
                if reply.status != 200:
                    raise _refused(reply)
                yield reply
        except TimeoutError:
            raise Refused(*LATE) from None
        except ClientError:
            raise Refused(*SILENT) from None

    def _client(self) -> ClientSession:
        if self._session is None:
            self._session = ClientSession(
                connector=TCPConnector(limit=0, keepalive_timeout=KEPT_OPEN),
                timeout=ClientTimeout(total=None, sock_connect=CONNECT, sock_read=self.patience),
                cookie_jar=DummyCookieJar(), trust_env=False, read_bufsize=1 << 18,
            )  # fmt: skip
        return self._session


def _body(question: Question) -> bytes:
    fields: dict[str, Any] = {"model": question.model, **question.extra}
    if question.chat:
        fields.setdefault("messages", [{"role": t.role, "content": t.content} for t in question.turns])
    else:
        fields["prompt"] = question.turns[-1].content
    try:
        return json.dumps(fields, allow_nan=False).encode()
    except (ValueError, RecursionError):
        raise Refused(400, "invalid_value", "a field of the request is no JSON; send finite numbers") from None


def _refused(reply: ClientResponse) -> Refused:
    told = PASSED.get(reply.status, FAILED)
    wait = reply.headers.get("Retry-After", "")
    seconds = int(wait) if wait.isascii() and wait.isdigit() and len(wait) < 6 else 1
    return Refused(*told, wait=seconds if told[0] in (429, 503) else None)


async def _content(reply: ClientResponse) -> Any:
    """The JSON of a whole reply."""
    content = bytearray()
    async for part in reply.content.iter_any():
        content += part
        if len(content) > LARGEST:
            raise Refused(*ODD)
    return _json(bytes(content))


def _json(content: bytes) -> Any:
    try:
        return from_json(content)
    except ValueError:
        raise Refused(*ODD) from None


def _ids(listed: Any) -> tuple[str, ...]:
    try:
        return tuple(str(model["id"]) for model in listed["data"])
    except MALFORMED:
        raise Refused(*ODD) from None


async def _events(reply: ClientResponse) -> AsyncIterator[Any]:
    """What the events of a stream hold, until it says that it is done."""
    data = bytearray()
    kept = b""
    async for part in reply.content.iter_any():
        *lines, kept = (kept + part).split(b"\n")
        if len(kept) + len(data) > LARGEST:
            raise Refused(*ODD)
        for line in lines:
            line = line.rstrip(b"\r")
            if line.startswith(b"data:"):
                data += line[5:].strip()
            elif not line and data:
                if data == b"[DONE]":
                    return
                yield _json(bytes(data))
                data.clear()


def _whole(found: Any, *, chat: bool) -> list[Piece]:
    """The pieces of a reply that came at once; of several answers only the first was asked for."""
    try:
        choice, tokens = found["choices"][0], found.get("usage") or {}
        said = choice["message"] if chat else choice
        text = said["content"] if chat else said["text"]
        piece = _piece(choice, said, text, chat=chat)
        finish = choice.get("finish_reason") or "stop"
        read, written = tokens.get("prompt_tokens"), tokens.get("completion_tokens")
        return [Piece(piece.text, str(finish), piece.calls, piece.beside, _count(read), _count(written))]
    except MALFORMED:
        raise Refused(*ODD) from None


def _pieces(event: Any, *, chat: bool) -> list[Piece]:
    """The pieces of one event."""
    try:
        if "error" in event:
            raise Refused(*FAILED)
        tokens = event.get("usage") or {}
        found = [
            _piece(
                choice, said := choice["delta"] if chat else choice, said.get("content" if chat else "text"), chat=chat
            )
            for choice in event.get("choices") or ()
        ]
        if tokens:
            read, written = _count(tokens.get("prompt_tokens")), _count(tokens.get("completion_tokens"))
            found.append(Piece(read=read, written=written))
        return found
    except MALFORMED:
        raise Refused(*ODD) from None


READ = {"role", "content", "text", "tool_calls", "index", "finish_reason", "message", "delta"}


def _piece(choice: Mapping[str, Any], said: Mapping[str, Any], text: Any, *, chat: bool) -> Piece:
    if text is not None and not isinstance(text, str):
        raise TypeError("a text was expected")
    calls = said.get("tool_calls") or () if chat else ()
    beside = {k: v for k, v in said.items() if k not in READ and v is not None}
    if chat and choice.get("logprobs") is not None:
        beside["logprobs"] = choice["logprobs"]
    return Piece(text or "", str(choice.get("finish_reason") or ""), tuple(dict(c) for c in calls), beside)


def _count(value: Any) -> int | None:
    return value if isinstance(value, int) else None
