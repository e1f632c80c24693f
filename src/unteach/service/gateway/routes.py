"""The routes: who may take them, and what each does."""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Literal

from aiohttp import hdrs, web
from pydantic_core import to_json

from unteach.schema import InputError
from unteach.service.gateway import errors, replies
from unteach.service.gateway.access import Key, KeyRole
from unteach.service.gateway.answering import Answering
from unteach.service.gateway.asked import AT, Asked, asked
from unteach.service.gateway.backend import Refused
from unteach.service.gateway.config import Tenant
from unteach.service.gateway.gateway import GATEWAY, KEY, Gateway
from unteach.service.gateway.openapi import document
from unteach.service.gateway.rules import edit_of

MADE = 0  # when a model was made, which nobody here knows
ACTION: web.RequestKey[str] = web.RequestKey("action", str)
NO_MODEL = Refused(
    404, "model_not_found", "there is no such model for this key; ask for one of /v1/models", param="model"
)


@dataclass(frozen=True)
class Route:
    """A route; `role` is who may take it, None for everybody."""

    method: Literal["GET", "POST"]
    path: str
    answer: Callable[[web.Request], Awaitable[web.StreamResponse]]
    role: KeyRole | None = "client"


async def chat(request: web.Request) -> web.StreamResponse:
    return await _answered(request, chat=True)


async def completions(request: web.Request) -> web.StreamResponse:
    return await _answered(request, chat=False)


async def _answered(request: web.Request, *, chat: bool) -> web.StreamResponse:
    gateway, key = request.app[GATEWAY], request[KEY]
    gateway.admit(key)
    rules = gateway.rules
    tenant = rules.tenant(key)
    policies = rules.around(tenant)
    content = await body(request, rules.limits.receive_seconds)
    wanted = asked(
        content, chat=chat, guarded=any(p.worn for p in policies), here=gateway.backend.weighs, limits=rules.limits
    )  # fmt: skip
    wanted = _chosen(wanted, tenant, rules.edits)
    answering = Answering(gateway.backend, wanted, policies, rules.version, rules.limits.answer_seconds)
    gateway.under_way += 1
    try:
        return await (answering.streamed(request) if wanted.stream else answering.whole())
    finally:
        gateway.under_way -= 1
        request[ACTION] = gateway.meters.decided(answering.seen)
        gateway.meters.overhead.observe(answering.own_seconds)


def _chosen(wanted: Asked, tenant: Tenant, edits: tuple[str, ...]) -> Asked:
    """The request under the tenant's edit; a model that is not the tenant's is not there."""
    if tenant.models and wanted.model not in tenant.models:
        raise NO_MODEL
    return wanted.wearing(edit_of(tenant, wanted.edit, edits))


async def body(request: web.Request, patience: float) -> bytes:
    """The body, which must come in time, as JSON, not compressed, and not too large."""
    if request.content_type != errors.JSON:
        raise Refused(415, "unsupported_media_type", "the body is not said to be JSON; send application/json")
    if request.headers.get(hdrs.CONTENT_ENCODING, "identity") != "identity":
        raise Refused(415, "unsupported_encoding", "the body is compressed; send it as it is")
    try:
        async with asyncio.timeout(patience):
            return await request.read()
    except TimeoutError:
        raise Refused(408, "request_timeout", "the body did not come in time; send it again") from None


async def models(request: web.Request) -> web.StreamResponse:
    found: replies.Models = {"object": "list", "data": [_model(name) for name in await _names(request)]}
    return web.Response(body=to_json(found), content_type=errors.JSON)


async def model(request: web.Request) -> web.StreamResponse:
    name = request.match_info["model"]
    if name not in await _names(request):
        raise NO_MODEL
    return web.Response(body=to_json(_model(name)), content_type=errors.JSON)


def _model(name: str) -> replies.Model:
    return {"id": name, "object": "model", "created": MADE, "owned_by": "unteach"}


async def _names(request: web.Request) -> list[str]:
    """The models of a key, each also with the edits that it may be asked under."""
    gateway = request.app[GATEWAY]
    gateway.admit(request[KEY])
    tenant = gateway.rules.tenant(request[KEY])
    there = [name for name in await gateway.backend.models() if not tenant.models or name in tenant.models]
    return [*there, *(f"{name}{AT}{edit}" for name in there for edit in tenant.edits)]


