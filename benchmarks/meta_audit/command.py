"""The audit is audited: models of known upbringing are judged, honest ones and cheats, and every metric beside them.

Everything is made, asked and attacked once and kept under --out, so a run that was stopped goes on where it was.
"""

import argparse
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from functools import partial
from multiprocessing import get_context
from pathlib import Path
from time import perf_counter, process_time

import torch

from benchmarks.figures import RESULTS, table
from benchmarks.meta_audit.asking import ask
from benchmarks.meta_audit.drawing import draw
from benchmarks.meta_audit.enduring import chosen as tried
from benchmarks.meta_audit.enduring import endure
from benchmarks.meta_audit.found import FoundOut, found_out, save
from benchmarks.meta_audit.making import make
from benchmarks.meta_audit.page import text
from benchmarks.meta_audit.pool import Member, pool
from benchmarks.meta_audit.world import World
from benchmarks.page import placed
from unteach.report.atomic import folder

STAGES = ("taught", "made", "asked", "written")
LEAST = 0.05  # seconds: what took less was there already


def main(arguments: list[str]) -> None:
    """Make the pool, ask it, judge it, and write what was found."""
    parser = argparse.ArgumentParser("python -m benchmarks meta-audit", description=__doc__)
    parser.add_argument("--out", type=Path, default=Path("runs/meta_audit"))
    parser.add_argument("--small", action="store_true", help="a pool of a few models, to see that everything runs")
    parser.add_argument("--workers", type=int, default=2, help="processes, of one thread each")
    parser.add_argument("--until", choices=STAGES, default=STAGES[-1])
    parser.add_argument("--page", type=Path, default=Path("docs/meta-audit.md"))
    chosen = parser.parse_args(arguments)
    world, members, out = World(), pool(small=chosen.small), chosen.out
    last = STAGES.index(chosen.until)
    taught = [m for m in members if m.known is not None]
    edited = [m for m in members if m.edits]
    stages = [("make", taught, make), ("make", edited, make), ("ask", members, ask), ("endure", tried(members), endure)]
    with ProcessPoolExecutor(chosen.workers, mp_context=get_context("spawn")) as workers:
        for what, some, do in stages[: last + 1]:
            _all(workers, [partial(_alone, what, m.name, partial(do, m, world, folder(out)), out) for m in some])
    if chosen.until == STAGES[-1]:
        _write(found_out(members, world, out), members, chosen.page, out if chosen.small else RESULTS)


def _write(found: FoundOut, members: Sequence[Member], page: Path, results: Path) -> None:
    """The page's part, its figure and the JSON; of a small pool only the JSON and the figure, and not beside the others."""
    print("\n".join(table(found.figures)), flush=True)
    small = results != RESULTS
    draw(found.lines, found.attacks, found.flagged, results if small else page.parent / "figures")
    print(save(found, members, results))
    if not small:
        page.write_text(placed(page.read_text(encoding="utf-8"), text(found), "meta-audit"), encoding="utf-8")
        print(page)


def _all(workers: ProcessPoolExecutor, tasks: Sequence[Callable[[], str]]) -> None:
    began = perf_counter()
    for n, done in enumerate(as_completed([workers.submit(task) for task in tasks]), 1):
        print(f"[{n}/{len(tasks)}, {perf_counter() - began:.0f} s] {done.result()}", flush=True)


def _alone(what: str, name: str, task: Callable[[], None], out: Path) -> str:
    """One part in a process with one thread; the time it took is noted, since a run may be resumed."""
    torch.set_num_threads(1)
    began, spent = perf_counter(), process_time()
    task()
    took = perf_counter() - began, process_time() - spent
    if took[1] > LEAST:
        with (out / "times.csv").open("a", encoding="utf-8") as file:
            file.write(f"{what},{name.replace(',', ';')},{took[0]:.2f},{took[1]:.2f}\n")
    return f"{what} {name}: {took[0]:.1f} s, {took[1]:.1f} of them on the processor"
