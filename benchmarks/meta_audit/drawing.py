"""The heat map: which metric exposes which cheat."""

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from benchmarks.meta_audit.matrix import Line
from unteach.report.atomic import folder, put
from unteach.report.drawing import panels, style, to_bytes

NAME = "meta-audit"
ROW, COLUMN = 0.19, 0.36  # inches
LEFT_OUT = ("original", "retrained", "honest", "partial")


def draw(
    found: Sequence[Line], attacks: Mapping[str, Mapping[str, float]], flagged: Mapping[str, float], place: Path
) -> Path:
    """Save PLACE/meta-audit.svg: rows are metrics, attacks and the verdict, columns the references and the cheats."""
    families = ["retrained", *(f for f in flagged if f not in LEFT_OUT)]
    blocks = [
        ("on the rows to forget", {line.metric: line.exposed for line in found if line.set == "forget"}),
        ("on the rows to keep", {line.metric: line.exposed for line in found if line.set == "retain"}),
        ("attacks", attacks),
        ("all together", {"verdict": flagged}),
    ]
    rows = [(title, name, exposed) for title, lines in blocks for name, exposed in lines.items()]
    values = np.array([[exposed.get(f, np.nan) for f in families] for _, _, exposed in rows], dtype=float)
    with style(NAME, {"axes.grid": False}):
        figure, (axes,) = panels(1, width=2.2 + COLUMN * len(families), height=1.6 + ROW * len(rows))
        shade = axes.imshow(values, aspect="auto", vmin=0, vmax=1, cmap="Blues", interpolation="nearest")
        axes.set_yticks(range(len(rows)), [name for _, name, _ in rows], fontsize=7.5)
        axes.set_xticks(range(len(families)), families, fontsize=8, rotation=50, ha="left", rotation_mode="anchor")
        axes.xaxis.tick_top()
        axes.tick_params(length=0)
        for at in _edges([title for title, _, _ in rows]):
            axes.axhline(at - 0.5, color="#767676", linewidth=1.0)
        axes.axvline(0.5, color="#767676", linewidth=1.0)
        for y, x in zip(*np.nonzero(np.isnan(values)), strict=True):
            axes.text(x, y, "–", ha="center", va="center", fontsize=7, color="#767676")
        figure.colorbar(shade, ax=axes, shrink=0.35, aspect=18, pad=0.02, label="share exposed")
        content = to_bytes(figure, "svg")
    return put(folder(place) / f"{NAME}.svg", content)


def _edges(titles: Sequence[str]) -> list[int]:
    """Where one block of rows ends and the next begins."""
    return [n for n in range(1, len(titles)) if titles[n] != titles[n - 1]]
