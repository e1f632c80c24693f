"""Connections: what is no HTTP is told so in the gateway's own words, and whoever sends no request is not waited for."""

import asyncio
from logging import CRITICAL, getLogger

from aiohttp import web

from unteach.service.gateway import errors
from unteach.service.gateway.backend import Refused

SILENT = getLogger("unteach.gateway.http")  # what the library says of a broken request may repeat it
SILENT.setLevel(CRITICAL + 1)
UNREADABLE = Refused(400, "bad_request", "the request cannot be read; send HTTP/1.1")
LINGER = 1.0  # seconds that an unread body is read on after its refusal, so that the refusal is seen


class Connection(web.RequestHandler):
    """A connection that answers what is no HTTP in the gateway's own words."""

    def handle_error(
        self,
        request: web.BaseRequest,
        status: int = 500,
        exc: BaseException | None = None,  # noqa: ARG002 - it may hold what was sent
        message: str | None = None,  # noqa: ARG002
    ) -> web.StreamResponse:
        if request.writer.output_size > 0:
            raise ConnectionError("a response is under way")
        made = errors.response(UNREADABLE if status < 500 else errors.BROKEN)
        made.force_close()
        return made


def connected(server: web.Server, loop: asyncio.AbstractEventLoop, patience: float) -> Connection:
    """A new connection of a server, which is closed where no whole head of a request comes for so many seconds."""
    return Connection(
        server, loop=loop, access_log=None, logger=SILENT, auto_decompress=False,  # type: ignore[arg-type]
        keepalive_timeout=patience, lingering_time=min(LINGER, patience),
    )  # fmt: skip
