"""What a client is told when it gets no answer, in OpenAI's shape; nothing of what it sent is in it."""

from collections.abc import Mapping
from logging import getLogger
from traceback import extract_tb

from aiohttp import web
from pydantic_core import to_json
from typing_extensions import TypedDict  # pydantic wants it before Python 3.12

from unteach.service.gateway.backend import Refused

LOG = getLogger("unteach.gateway")
KINDS = {401: "authentication_error", 403: "permission_error", 404: "not_found_error", 429: "rate_limit_error"}
JSON = "application/json"


class Wrong(TypedDict):
    """What is wrong: a sentence, its kind, the field of the request, and a code for programs."""

    message: str
    type: str
    param: str | None
    code: str | None


class ErrorReply(TypedDict):
    """An error."""

    error: Wrong


SENTENCES = {
    404: ("unknown_url", "there is nothing here; the routes stand in /openapi.json"),
    405: ("method_not_allowed", "this route has other methods; they stand in /openapi.json"),
    413: ("request_too_large", "the body is too large; send less"),
    417: ("expectation_failed", "only 100-continue can be expected; leave the header out"),
}
LATE = Refused(504, "timeout", "the answer takes longer than the gateway waits; ask for a shorter one")
BROKEN = Refused(500, "internal_error", "something broke in the gateway; tell the operator")


def told(wrong: Exception) -> Refused:
    """What a client is told of any failure; of those that nobody foresaw, the log has the place and no words."""
    if isinstance(wrong, Refused):
        return wrong
    if isinstance(wrong, TimeoutError):
        return LATE
    place = extract_tb(wrong.__traceback__)[-1]
    LOG.error("failed: %s in %s, line %s", type(wrong).__name__, place.filename, place.lineno)
    return BROKEN


def shape(refused: Refused) -> ErrorReply:
    """An error as it is sent."""
    kind = KINDS.get(refused.status, "server_error" if refused.status >= 500 else "invalid_request_error")
    return {"error": {"message": refused.sentence, "type": kind, "param": refused.param or None, "code": refused.code}}


def response(refused: Refused, headers: Mapping[str, str] | None = None) -> web.Response:
    """An error as a response."""
    told = dict(headers or {})
    if refused.wait is not None:
        told["Retry-After"] = str(refused.wait)
    if refused.status == 401:
        told["WWW-Authenticate"] = "Bearer"
    return web.Response(body=to_json(shape(refused)), status=refused.status, headers=told, content_type=JSON)


def of_http(wrong: web.HTTPException) -> web.Response:
    """What the library refuses, said in the same shape and without the words of the library."""
    code, sentence = SENTENCES.get(wrong.status, ("bad_request", "the request cannot be read; send HTTP/1.1"))
    kept = {name: wrong.headers[name] for name in ("Allow",) if name in wrong.headers}
    return response(Refused(wrong.status, code, sentence), kept)
