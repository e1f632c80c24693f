"""An OpenAI-compatible server that gives the question back, in a process of its own: `python -m benchmarks.echo PORT`."""

import json
import sys
from typing import Any

from aiohttp import web

WORDS = 4  # of the question in a piece of a stream
DONE = b"data: [DONE]\n\n"


async def models(_request: web.Request) -> web.Response:
    """The only model."""
    return web.json_response({"object": "list", "data": [{"id": "echo"}]})


async def chat(request: web.Request) -> web.StreamResponse:
    """The last message, whole or in pieces of a few words."""
    body = await request.json()
    text = body["messages"][-1]["content"]
    if not body.get("stream"):
        said = {"index": 0, "finish_reason": "stop", "message": {"role": "assistant", "content": text}}
        return web.json_response({"id": "x", "choices": [said]})
    response = web.StreamResponse(headers={"Content-Type": "text/event-stream"})
    await response.prepare(request)
    words = text.split(" ")
    for start in range(0, len(words), WORDS):
        await response.write(_event({"content": " ".join(words[start : start + WORDS]) + " "}, None))
    await response.write(_event({}, "stop") + DONE)
    return response


def _event(delta: dict[str, Any], finish: str | None) -> bytes:
    chunk = {"id": "x", "choices": [{"index": 0, "delta": delta, "finish_reason": finish}]}
    return b"data: " + json.dumps(chunk).encode() + b"\n\n"


if __name__ == "__main__":
    app = web.Application()
    app.router.add_get("/v1/models", models)
    app.router.add_post("/v1/chat/completions", chat)
    web.run_app(app, host="127.0.0.1", port=int(sys.argv[1]), print=None, access_log=None, handler_cancellation=True)
