"""The see-saw as a figure: what each model expects where an answer tells, one stroke a row."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from unteach.report.atomic import folder, put
from unteach.report.drawing import COLOURS, head, panels, standing, style

Tokens = Mapping[str, Sequence[Mapping[str, float]]]  # of each model, at each row
SHOWN = (
    ("gold", "log p of the answer's token"), ("top", "p of the likeliest token"), ("strange", "p of all strange tokens"),
)  # fmt: skip
HUES = ("grey", "green", "red", "brown", "purple", "purple", "blue")
TALL = 0.3
LEAST = -30.0  # what is less likely stands at the edge


def draw(found: Mapping[str, Tokens], names: Sequence[str], place: Path) -> Path:
    """Save PLACE/seesaw.svg: a world a line, thin strokes for rows, bars for their median and quartiles."""
    with style("seesaw", {}):
        figure, axes = panels(len(SHOWN) * len(found), width=9.6, height=0.5 + 2.5 * len(found), across=len(SHOWN))
        for n, (world, of) in enumerate(found.items()):
            for k, (what, title) in enumerate(SHOWN):
                _panel(axes[n * len(SHOWN) + k], {name: of[name] for name in names}, what)
                head(axes[n * len(SHOWN) + k], f"{world}: {title}" if k == 0 else title)
        content = standing(figure)
    return put(folder(place) / "seesaw.svg", content)


def _panel(axes: Any, of: Tokens, what: str) -> None:
    names = list(of)
    for y, name in enumerate(reversed(names)):
        colour = COLOURS[HUES[names.index(name) % len(HUES)]]
        values = np.array([max(LEAST, row[what]) for row in of[name]])
        axes.plot(
            *strokes(np.unique(values.round(1 if what == "gold" else 2)), y), color=colour, linewidth=0.6, alpha=0.55
        )
        low, middle, high = np.quantile(values, (0.25, 0.5, 0.75))
        axes.plot([low, high], [y, y], color=colour, linewidth=3, solid_capstyle="butt")
        axes.plot([middle], [y], "|", color=colour, markersize=13, markeredgewidth=2.2)
    axes.set_yticks(range(len(names)), names[::-1], fontsize=8.5)
    axes.tick_params(axis="x", labelsize=8)
    axes.grid(axis="y", visible=False)
    axes.set(ylim=(-0.6, len(names) - 0.4), xlim=(LEAST - 1, 1) if what == "gold" else (-0.04, 1.04))


def strokes(values: np.ndarray, y: float) -> tuple[np.ndarray, np.ndarray]:
    """A short upright stroke at each value, as one broken line: a small file for many rows."""
    xs = np.column_stack([values, values, np.full(len(values), np.nan)]).ravel()
    return xs, np.tile([y - TALL, y + TALL, np.nan], len(values))
