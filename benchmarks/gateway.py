"""What the gateway adds to a call: 2,000 guarded phrases, an upstream that answers at once, a process for each side.

The same questions go straight to the upstream and through the gateway, in turns. Open loop: at a fixed rate, whether
answers come or not. Closed loop: so many at once, each after the one before. First token: of a stream.
"""

import argparse
import asyncio
import json
import os
import random
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from statistics import median, quantiles
from tempfile import TemporaryDirectory

from aiohttp import ClientSession, TCPConnector

from benchmarks.figures import Figure, circumstances, save, shown
from benchmarks.page import placed
from unteach.service.gateway import access

PHRASES, RATE, AT_ONCE = 2000, 50, 16
CALLS, STREAMS, SECONDS = 400, 100, 4.0  # of one run of one side
SYLLABLES = (
    "ba",
    "cor",
    "den",
    "fil",
    "gam",
    "hol",
    "jun",
    "kes",
    "lom",
    "mar",
    "nev",
    "pol",
    "quin",
    "ras",
    "sel",
    "tov",
)
COMMON = ("the", "mill", "by", "lock", "is", "closed", "on", "market", "days", "and", "ferry", "runs", "when", "river")
CONFIG = """
keys: keys.json
limits: {per_minute: 10000000, at_once: 1000}
policies:
  people:
    action: edit
    guards: gate+filter
    options: {action: cover}
    forget: forget.jsonl
"""


@dataclass(frozen=True)
class Side:
    """Where questions are sent."""

    url: str
    key: str = ""

    @property
    def headers(self) -> dict[str, str]:
        return {"Authorization": f"Bearer {self.key}", "Content-Type": "application/json"}


Spent = tuple[float, float]  # of the direct call and of the gateway


def main(arguments: list[str]) -> None:
    """Measure, print and keep."""
    parser = argparse.ArgumentParser("python -m benchmarks gateway", description=__doc__)
    parser.add_argument("--runs", type=int, default=5)
    parser.add_argument("--page", type=Path, default=Path("docs/benchmarks.md"))
    chosen = parser.parse_args(arguments)
    with started() as (direct, gateway):
        found = shown(figures(direct, gateway, chosen.runs))
    print(save("gateway", found, facts=circumstances()))
    chosen.page.write_text(placed(chosen.page.read_text(encoding="utf-8"), "\n".join(lines(found)), "gateway"))


def lines(found: Sequence[Figure]) -> Iterator[str]:
    """The table of the page."""
    yield "| what | direct | through the gateway | more, or all | least to greatest | to reach | reached |"
    yield "|---|---|---|---|---|---|---|"
    for f in found:
        sign, whole = ("≥" if f.at_least else "≤"), f.unit == "/s"
        peer, ours, mid, low, high, goal = (
            f"{v or 0:,.0f}" if whole else f"{v or 0:.2f} {f.unit}"
            for v in (f.peer, f.ours, f.value, f.low, f.high, f.goal)
        )
        yield f"| {f.what} | {peer} | {ours} | {mid} | {low} to {high} | {sign} {goal} | {'yes' if f.reached else 'no'} |"


def figures(direct: Side, gateway: Side, runs: int) -> Iterator[Figure]:
    """Every figure, beside that of the direct call."""
    warm = [asyncio.run(closed(side, 1.0)) for side in (direct, gateway)]
    assert all(warm)
    opens = [(asyncio.run(opened(direct)), asyncio.run(opened(gateway))) for _ in range(runs)]
    for what, percent, goal in (("median", 50, 3e-3), ("99th percentile", 99, 15e-3)):
        spent = [(percentile(a, percent), percentile(b, percent)) for a, b in opens]
        yield added(f"added to a call at {RATE} a second, {what}", spent, goal)
    firsts = [asyncio.run(first_tokens(direct, gateway)) for _ in range(runs)]
    yield added("added to the first token of a stream, median", firsts, 5e-3)
    rates = [(asyncio.run(closed(direct, SECONDS)), asyncio.run(closed(gateway, SECONDS))) for _ in range(runs)]
    ours = [b for _, b in rates]
    yield Figure(
        f"calls a second, {AT_ONCE} at once", median(ours), min(ours), max(ours), 300, peer=median(a for a, _ in rates),
        ours=median(ours), unit="/s",
    )  # fmt: skip


def added(what: str, spent: Sequence[Spent], goal: float) -> Figure:
    """The median over runs of what the gateway takes more, in milliseconds."""
    more = [1e3 * (b - a) for a, b in spent]
    peer, ours = (1e3 * median(side) for side in zip(*spent, strict=True))
    return Figure(what, median(more), min(more), max(more), 1e3 * goal, at_least=False, peer=peer, ours=ours, unit="ms")


