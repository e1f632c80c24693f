"""What each method leaves of the forgotten answers and what comes back, beside what it keeps: one line a method."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks.tables import TITLES
from unteach.report.atomic import folder, put
from unteach.report.drawing import COLOURS, head, panels, style, to_bytes


@dataclass(frozen=True)
class Line:
    """A method: what is told of the forgotten as it comes out, after relearning, after rounding, and what is kept."""

    name: str
    told: float | None
    relearnt: float | None
    rounded: float | None
    kept: float | None


def draw(world: str, lines: Sequence[Line], place: Path) -> Path:
    """Save PLACE/methods-WORLD.svg; the first line is the retrained model, whose levels run through."""
    shown = [*lines][::-1]
    with style(f"methods-{world}", {}):
        figure, (goes, stays) = panels(2, width=7.2, height=1.0 + 0.19 * len(shown), across=2)
        _goes(goes, shown)
        _dots(stays, [line.kept for line in shown], "green", "s", "ROUGE-L of kept answers")
        for axes in (goes, stays):
            axes.set(xlim=(-0.03, 1.03), ylim=(-0.7, len(shown) - 0.3))
        goes.set_yticks(range(len(shown)), [line.name for line in shown], fontsize=8)
        stays.set_yticks(range(len(shown)), [""] * len(shown))
        head(goes, f"{TITLES[world]}: told of the forgotten")
        head(stays, "kept")
        figure.legend(loc="outside lower center", ncols=2, frameon=False, fontsize=8.5)
        content = to_bytes(figure, "svg")
    return put(folder(place) / f"methods-{world}.svg", content)


def _goes(axes: Any, shown: Sequence[Line]) -> None:
    """A dot where the method leaves off, an arrow to where relearning brings it, a cross for rounding."""
    for level, colour in ((shown[-1].told, "blue"), (shown[-1].relearnt, "red")):
        if level is not None:
            axes.axvline(level, color=COLOURS[colour], linewidth=1.2, alpha=0.45)
    for at, line in enumerate(shown):
        if line.told is not None and line.relearnt is not None:
            arrow = {
                "arrowstyle": "->",
                "color": COLOURS["red"],
                "linewidth": 1.2,
                "shrinkA": 0,
                "shrinkB": 0,
                "mutation_scale": 7,
            }
            axes.annotate("", (line.relearnt, at), (line.told, at), arrowprops=arrow)
    _dots(axes, [line.told for line in shown], "blue", "o", "as it comes out")
    _dots(axes, [line.relearnt for line in shown], "red", "|", "after relearning a fifth")
    _dots(axes, [line.rounded for line in shown], "purple", "x", "after rounding")


def _dots(axes: Any, values: Sequence[float | None], colour: str, marker: str, said: str) -> None:
    there = [(value, at) for at, value in enumerate(values) if value is not None]
    axes.plot([v for v, _ in there], [at for _, at in there], color=COLOURS[colour], marker=marker, markersize=4.2,
              linestyle="", label=said)  # fmt: skip
