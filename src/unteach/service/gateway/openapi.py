"""The OpenAPI document of the gateway, made from the types that its code uses."""

from collections.abc import Mapping, Sequence
from functools import cache
from importlib.metadata import version
from typing import Any, Literal

from pydantic import TypeAdapter
from pydantic_core import to_json
from typing_extensions import TypedDict

from unteach.service.gateway.bodies import ChatBody, CompletionBody
from unteach.service.gateway.errors import ErrorReply
from unteach.service.gateway.replies import HEADER, Model, Models, Reply

REF = "#/components/schemas/{model}"
FAILURES = {
    400: "The request cannot be used, or a guard blocked it.",
    401: "No valid API key came with the request.",
    403: "The key may not do this.",
    404: "There is no such model, edit or route.",
    408: "The request did not come in time.",
    413: "The request is too large.",
    415: "The body is not JSON, or compressed.",
    417: "Something else than 100-continue was expected.",
    422: "What was sent, or the configuration, cannot be used.",
    429: "Too many requests; Retry-After says when to come again.",
    500: "Something broke.",
    502: "The model's server fails or cannot be reached.",
    503: "The gateway drains, the model is not ready, or a guard failed.",
    504: "The answer takes too long.",
}
KEYED, ANSWERED = (400, 401, 403, 404, 417, 429, 500, 502, 503, 504), (408, 413, 415, 422)


class State(TypedDict):
    """How the gateway is."""

    status: Literal["ok", "ready"]


class Version(TypedDict):
    """The version of the policies that are in force."""

    policy: str


TYPES: Mapping[str, Any] = {
    "ChatBody": ChatBody, "CompletionBody": CompletionBody, "Reply": Reply, "Model": Model, "Models": Models,
    "State": State, "Version": Version, "ErrorReply": ErrorReply,
}  # fmt: skip


@cache
def document() -> bytes:
    """The document as JSON."""
    adapters = [(name, "validation", TypeAdapter(kind)) for name, kind in TYPES.items()]
    _, definitions = TypeAdapter.json_schemas(adapters, ref_template=REF)  # type: ignore[arg-type]
    found = {
        "openapi": "3.1.0",
        "info": {"title": "unteach gateway", "version": version("unteach"), "description": ABOUT},
        "paths": _paths(),
        "components": {
            "schemas": definitions.get("$defs", {}),
            "securitySchemes": {"key": {"type": "http", "scheme": "bearer"}},
            "responses": {str(code): _failure(code) for code in FAILURES},
        },
    }
    return to_json(found)


ABOUT = (
    "An OpenAI-compatible gateway that stands guards around every conversation. What they hide is suppressed: the "
    "model still holds it."
)


def _paths() -> dict[str, Any]:
    asking = "Ask for answers, whole or as a stream of events."
    return {
        "/v1/chat/completions": {"post": _asked("createChatCompletion", asking, "ChatBody")},
        "/v1/completions": {"post": _asked("createCompletion", asking, "CompletionBody")},
        "/v1/models": {"get": _operation("listModels", "The models of this key.", "Models", KEYED, links=LINKS)},
        "/v1/models/{model}": {
            "get": _operation("retrieveModel", "One of them.", "Model", KEYED)
            | {"parameters": [{"name": "model", "in": "path", "required": True, "schema": {"type": "string"}}]}
        },
        "/admin/reload": {
            "post": _operation("reload", "Read the configuration again.", "Version", (400, 401, 403, 417, 422, 500))
        },
        "/metrics": {"get": _operation("metrics", "Figures for Prometheus.", "", (400, 401, 403, 417, 500))},
        "/healthz": {"get": _operation("health", "Whether the process runs.", "State", (400, 417, 500), key=False)},
        "/readyz": {"get": _operation("ready", "Whether it answers.", "State", (400, 417, 500, 503), key=False)},
        "/openapi.json": {"get": _operation("describe", "This document.", "object", (400, 417, 500), key=False)},
    }


EVENT = {
    "type": "object",
    "description": "An event: a Reply as JSON, an error, or [DONE].",
    "properties": {"data": {"type": "string"}},
}
LINKS = {
    "model": {"operationId": "retrieveModel", "parameters": {"model": "$response.body#/data/0/id"}},
    "chat": {"operationId": "createChatCompletion", "requestBody": {"model": "$response.body#/data/0/id"}},
}


def _operation(
    name: str, summary: str, reply: str, codes: Sequence[int], *, key: bool = True, links: Mapping[str, Any] | None = None
) -> dict[str, Any]:  # fmt: skip
    schema = {"type": "object"} if reply == "object" else _of(reply)
    content = {"application/json": {"schema": schema}} if reply else {"text/plain": {"schema": {"type": "string"}}}
    told: dict[str, Any] = {"description": summary, "content": content} | ({"links": links} if links else {})
    return {
        "operationId": name,
        "summary": summary,
        "security": [{"key": []}] if key else [],
        "responses": {"200": told} | {str(code): {"$ref": f"#/components/responses/{code}"} for code in codes},
    }


def _asked(name: str, summary: str, body: str) -> dict[str, Any]:
    made = _operation(name, summary, "Reply", sorted((*KEYED, *ANSWERED)))
    told = made["responses"]["200"]
    told["content"]["text/event-stream"] = {"schema": EVENT}
    told["headers"] = {HEADER: {"schema": {"type": "string"}, "description": "The class, where guards are worn."}}
    return made | {"requestBody": {"required": True, "content": {"application/json": {"schema": _of(body)}}}}


def _of(name: str) -> dict[str, str]:
    return {"$ref": REF.format(model=name)}


def _failure(code: int) -> dict[str, Any]:
    headers = {"Retry-After": {"schema": {"type": "integer"}, "description": "Seconds."}} if code in (429, 503) else {}
    content = {"application/json": {"schema": _of("ErrorReply")}}
    return {"description": FAILURES[code], "content": content} | ({"headers": headers} if headers else {})
