"""What is left of the forgotten answers at equal retention, one line a method."""

from pathlib import Path
from statistics import mean, stdev

from benchmarks.tables import TITLES, Seeds, ranked
from unteach.report.atomic import folder, put
from unteach.report.drawing import COLOURS, head, panels, style, to_bytes

SHOWN = (("probability", "blue", "o", "probability of the answer"), ("rougel", "red", "D", "overlap (ROUGE-L)"))


def draw(found: Seeds, place: Path) -> Path:
    """Save PLACE/objectives-WORLD.svg: means over seeds with their standard deviation, and the retrained models' level."""
    names = ranked(found)[::-1]
    with style(found.world, {}):
        figure, (axes,) = panels(1, width=5.6, height=0.9 + 0.21 * len(names))
        for metric, colour, marker, said in SHOWN:
            values = [found.values(name, "forget", metric) for name in names]
            goal = mean(found.values("retrained", "forget", metric))
            axes.axvline(goal, color=COLOURS[colour], linewidth=1.2, alpha=0.55, label=f"{said}, retrained")
            axes.errorbar(
                [mean(v) for v in values], range(len(names)), xerr=[stdev(v) if len(v) > 1 else 0 for v in values],
                color=COLOURS[colour], marker=marker, markersize=4, linestyle="", elinewidth=1, label=said,
            )  # fmt: skip
        axes.set_yticks(range(len(names)), names, fontsize=8.5)
        axes.set(xlim=(-0.02, 1.02))
        head(axes, f"{TITLES[found.world]}: left of what was to go, where what stays is equal")
        figure.legend(loc="outside lower center", ncols=2, frameon=False, fontsize=8.5)
        content = to_bytes(figure, "svg")
    return put(folder(place) / f"objectives-{found.world}.svg", content)
