"""How figures look: strokes that survive grey print, labels beside what they name, and SVG fit to be inlined.

matplotlib is an optional extra, so it is imported where it is used.
"""

import re
import warnings
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.util import find_spec
from io import BytesIO
from itertools import pairwise
from typing import Any

from unteach.report.table import Column, columns
from unteach.report.visible import one_line
from unteach.schema import Report

Mark = tuple[str, str, Sequence[float], Sequence[float]]  # a text, its colour, the xs and ys it names
Box = tuple[float, float, float, float]  # left, low, right, high, in pixels
INK = "#010203"  # stands for the page's text colour; black where a figure stands alone
LIGHT_INK = "#e8e8e8"
COLOURS: Mapping[str, str] = {  # CSS variable: colour that reads on white and on near-black
    "grey": "#767676",
    "green": "#1e8f63",
    "blue": "#2277bb",
    "red": "#d0561e",
    "purple": "#a5579b",
    "brown": "#8c6a2f",
}
EDITED = ("blue", "red", "purple", "brown")
MARKERS = ("D", "^", "v", "P", "X")
DASHES: tuple[Any, ...] = ((0, ()), (0, (5, 1.6)), (0, (1.2, 1.4)), (0, (7, 1.5, 1.2, 1.5)), (0, (3, 3)))
STYLE: Mapping[str, Any] = {
    "svg.fonttype": "none",
    "pdf.fonttype": 42,
    "text.parse_math": False,  # a model's name may hold a dollar sign
    "font.size": 10,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.linewidth": 0.8,
    "axes.labelsize": 9.5,
    "axes.grid": True,
    "axes.axisbelow": True,
    "grid.linewidth": 0.6,
    "grid.alpha": 0.14,
    "xtick.labelsize": 9.5,
    "ytick.labelsize": 9.5,
    "lines.linewidth": 1.8,
    "lines.markersize": 7.5,
    "savefig.transparent": True,
} | dict.fromkeys(("text.color", "axes.labelcolor", "axes.edgecolor", "xtick.color", "ytick.color", "grid.color"), INK)


@dataclass(frozen=True)
class Stroke:
    """How one model is drawn in every figure: colour, dash and marker each tell it apart alone."""

    label: str
    colour: str
    dash: Any
    marker: str


def available() -> bool:
    """Whether figures can be drawn here."""
    return find_spec("matplotlib") is not None


def strokes(report: Report) -> dict[str, Stroke]:
    """A stroke for each model of the report, the same in all its figures."""
    found = {}
    edited = 0
    for column in columns(report):
        if column.role == "original":
            found[column.name] = Stroke(_short(column), COLOURS["grey"], DASHES[0], "o")
        elif column.role == "retrained":
            found[column.name] = Stroke(_short(column), COLOURS["green"], DASHES[1], "s")
        else:
            colour = COLOURS[EDITED[edited % len(EDITED)]]
            dash = DASHES[(0, 2, 3, 4)[edited % 4]]
            found[column.name] = Stroke(_short(column), colour, dash, MARKERS[edited % len(MARKERS)])
            edited += 1
    return found


def _short(column: Column) -> str:
    return one_line(column.label, 26)


@contextmanager
def style(name: str, changes: Mapping[str, Any]) -> Iterator[None]:
    """Our look, with `changes` to matplotlib's settings laid over it; `name` makes the ids of an SVG its own."""
    from matplotlib import rc_context

    with rc_context(dict(STYLE) | {"svg.hashsalt": name} | dict(changes)), warnings.catch_warnings():
        # A label in another script is drawn by the reader's own fonts; that ours lack it does not matter.
        warnings.filterwarnings("ignore", message="Glyph .* missing from")
        yield


def panels(count: int, *, width: float = 4.7, height: float = 3.1, across: int = 0) -> tuple[Any, list[Any]]:
    """A figure and its panels, one under the other on the same x axis. Sizes in inches, of the whole figure.

    With `across`, so many stand side by side, each on an x axis of its own.
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(width, height), layout="constrained")
    FigureCanvasAgg(figure)
    grid = figure.subplots(-(-count // (across or 1)), across or 1, sharex=not across, squeeze=False)
    axes = [place for row in grid for place in row]
    for spare in axes[count:]:
        spare.remove()
    return figure, axes[:count]


def head(axes: Any, text: str) -> None:
    """A panel's title, at its upper left."""
    axes.set_title(text, loc="left", fontsize=9.5, fontweight="bold", pad=3)


def logarithmic(axes: Any, names: str = "x") -> None:
    """Logarithmic axes ("x", "y" or "xy") whose ticks are plain numbers; four or five of them, whatever the span."""
    from matplotlib.ticker import FuncFormatter, LogLocator, NullLocator

    axes.set(**{f"{name}scale": "log" for name in names})
    for axis in (getattr(axes, f"{name}axis") for name in names):
        low, high = axis.get_view_interval()
        axis.set_major_locator(LogLocator(subs=(1, 2, 5) if high < 100 * low else (1,), numticks=9))
        axis.set_minor_locator(NullLocator())
        axis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))