async def health(_request: web.Request) -> web.StreamResponse:
    return web.json_response({"status": "ok"})


async def ready(request: web.Request) -> web.StreamResponse:
    gateway = request.app[GATEWAY]
    if gateway.draining:
        raise Refused(503, "draining", "the gateway is shutting down; ask another one")
    if not await gateway.backend.ready():
        raise Refused(503, "model_not_ready", "the model does not answer; wait, or start it")
    return web.json_response({"status": "ready"})


async def metrics(request: web.Request) -> web.StreamResponse:
    return web.Response(body=request.app[GATEWAY].meters.exposed(), content_type="text/plain", charset="utf-8")


async def described(_request: web.Request) -> web.StreamResponse:
    return web.Response(body=document(), content_type=errors.JSON)


async def reload(request: web.Request) -> web.StreamResponse:
    gateway: Gateway = request.app[GATEWAY]
    try:
        await gateway.reload()
    except InputError as wrong:
        raise Refused(422, "configuration_refused", str(wrong)) from None
    return web.json_response({"policy": gateway.rules.version})


ROUTES = (
    Route("POST", "/v1/chat/completions", chat),
    Route("POST", "/v1/completions", completions),
    Route("GET", "/v1/models", models),
    Route("GET", "/v1/models/{model}", model),
    Route("POST", "/admin/reload", reload, "admin"),
    Route("GET", "/metrics", metrics, "admin"),
    Route("GET", "/healthz", health, None),
    Route("GET", "/readyz", ready, None),
    Route("GET", "/openapi.json", described, None),
)
ROLES = {route.path: route.role for route in ROUTES}


def holder(gateway: Gateway, request: web.Request) -> Key:
    """Whose key came with a request; one that is none, or not enough, is refused."""
    scheme, _, token = request.headers.get(hdrs.AUTHORIZATION, "").partition(" ")
    found = gateway.rules.keys.holder(token.strip()) if scheme.lower() == "bearer" else None
    if found is None:
        raise Refused(401, "invalid_api_key", "no valid API key came with the request; send one as a bearer token")
    if ROLES[_path(request)] == "admin" and found.role != "admin":
        raise Refused(403, "not_allowed", "this key may not take this route; use an admin key")
    return found


def _path(request: web.Request) -> str:
    resource = request.match_info.route.resource
    return resource.canonical if resource is not None else ""


@web.middleware
async def around(
    request: web.Request, handler: Callable[[web.Request], Awaitable[web.StreamResponse]]
) -> web.StreamResponse:
    """Who comes is looked at first; every failure is told in one shape; everything is counted."""
    gateway, path = request.app[GATEWAY], _path(request)
    gateway.meters.under_way.inc()
    code = 499  # whoever asked has gone
    try:
        if ROLES.get(path) is not None:
            request[KEY] = holder(gateway, request)
        response = await handler(request)
        code = response.status
        return response
    except ConnectionError:
        raise
    except web.HTTPException as wrong:
        code = wrong.status
        return errors.of_http(wrong)
    except Exception as wrong:
        refused = errors.told(wrong)
        code = refused.status
        return errors.response(refused)
    finally:
        gateway.meters.under_way.dec()
        gateway.meters.requests.labels(path or "other", str(code), request.get(ACTION, "none")).inc()


async def expected(request: web.Request) -> web.StreamResponse | None:
    """Answer an Expect header; nothing but 100-continue can be expected."""
    if request.headers.get(hdrs.EXPECT, "").lower() != "100-continue":
        return errors.of_http(web.HTTPExpectationFailed())
    await request.writer.write(b"HTTP/1.1 100 Continue\r\n\r\n")
    request.writer.output_size = 0
    return None


def application(gateway: Gateway) -> web.Application:
    """The routes around a gateway."""
    app = web.Application(middlewares=[around], client_max_size=gateway.rules.limits.body_bytes)
    app[GATEWAY] = gateway
    for route in ROUTES:
        app.router.add_route(route.method, route.path, route.answer, expect_handler=expected)
    return app
