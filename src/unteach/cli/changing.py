"""Commands that change, ask or restore a model."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import typer

from unteach.cli.app import LOOSE, app, out, say, say_verdicts
from unteach.edit.plan import Plan
from unteach.flags import Given, from_fields
from unteach.recipe import (
    UNASKED,
    UNCOMPARED,
    UNTAUGHT,
    Before,
    Comparison,
    Recipe,
    Shadowing,
    overrides,
)
from unteach.recipefile import read_recipe
from unteach.registry import command, load_plugin


@dataclass(frozen=True)
class Files:
    """What is read before anything else."""

    config: Annotated[str, "a YAML recipe with the same keys as the flags, which go before it"] = ""
    plugin: Annotated[str, "a Python file that registers things of your own"] = ""


@app.command("forget", context_settings=LOOSE)
@from_fields(Files, Recipe, Plan, but=("options",), panels=("Files", "What", "Training"))
def _forget(words: Sequence[str], given: Given) -> None:
    """Make MODEL forget the records in --forget while keeping those in --retain.

    A method's own options (`unteach show npo`) are written as flags too, or as KEY=VALUE.
    """
    forget(merged(words, given))


@command("forget", tested_by="test_forget_audit_undo_finalise_on_models_made_elsewhere")
def forget(given: Given) -> None:
    """Make a model forget some records while keeping others."""
    from unteach import jobs

    outcome = jobs.forget(given, say=say)
    say_verdicts(outcome.report)
    out.print(f"release: {outcome.files['release']}", markup=False)
    out.print(f"report:  {outcome.files['html']}", markup=False)


def merged(words: Sequence[str], given: Given) -> dict[str, Any]:
    """A recipe file, then the flags, then KEY=VALUE, each over the one before."""
    merged = {**given, **overrides(words)}
    if plugin := merged.pop("plugin", ""):  # never from a recipe: what is data runs no code
        load_plugin(plugin)
    config = merged.pop("config", "")
    return {**(read_recipe(config) if config else {}), **merged}


@app.command("audit", context_settings=LOOSE)
@from_fields(Files, Before, Recipe, but=UNASKED, panels=("Files", "What", "What"))
def _audit(words: Sequence[str], given: Given) -> None:
    """Ask MODEL what it still knows, and how that compares with --before."""
    audit(merged(words, given))


@command("audit", tested_by="test_forget_audit_undo_finalise_on_models_made_elsewhere")
def audit(given: Given) -> None:
    """Ask a model what it still knows of some records, beside the model before and a retrained one."""
    from unteach import jobs

    report = jobs.audit(given, say=say)
    say_verdicts(report)
    if place := given.get("out"):
        out.print(f"report:  {Path(place) / 'report.html'}", markup=False)
    else:
        from unteach.report import markdown

        out.print(markdown(report), markup=False)


@app.command("compare", context_settings=LOOSE)
@from_fields(Files, Comparison, Recipe, Plan, but=UNCOMPARED, panels=("Files", "Comparison", "What", "Training"))
def _compare(words: Sequence[str], given: Given) -> None:
    """Let several methods forget the same records of MODEL under several seeds; compare them at equal retention.

    Options of one method alone are written METHOD.OPTION=VALUE.
    """
    compare(merged(words, given))


@command("compare", tested_by="test_compare_puts_methods_side_by_side_where_they_keep_equally_much")
def compare(given: Given) -> None:
    """Compare several methods on one request over several seeds, where they keep equally much."""
    from unteach import compare as contest

    found = contest.compare(given, say=say)
    for seed, report in found.reports.items():
        out.print(f"seed {seed}", markup=False)
        say_verdicts(report)
    for path in found.files.values():
        out.print(str(path), markup=False)


@app.command("shadows", context_settings=LOOSE)
@from_fields(Files, Shadowing, Recipe, Plan, but=UNTAUGHT, panels=("Files", "Shadows", "What", "Training"))
def _shadows(words: Sequence[str], given: Given) -> None:
    """Teach several models from MODEL, each with a draw of the rows, for `unteach audit --shadows`.

    Options of the method that they forget by (--unlearn) are written METHOD.OPTION=VALUE.
    """
    shadows(merged(words, given))


@command("shadows", tested_by="test_models_are_taught_and_then_compared_with")
def shadows(given: Given) -> None:
    """Teach several models, each with a draw of the rows, to compare an audited one with."""
    from unteach import shadows as making

    out.print(str(making.shadows(given, say=say)), markup=False)


@app.command("undo")
@command("undo", tested_by="test_forget_audit_undo_finalise_on_models_made_elsewhere")
def undo(
    folder: Annotated[Path, typer.Argument(help="what `unteach forget --out` wrote")],
    only: Annotated[str, typer.Option(help="folder of an earlier run: take out its edit alone")] = "",
) -> None:
    """Put the original back into DIR/release, bit for bit; or take one earlier edit out, where that is exact."""
    from unteach import jobs

    out.print(f"restored: {jobs.undo(folder, only=only)}", markup=False)


@app.command("finalise")
@command("finalise", tested_by="test_forget_audit_undo_finalise_on_models_made_elsewhere")
def finalise(folder: Annotated[Path, typer.Argument(help="what `unteach forget --out` wrote")]) -> None:
    """Destroy the way back: after this nothing in DIR knows what was forgotten."""
    from unteach import jobs

    jobs.finalise(folder)
    out.print(f"finalised: {folder}", markup=False)


@app.command("demo")
@command("demo", tested_by="test_the_demo_ends_with_a_report")
def demo(
    folder: Annotated[Path, typer.Option("--out", help="where to write")] = Path("demo"),
    seed: Annotated[int, typer.Option(help="which town is drawn")] = 0,
) -> None:
    """Train a tiny model of an invented town, let some people leave it, and see what is left of them."""
    from unteach.demo import demo as run

    found = run(folder, seed=seed, say=say)
    say_verdicts(found)
    out.print(f"report: {folder / 'report.html'}", markup=False)