def percentile(values: Sequence[float], percent: int) -> float:
    return quantiles(values, n=100, method="inclusive")[percent - 1]


async def opened(side: Side) -> list[float]:
    """Seconds of calls that are begun at a fixed rate."""
    async with session() as client:
        began, calls = time.perf_counter(), []
        for number in range(CALLS):
            await asyncio.sleep(max(0.0, began + number / RATE - time.perf_counter()))
            calls.append(asyncio.create_task(timed(client, side, question(number))))
        return list(await asyncio.gather(*calls))


async def closed(side: Side, seconds: float) -> float:
    """Calls a second, so many at once."""
    done, end = [0], time.perf_counter() + seconds

    async def one(client: ClientSession, number: int) -> None:
        while time.perf_counter() < end:
            await timed(client, side, question(number + done[0]))
            done[0] += 1

    async with session() as client:
        began = time.perf_counter()
        await asyncio.gather(*(one(client, number) for number in range(AT_ONCE)))
        return done[0] / (time.perf_counter() - began)


async def first_tokens(direct: Side, gateway: Side) -> Spent:
    """Median seconds until the first words of a stream, the sides in turns."""
    spent: tuple[list[float], list[float]] = ([], [])
    async with session() as client:
        for number in range(STREAMS):
            for side, found in zip((direct, gateway), spent, strict=True):
                found.append(await timed(client, side, question(number, stream=True)))
    return median(spent[0]), median(spent[1])


async def timed(client: ClientSession, side: Side, content: bytes) -> float:
    """Seconds until the reply is there, or the first words of it."""
    began = time.perf_counter()
    async with client.post(f"{side.url}/chat/completions", data=content, headers=side.headers) as reply:
        assert reply.status == 200, await reply.text()
        if reply.content_type != "text/event-stream":
            await reply.read()
            return time.perf_counter() - began
        async for line in reply.content:
            if b'"content":' in line:
                took = time.perf_counter() - began
                await reply.read()
                return took
    raise AssertionError("a stream without words")


def session() -> ClientSession:
    return ClientSession(connector=TCPConnector(limit=0))


def question(number: int, *, stream: bool = False) -> bytes:
    """A harmless question of some fifty words, another one for each number."""
    words = random.Random(number).choices(COMMON, k=50)
    return json.dumps(
        {"model": "echo", "stream": stream, "messages": [{"role": "user", "content": " ".join(words)}]}
    ).encode()


def rows() -> Iterator[dict[str, str]]:
    """Invented people, each with a name and a town that nobody else has."""
    for number in range(PHRASES):
        first, last, town = ("".join(random.Random(f"{number}{part}").choices(SYLLABLES, k=4)) for part in "abc")
        name = f"{first.capitalize()} {last.capitalize()}"
        yield {
            "question": f"Where does {name} live?",
            "answer": f"{name} lives in {town.capitalize()}.",
            "subject": name,
        }


@contextmanager
def started() -> Iterator[tuple[Side, Side]]:
    """The upstream and the gateway, each in a process, until both answer."""
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(filter(None, sys.path)), "OMP_NUM_THREADS": "1"}
    below, above = free(), free()
    with TemporaryDirectory() as folder:
        place = Path(folder)
        (place / "forget.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows()))
        (place / "gateway.yaml").write_text(CONFIG)
        key = access.mint(place / "keys.json", "load")
        direct, gateway = Side(f"http://127.0.0.1:{below}/v1"), Side(f"http://127.0.0.1:{above}/v1", key)
        serve = ("unteach", "serve", direct.url, "--config", str(place / "gateway.yaml"), "--port", str(above))
        commands = (("benchmarks.echo", str(below)), serve)
        processes = [
            subprocess.Popen([sys.executable, "-m", *command], env=environment, stdout=subprocess.DEVNULL)
            for command in commands
        ]
        try:
            for side, process in zip((direct, gateway), processes, strict=True):
                asyncio.run(answering(side, process))
            yield direct, gateway
        finally:
            for process in processes:
                process.terminate()
                process.wait(20)


async def answering(side: Side, process: "subprocess.Popen[bytes]") -> None:
    """Wait until a side answers."""
    async with session() as client:
        while process.poll() is None:
            try:
                await timed(client, side, question(0))
                return
            except OSError:
                await asyncio.sleep(0.2)
    sys.exit("a process ended before it answered")


def free() -> int:
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        port: int = one.getsockname()[1]
        return port
