"""What a comparison of methods leaves: the table over seeds, its figures, and the points behind them."""

from collections.abc import Mapping
from pathlib import Path

from unteach.report.atomic import folder, put
from unteach.report.clean import clean
from unteach.report.contest_plots import pareto, radar
from unteach.report.drawing import available, standing, strokes, style
from unteach.report.glossary import term
from unteach.report.pareto import RETRAINED, Point, plane_points, points_csv
from unteach.report.radar import AXES, Spoke, spokes, spokes_csv
from unteach.report.spread import seeds
from unteach.report.spread_text import seeds_markdown, write_seeds
from unteach.schema import Report

PARETO = (
    "Each line is a method whose edit is put on in parts, from none of it (*before*) to all of it; the thick line is the "
    "mean over seeds. The filled mark is where all methods keep equally much, which the level line shows. Rings mark the "
    "front: means that no other point beats, {goal}."
)
NEAREST = "with what is left of the forget set as near to the retrained model's (the upright line) and more kept"
LEAST = "with as little left of the forget set and more kept; no retrained model was there to say how little is right"
RADAR = (
    "A summary and no more: every axis runs from 0 at the centre to 1, which is best, and the area says nothing. *forget*: "
    "share of the way from the original to the retrained model. *retain*, *general*: share of the original's score. "
    "*privacy*: how near the membership guess is to the retrained model's. *robustness*: 1 less the most that an attack "
    "brought back beyond the retrained model. *cost*: seconds of the quickest method, as a share of these."
)


def write_contest(reports: Mapping[int, Report], directory: str | Path) -> dict[str, Path]:
    """Write the table over seeds, and beside it the figures with the points they are drawn from; the paths by name."""
    cleaned = {seed: clean(report) for seed, report in sorted(reports.items())}
    points, sides = plane_points(cleaned), spokes(cleaned)
    made = {"pareto": points_csv(points), "radar": spokes_csv(sides)}
    drawn = _drawn(cleaned, points, sides)
    found, place = seeds(cleaned), folder(directory)
    paths = write_seeds(found, place)
    for name, text in made.items():
        paths[f"{name}.csv"] = put(place / f"{name}.csv", text.encode("utf-8"))
    for name, content in drawn.items():
        paths[f"{name}.svg"] = put(place / f"{name}.svg", content)
    text = seeds_markdown(found) + _section(points, sides, drawn)
    return paths | {"md": put(paths["md"], text.encode("utf-8"))}


def _drawn(reports: Mapping[int, Report], points: tuple[Point, ...], sides: tuple[Spoke, ...]) -> dict[str, bytes]:
    """The figures that have data, where they can be drawn."""
    if not available():
        return {}
    first = next(iter(reports.values()))
    known, tau = strokes(first), first.method.get("tau")
    drawn = {}
    with style("pareto", {}):
        measure = term(str(first.method.get("measure", ""))).title.lower()
        figure = pareto(points, known, measure, tau if isinstance(tau, float) else None)
        if figure is not None:
            drawn["pareto"] = standing(figure)
    with style("radar", {}):
        figure = radar(sides, known)
        if figure is not None:
            drawn["radar"] = standing(figure)
    return drawn


def _section(points: tuple[Point, ...], sides: tuple[Spoke, ...], drawn: Mapping[str, bytes]) -> str:
    lines = ["", "## Figures", ""]
    if "pareto" in drawn:
        goal = NEAREST if any(p.role == RETRAINED for p in points) else LEAST
        lines += ["![What each method forgets against what it keeps](pareto.svg)", "", PARETO.format(goal=goal), ""]
    if "radar" in drawn:
        lines += ["![All sides of each method](radar.svg)", "", RADAR, ""]
    measured = {s.axis for s in sides}
    if missing := [axis for axis in AXES if axis not in measured]:
        lines += [f"Without a value for every method, and so not drawn: {', '.join(missing)}.", ""]
    return "\n".join([*lines, "The points: [pareto.csv](pareto.csv), [radar.csv](radar.csv).", ""])
