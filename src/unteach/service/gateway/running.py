"""A gateway from its start to its end: it listens, reloads on SIGHUP, and drains before it goes."""

import asyncio
import gc
import signal
from collections.abc import Callable
from contextlib import suppress
from logging import getLogger
from typing import Any

from aiohttp import web

from unteach.schema import InputError
from unteach.service.gateway.connections import connected
from unteach.service.gateway.gateway import Gateway
from unteach.service.gateway.routes import application

try:
    import uvloop as loops
except ModuleNotFoundError:  # there is none for Windows
    import asyncio as loops  # type: ignore[no-redef]

LOG = getLogger("unteach.gateway")
BACKLOG = 1024
TICK = 0.02  # seconds between looks at what is still under way


def run_until_told(gateway: Gateway, host: str, port: int, listening: Callable[[int], object]) -> None:
    """Serve until the process is told to end; `listening` hears the port."""
    with asyncio.Runner(loop_factory=loops.new_event_loop) as runner:
        runner.run(run(gateway, host, port, listening))


async def run(gateway: Gateway, host: str, port: int, listening: Callable[[int], object]) -> None:
    """The same, in a loop that is there."""
    loop, stop, tasks = asyncio.get_running_loop(), asyncio.Event(), set[asyncio.Task[None]]()

    def again() -> None:
        task = loop.create_task(_reloaded(gateway))
        tasks.add(task)
        task.add_done_callback(tasks.discard)

    loop.set_exception_handler(_unforeseen)
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    loop.add_signal_handler(signal.SIGHUP, again)
    gc.collect()
    gc.freeze()  # what is loaded is looked through no more, neither between requests nor for seconds at the end
    await serve(gateway, host, port, listening, stop)


def _unforeseen(_loop: asyncio.AbstractEventLoop, told: dict[str, Any]) -> None:
    """What failed where nobody waited for it; its words may be those of a conversation."""
    LOG.error("failed: %s", type(told.get("exception")).__name__)


async def _reloaded(gateway: Gateway) -> None:
    with suppress(InputError):  # it has been told to the log
        await gateway.reload()


async def serve(
    gateway: Gateway, host: str, port: int, listening: Callable[[int], object], stop: asyncio.Event
) -> None:
    """Serve until `stop`; then refuse what is new, let what is under way end in time, and cancel the rest."""
    loop, patience = asyncio.get_running_loop(), gateway.rules.limits.receive_seconds
    runner = web.AppRunner(application(gateway), handler_cancellation=True, access_log=None, shutdown_timeout=TICK)
    await runner.setup()
    server = runner.server
    assert server is not None
    gateway.meters.open.set_function(lambda: len(server.connections))
    try:
        listener = await loop.create_server(lambda: connected(server, loop, patience), host, port, backlog=BACKLOG)
    except OSError as refused:
        await runner.cleanup()
        raise InputError(f"{host}:{port}: cannot be listened on ({refused.strerror}); name another --port") from None
    try:
        listening(listener.sockets[0].getsockname()[1])
        await stop.wait()
        gateway.draining = True
        await _drained(gateway)
    finally:
        listener.close()
        server.pre_shutdown()
        await runner.cleanup()
        await gateway.backend.close()


async def _drained(gateway: Gateway) -> None:
    """Wait for what is under way, but not for long."""
    with suppress(TimeoutError):
        async with asyncio.timeout(gateway.rules.limits.drain_seconds):
            while gateway.under_way:
                await asyncio.sleep(TICK)
