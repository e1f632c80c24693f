"""What was found: figures with what they should reach, as a table, and as JSON with the circumstances."""

import argparse
import json
import os
import platform
import subprocess
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, fields
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from statistics import median
from typing import Any

import torch

from benchmarks.paired import FEWEST, Pairs

RESULTS = Path(__file__).parent / "results"
MOVING = ("commit", "date")  # circumstances in which runs may differ and still stand side by side


@dataclass(frozen=True)
class Figure:
    """One line of the table: a value between `low` and `high`, and the `goal` it should reach from above or below.

    `peer` and `ours` are medians in `unit`; `wall` is the ratio of the wall times where `value` is one of
    processor times.
    """

    what: str
    value: float
    low: float
    high: float
    goal: float
    at_least: bool = True
    peer: float | None = None
    ours: float | None = None
    unit: str = "s"
    wall: float | None = None

    @property
    def reached(self) -> bool:
        return self.value >= self.goal if self.at_least else self.value <= self.goal


def ratio(
    what: str, goal: float, spent: tuple[Pairs, Pairs], *, per: int = 1, device: str = "cpu", at_least: bool = True
) -> Figure:
    """The median ratio of the pairs as a figure; times are given for one of `per` steps.

    `at_least` false turns the ratio round: what ours costs in units of the other. On a processor it is the ratio
    of processor times, which other work on the machine disturbs less; on an accelerator that of wall times.
    """
    cpu, wall = (p.ratios if at_least else [1 / r for r in p.ratios] for p in spent)
    ratios, times = (cpu, spent[0]) if device == "cpu" else (wall, spent[1])
    return Figure(
        what, median(ratios), min(ratios), max(ratios), goal, at_least,
        median(times.peer) / per, median(times.ours) / per, wall=median(wall),
    )  # fmt: skip


def parser_of(
    name: str, about: str | None, *, data: str = "folder with TOFU's JSON files, or locuslab/TOFU"
) -> argparse.ArgumentParser:  # fmt: skip
    """What every one of these benchmarks is told."""
    parser = argparse.ArgumentParser(f"python -m benchmarks {name}", description=about)
    parser.add_argument("--data", required=True, help=data)
    parser.add_argument("--pairs", type=int, default=FEWEST, help=f"runs of each side, at least {FEWEST}")
    parser.add_argument("--device", default="cpu", help="cpu or cuda")
    return parser


def circumstances(device: str = "cpu") -> dict[str, str]:
    """Machine, versions, commit and date."""
    found = {"machine": _machine(), "device": "cpu, 1 thread" if device == "cpu" else torch.cuda.get_device_name()}
    found |= {"python": platform.python_version()} | {p: version(p) for p in ("torch", "transformers")}
    return found | {"commit": _commit(), "date": datetime.now(UTC).date().isoformat()}


def _machine() -> str:
    known = Path("/proc/cpuinfo")
    lines = known.read_text(encoding="utf-8").splitlines() if known.exists() else []
    model = next((line.partition(":")[2].strip() for line in lines if line.startswith("model name")), "")
    return f"{model or platform.processor() or platform.machine()}, {os.cpu_count()} cores"


def _commit() -> str:
    def git(*arguments: str) -> str:
        done = subprocess.run(
            ["git", *arguments], cwd=Path(__file__).parent, capture_output=True, text=True, check=False
        )
        return done.stdout.strip()

    commit = git("rev-parse", "--short=12", "HEAD")
    return f"{commit} with changes" if commit and git("status", "--porcelain", "--", "../src", ".") else commit


def save(
    name: str, figures: Sequence[Figure], *, facts: Mapping[str, str], folder: Path = RESULTS, merge: bool = False
) -> Path:  # fmt: skip
    """Write the figures with their circumstances to NAME.json.

    With `merge`, figures of other lines that were found on the same machine with the same versions stay, each with the
    commit at which it was found.
    """
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{name}.json"
    found = {f.what: asdict(f) | {"reached": f.reached, "commit": facts["commit"]} for f in figures}
    if merge and path.exists():
        found = _like(json.loads(path.read_text(encoding="utf-8")), facts) | found
    content = {"circumstances": dict(facts), "figures": list(found.values())}
    path.write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")
    return path


def _like(content: Mapping[str, Any], facts: Mapping[str, str]) -> dict[str, dict[str, Any]]:
    """The figures of an earlier run by what they are of, if they were found under like circumstances."""
    before, now = ({k: v for k, v in f.items() if k not in MOVING} for f in (content["circumstances"], facts))
    return {f["what"]: f for f in content["figures"]} if before == now else {}


def kept(path: Path) -> list[str]:
    """A file of results as Markdown: its table, and a line of circumstances."""
    content = json.loads(path.read_text(encoding="utf-8"))
    figures, facts = content["figures"], content["circumstances"]
    known = {f.name for f in fields(Figure)}
    lines = table([Figure(**{k: v for k, v in f.items() if k in known}) for f in figures])
    versions = f"Python {facts['python']}, PyTorch {facts['torch']}, transformers {facts['transformers']}"
    found = [
        *lines,
        "",
        f"{facts['machine']}; {facts['device']}; {versions}; commit {facts['commit']}, {facts['date']}.",
    ]
    for commit in dict.fromkeys(f["commit"] for f in figures if f["commit"] != facts["commit"]):
        older = "; ".join(f["what"] for f in figures if f["commit"] == commit)
        found += ["", f"Not measured again since commit {commit}: {older}."]
    return found


def shown(figures: Iterable[Figure]) -> list[Figure]:
    """The figures, each printed as soon as it is found."""
    found: list[Figure] = []
    print("\n".join(table(found)), flush=True)
    for figure in figures:
        found.append(figure)
        print(table(found)[-1], flush=True)
    return found


def table(figures: Sequence[Figure]) -> list[str]:
    """The figures as the lines of a Markdown table."""
    rows = ["| what | straightforward | ours | ratio | spread | to reach | reached |", "|---" * 7 + "|"]
    for f in figures:
        sides = ["–" if side is None else f"{side:.3g} {f.unit}" for side in (f.peer, f.ours)]
        sign = "≥" if f.at_least else "≤"
        cells = [f.what, *sides, _shown(f.value, f), f"{_shown(f.low, f)} – {_shown(f.high, f)}",
                 f"{sign} {_shown(f.goal, f)}", "yes" if f.reached else "no"]  # fmt: skip
        rows.append(f"| {' | '.join(cells)} |")
    return rows


def _shown(value: float, figure: Figure) -> str:
    return f"{100 * value:.1f} %" if figure.unit == "%" else f"{value:.2f}"
