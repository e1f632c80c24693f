"""Connections that send no whole request are closed in time, while others are served."""

import asyncio
import socket
import time

import pytest
from running import Place, opened, stubbed
from stub import Stub

BODY = 'Content-Type: application/json\r\nContent-Length: 500\r\n\r\n{"model"'


def half_open(kind: int, key: str) -> bytes:
    """Nothing, a part of a request line, a part of the headers, a part of the body, and a request after a whole one."""
    head = f"POST /v1/chat/completions HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {key}\r\n"
    whole = "GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n"
    parts = (
        "",
        "POST /v1",
        head,
        head + BODY,
        whole + head,
        head + "Transfer-Encoding: chunked\r\n" + BODY[:-8] + "5\r\n{",
    )
    return parts[kind % len(parts)].encode()


async def health(port: int, until: asyncio.Event) -> list[float]:
    """How long /healthz takes, asked again and again."""
    found = []
    while not until.is_set():
        began = time.perf_counter()
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(b"GET /healthz HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
        assert b"200" in await reader.readline()
        await reader.read()
        writer.close()
        found.append(time.perf_counter() - began)
        await asyncio.sleep(0.02)
    return found


async def besieged(place: Place, count: int, patience: float) -> tuple[float, float]:
    """Seconds until the last of many half-open connections was closed, and the 99th percentile of /healthz meanwhile."""
    over = asyncio.Event()
    asking = asyncio.create_task(health(place.port, over))
    began = time.monotonic()
    pairs = [await asyncio.open_connection("127.0.0.1", place.port) for _ in range(count)]
    for number, (_, writer) in enumerate(pairs):
        writer.write(half_open(number, place.key))

    async def closed(reader: asyncio.StreamReader) -> None:
        try:
            while await reader.read(4096):
                pass
        except ConnectionError:
            pass

    async with asyncio.timeout(patience):
        await asyncio.gather(*(closed(reader) for reader, _ in pairs))
    took = time.monotonic() - began
    over.set()
    found = sorted(await asking)
    for _, writer in pairs:
        writer.close()
    return took, found[int(0.99 * (len(found) - 1))]


def test_half_open_connections_are_closed_in_time(url: str) -> None:
    with opened(url, receive_seconds=1.0) as place:
        took, _ = asyncio.run(besieged(place, 60, 5.0))
        assert 0.9 < took < 3.5
        assert place("x").choices


@pytest.mark.slow
def test_five_hundred_half_open_connections_are_closed_within_fifteen_seconds(url: str) -> None:
    with opened(url) as place:
        took, slowest = asyncio.run(besieged(place, 500, 30.0))
        print(f"closed after {took:.1f} s, /healthz p99 {slowest * 1000:.1f} ms")
        assert took < 15
        assert slowest < 0.1


def test_who_waits_for_an_answer_is_not_closed() -> None:
    with stubbed(Stub(pause=1.2)) as slow, opened(slow, receive_seconds=0.3) as place:
        assert place("x").choices


def test_a_body_that_stops_is_told_so(url: str) -> None:
    with opened(url, receive_seconds=0.5) as place, socket.create_connection(("127.0.0.1", place.port), 5) as one:
        one.sendall(half_open(3, place.key))
        assert one.recv(4096).startswith(b"HTTP/1.1 408")