def label(figure: Any, panels: Sequence[tuple[Any, Sequence[Mark]]]) -> None:
    """Write the text of each mark beside its own curve or point, where it covers the least.

    Call it when all panels have their content: the layout is fixed here, and places are found in it.
    """
    figure.draw_without_rendering()
    figure.set_layout_engine("none")
    for axes, marks in panels:
        _label_panel(axes, marks)


def _label_panel(axes: Any, marks: Sequence[Mark]) -> None:
    from numpy import array, concatenate

    paths = [array(_along(axes.transData.transform(list(zip(xs, ys, strict=True))))) for *_, xs, ys in marks]
    scale = axes.figure.dpi / 72
    frame = axes.get_window_extent()
    taken: list[Box] = []
    for i, (text, colour, _, _) in enumerate(marks):
        others = concatenate([array([[-1e9, -1e9]]), *(path for j, path in enumerate(paths) if j != i)])
        boxes = list(_boxes(paths[i], (len(text) * 6 * scale, 12 * scale)))
        costs = [_cost(box, paths[i], others, taken, frame) for box in boxes]
        box = boxes[costs.index(min(costs))]
        taken.append(box)
        x, y = axes.transData.inverted().transform((box[0], (box[1] + box[3]) / 2))
        axes.text(x, y, text, color=colour, ha="left", va="center", fontsize=9.5, fontweight="bold")


def _along(corners: Any) -> list[tuple[float, float]]:
    """A path as points some six pixels apart."""
    path = [(float(x), float(y)) for x, y in corners]
    dense = path[:1]
    for (x0, y0), (x1, y1) in pairwise(path):
        steps = max(1, int(max(abs(x1 - x0), abs(y1 - y0)) / 6))
        dense += [(x0 + (x1 - x0) * i / steps, y0 + (y1 - y0) * i / steps) for i in range(1, steps + 1)]
    return dense


def _boxes(path: Any, size: tuple[float, float]) -> Iterator[Box]:
    wide, high = size
    for x, y in path[:: max(1, len(path) // 40)]:
        for gap in (9, 16):
            for left in (x + gap, x - wide - gap, x - wide / 2):
                for low in (y + gap, y - high - gap, y - high / 2):
                    yield (left, low, left + wide, low + high)


def _cost(box: Box, own: Any, others: Any, taken: Iterable[Box], frame: Any) -> float:
    """What a label covers or runs out of, and whether it stands nearer to another curve than to its own."""

    from numpy import maximum

    def gaps(path: Any) -> Any:
        x, y = path[:, 0], path[:, 1]
        return maximum(maximum(left - x, x - right), 0) + maximum(maximum(low - y, y - high), 0)

    left, low, right, high = box
    beside, beyond = gaps(own), gaps(others)
    covered = int((beside < 3).sum() + (beyond < 3).sum())
    misled = max(0.0, float(beside.min() - beyond.min()) + 12)
    clash = sum(left < r and le < right and low < t and b < high for le, b, r, t in taken)
    out = max(0.0, frame.x0 - left, right - frame.x1, frame.y0 - low, high - frame.y1)
    return float(covered + 0.5 * misled + 50 * clash + 3 * out)


def to_bytes(figure: Any, suffix: str) -> bytes:
    """The figure as a file's content (svg, pdf or png), the same bytes for the same figure."""
    held = BytesIO()
    undated = {"svg": {"Date": None}, "pdf": {"CreationDate": None}}.get(suffix)
    figure.savefig(held, format=suffix, metadata=undated, dpi=200)
    return held.getvalue()


def standing(figure: Any) -> bytes:
    """The figure as an SVG file by itself, whose ink is light where the reader's colours are dark."""
    text = to_bytes(figure, "svg").decode("utf-8").replace(INK, "currentColor")
    inks = f"svg {{color: {INK}}} @media (prefers-color-scheme: dark) {{svg {{color: {LIGHT_INK}}}}} "
    return text.replace('<style type="text/css">', f'<style type="text/css">{inks}', 1).encode("utf-8")


def inline(figure: Any, name: str, title: str) -> str:
    """The figure as an SVG element for a page: own ids, a title for screen readers, the page's colours."""
    text = to_bytes(figure, "svg").decode("utf-8")
    text = text[text.index("<svg") :]
    text = re.sub(r"<metadata>.*?</metadata>|<style.*?</style>|<!--.*?-->", "", text, flags=re.DOTALL)
    text = re.sub(r'(\bid="|href="#|url\(#)', rf"\g<1>{name}-", text)
    text = text.replace("xlink:href=", "href=").replace(INK, "currentColor")
    for variable, colour in COLOURS.items():
        text = text.replace(colour, f"var(--{variable}, {colour})")
    box = re.search(r'viewBox="([\d. ]+)"', text)
    assert box is not None
    # matplotlib sets these for `*`, which in a page would be everything.
    joins = "stroke-linejoin: round; stroke-linecap: butt"
    opening = f'<svg viewBox="{box.group(1)}" role="img" aria-labelledby="{name}-title" style="{joins}">'
    return re.sub(r"<svg[^>]*>", f'{opening}<title id="{name}-title">{title}</title>', text, count=1)
