"""The figures of a comparison of methods: what each forgets against what it keeps, and a radar chart of all sides."""

from collections.abc import Mapping, Sequence
from math import cos, pi, sin
from typing import Any

from unteach.report.drawing import INK, Mark, Stroke, label, panels
from unteach.report.pareto import EDITED, ORIGINAL, RETRAINED, Point
from unteach.report.radar import Spoke

GUIDE = {"color": INK, "alpha": 0.45, "linewidth": 0.9, "linestyle": (0, (2, 2))}
LEAST = 3  # sides of a polygon
RINGS = (0.25, 0.5, 0.75, 1.0)


def pareto(points: Sequence[Point], known: Mapping[str, Stroke], measure: str, tau: float | None) -> Any:
    """Curves over the parts of each edit, thin for a seed and thick for the mean; rings mark what no point beats."""
    if not any(p.role == EDITED for p in points):
        return None
    figure, (axes,) = panels(1, width=5.4, height=4.4)
    marks: list[Mark] = []
    for name, stroke in known.items():
        mine = [p for p in points if p.model == name]
        for seed in dict.fromkeys(p.seed for p in mine if p.seed is not None):
            _path(axes, [p for p in mine if p.seed == seed], stroke, alpha=0.3, linewidth=0.9, markersize=4)
        means = [p for p in mine if p.seed is None]
        if means:
            _path(axes, means, stroke, alpha=1, linewidth=1.8, markersize=7.5)
            axes.plot(*_xy(means), ".", color=stroke.colour, markersize=4)
            marks.append((stroke.label, stroke.colour, *_xy(means)))
    ahead = [p for p in points if p.front]
    axes.plot(*_xy(ahead), "o", markersize=13, markerfacecolor="none", markeredgecolor=INK, markeredgewidth=1,
              label="front: no other is as near to the goal and keeps more")  # fmt: skip
    _guides(axes, points, tau)
    axes.set_xlabel(f"what had to go: {measure}")
    axes.set_ylabel(f"what had to stay: {measure}")
    axes.margins(0.1)
    figure.legend(loc="outside lower center", frameon=False, fontsize=9)
    label(figure, [(axes, marks)])
    return figure


def _path(
    axes: Any, points: Sequence[Point], stroke: Stroke, *, alpha: float, linewidth: float, markersize: float
) -> None:
    """A curve along alpha, with a marker where methods keep equally much; a model that is no curve is a marker."""
    curve = sorted((p for p in points if p.alpha is not None), key=lambda p: p.alpha or 0.0)
    axes.plot(*_xy(curve), color=stroke.colour, linestyle=stroke.dash, linewidth=linewidth, alpha=alpha)
    marked = [p for p in points if p.equal or p.alpha is None]
    axes.plot(*_xy(marked), stroke.marker, color=stroke.colour, alpha=alpha, markersize=markersize)


def _guides(axes: Any, points: Sequence[Point], tau: float | None) -> None:
    """Where the retrained model's forgetting lies, and where the share that all have to keep does."""
    for p in points:
        if p.seed is None and p.role == RETRAINED:
            axes.axvline(p.forget, **GUIDE)
        if p.seed is None and p.role == ORIGINAL and tau is not None:
            axes.axhline(tau * p.retain, **GUIDE)


def _xy(points: Sequence[Point]) -> tuple[list[float], list[float]]:
    return [p.forget for p in points], [p.retain for p in points]


def radar(spokes: Sequence[Spoke], known: Mapping[str, Stroke]) -> Any:
    """A polygon a method, on the axes that were measured; nothing for fewer than three."""
    names = list(dict.fromkeys(s.axis for s in spokes))
    if len(names) < LEAST:
        return None
    figure, (axes,) = panels(1, width=4.7, height=4.5)
    axes.set(aspect="equal", xlim=(-1.45, 1.45), ylim=(-1.2, 1.25))
    axes.axis("off")
    way = {name: pi / 2 - 2 * pi * i / len(names) for i, name in enumerate(names)}
    for ring in RINGS:
        axes.plot(*_closed([(ring, angle) for angle in way.values()]), color=INK, alpha=0.22, linewidth=0.7)
    for name, angle in way.items():
        x, y = cos(angle), sin(angle)
        axes.plot([0, x], [0, y], color=INK, alpha=0.22, linewidth=0.7)
        side = "center" if abs(x) < 0.1 else "left" if x > 0 else "right"
        axes.text(1.08 * x, 1.1 * y, name, ha=side, va="center", fontsize=9.5)
    for model, stroke in known.items():
        corners = [(s.share, way[s.axis]) for s in spokes if s.model == model]
        if corners:
            axes.plot(*_closed(corners), color=stroke.colour, linestyle=stroke.dash, marker=stroke.marker,
                      markersize=5, linewidth=1.6, label=stroke.label)  # fmt: skip
    figure.legend(loc="outside lower center", ncols=3, frameon=False, fontsize=9.5)
    return figure


def _closed(corners: Sequence[tuple[float, float]]) -> tuple[list[float], list[float]]:
    """The outline of a polygon from its corners, each a radius and an angle."""
    round_trip = [*corners, corners[0]]
    return [r * cos(a) for r, a in round_trip], [r * sin(a) for r, a in round_trip]
