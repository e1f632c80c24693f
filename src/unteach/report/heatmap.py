"""The figure of causal tracing: what comes back of an answer, by token and layer."""

from collections.abc import Mapping, Sequence
from typing import Any

from unteach.report.drawing import COLOURS, INK, head, panels
from unteach.report.visible import one_line
from unteach.report.words import number

COLOUR = {"state": "purple", "mlp": "green", "attention": "red"}
LEVELS = 24  # of a colour, from none to full
FLOOR = 0.1  # of the total effect: a panel of noise is not to look like a finding
ROW = 0.19  # inches

Rows = Sequence[Sequence[float]]  # an effect for each token and layer


def heatmap(tokens: Sequence[str], kinds: Mapping[str, Rows], total: float, window: int) -> Any:
    """A panel for each kind of output, a row for each token, a column for each layer.

    Each panel has a scale of its own, which reaches at least a tenth of the total effect. What is at or below 0 is blank; a
    frame marks the greatest effect. Among states the last row is left out of that: the answer is read there, so the last
    state always brings back all.
    """
    from matplotlib.colors import LinearSegmentedColormap, to_rgb

    figure, rows = panels(len(kinds), width=5.4, height=0.5 + len(kinds) * (0.36 + ROW * len(tokens)))
    for axes, (kind, values) in zip(rows, kinds.items(), strict=True):
        rgb = to_rgb(COLOURS[COLOUR[kind]])
        shades = LinearSegmentedColormap.from_list(kind, [(*rgb, 0.0), (*rgb, 1.0)], N=LEVELS)
        layers = range(len(values[0]))
        some = range(max(len(tokens) - (kind == "state"), 1))
        place = max(((r, n) for r in some for n in layers), key=lambda at: values[at[0]][at[1]])
        most = values[place[0]][place[1]]
        top = max(FLOOR * total, *(max(row) for row in values), 1e-9)
        mesh = axes.pcolormesh(values, cmap=shades, vmin=0, vmax=top)
        _frame(axes, *place)
        _axes(axes, tokens, layers)
        head(axes, f"{_title(kind, window)}: {number(most)} in the frame")
        bar = figure.colorbar(mesh, ax=axes, pad=0.02, aspect=12)
        bar.outline.set_visible(False)
        bar.ax.tick_params(labelsize=8.5, length=2)
        bar.ax.yaxis.get_major_locator().set_params(nbins=3)
    rows[-1].set_xlabel(f"layer; what comes back of {number(total)} lost (probability of the answer)")
    return figure


def _title(kind: str, window: int) -> str:
    if kind == "state":
        return "state behind a layer"
    part = {"mlp": "MLP", "attention": "attention"}[kind]
    return f"{part}, {window} layers together" if window > 1 else part


def _frame(axes: Any, row: int, layer: int) -> None:
    from matplotlib.patches import Rectangle

    axes.add_patch(Rectangle((layer, row), 1, 1, fill=False, edgecolor=INK, linewidth=1.2, clip_on=False))


def _axes(axes: Any, tokens: Sequence[str], layers: range) -> None:
    """Tokens from above to below, numbers of layers under the middles of their columns."""
    step = max(1, len(layers) // 12)
    axes.set_xticks([n + 0.5 for n in layers[::step]], [str(n) for n in layers[::step]])
    axes.set_yticks([n + 0.5 for n in range(len(tokens))], [one_line(t, 24) for t in tokens])
    axes.tick_params(length=0, labelsize=8.5)
    axes.invert_yaxis()
    axes.grid(visible=False)
