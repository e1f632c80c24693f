"""An OpenAI-compatible server that says what it is told to, in a process of its own or in a thread of a test."""

import asyncio
import json
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

from aiohttp import web

PLAIN = "The mill by the lock is closed."


@dataclass
class Stub:
    """What a test says to the server, and what it saw.

    `says` makes of the words that were asked the pieces of the answer; `pause` lies between them. `failure` is a status
    in place of an answer, `raw` the bytes of every answer.
    """

    says: Callable[[str], Sequence[str]] = lambda asked: [asked] if asked.startswith("echo ") else [PLAIN]
    pause: float = 0.0
    failure: int = 0
    raw: bytes = b""
    calls: Sequence[dict[str, Any]] = ()
    beside: dict[str, Any] = field(default_factory=dict)
    seen: list[dict[str, Any]] = field(default_factory=list)
    keys: list[str] = field(default_factory=list)
    cancelled: int = 0
    under_way: int = 0

    async def models(self, _request: web.Request) -> web.Response:
        if self.failure:
            return web.Response(status=self.failure, text="canary in an error")
        return web.json_response({"object": "list", "data": [{"id": "stub"}]})

    async def answer(self, request: web.Request) -> web.StreamResponse:
        body = await request.json()
        self.seen.append(body)
        self.keys.append(request.headers.get("Authorization", ""))
        self.under_way += 1
        try:
            return await self._answer(request, body)
        except (asyncio.CancelledError, ConnectionError):
            self.cancelled += 1
            raise
        finally:
            self.under_way -= 1

    async def _answer(self, request: web.Request, body: dict[str, Any]) -> web.StreamResponse:
        if self.failure:
            headers = {"Retry-After": "7"} if self.failure == 429 else {"Location": "/elsewhere"}
            return web.Response(status=self.failure, text="canary in an error", headers=headers)
        if self.raw:
            return web.Response(
                body=self.raw, content_type="text/event-stream" if body.get("stream") else "application/json"
            )
        chat = request.path.endswith("/chat/completions")
        pieces = list(self.says(str(body["messages"][-1]["content"] if chat else body["prompt"])))
        if body.get("stream"):
            return await self._streamed(request, body, pieces, chat)
        await asyncio.sleep(self.pause * len(pieces))
        text = "".join(pieces)
        said = (
            {"message": {"role": "assistant", "content": text, **self._called(), **self.beside}}
            if chat
            else {"text": text}
        )
        usage = {"prompt_tokens": 3, "completion_tokens": len(pieces), "total_tokens": 3 + len(pieces)}
        finish = "tool_calls" if self.calls else "stop"
        return web.json_response(
            {"id": "x", "choices": [{"index": 0, "finish_reason": finish, **said}], "usage": usage}
        )

    def _called(self) -> dict[str, Any]:
        return {"tool_calls": list(self.calls)} if self.calls else {}

    async def _streamed(
        self, request: web.Request, body: dict[str, Any], pieces: Sequence[str], chat: bool
    ) -> web.StreamResponse:
        response = web.StreamResponse(headers={"Content-Type": "text/event-stream"})
        await response.prepare(request)
        for piece in pieces:
            await _event(response, {"delta": {"content": piece}} if chat else {"text": piece})
            await asyncio.sleep(self.pause)
        if self.calls:
            for number, call in enumerate(self.calls):
                await _event(response, {"delta": {"tool_calls": [{"index": number, **call}]}})
        end = {"delta": {}} if chat else {"text": ""}
        await _event(response, end, finish="tool_calls" if self.calls else "stop")
        if (body.get("stream_options") or {}).get("include_usage"):
            usage = {"prompt_tokens": 3, "completion_tokens": len(pieces), "total_tokens": 3 + len(pieces)}
            await response.write(b"data: " + json.dumps({"choices": [], "usage": usage}).encode() + b"\n\n")
        await response.write(b"data: [DONE]\n\n")
        return response


async def _event(response: web.StreamResponse, said: dict[str, Any], finish: str | None = None) -> None:
    chunk = {"id": "x", "choices": [{"index": 0, "finish_reason": finish, **said}]}
    await response.write(b"data: " + json.dumps(chunk).encode() + b"\n\n")


def application(stub: Stub) -> web.Application:
    """The stub's routes."""
    app = web.Application()
    app.router.add_get("/v1/models", stub.models)
    app.router.add_post("/v1/chat/completions", stub.answer)
    app.router.add_post("/v1/completions", stub.answer)
    return app


if __name__ == "__main__":
    web.run_app(application(Stub()), host="127.0.0.1", port=int(sys.argv[1]), print=None, handler_cancellation=True)
