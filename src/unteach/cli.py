"""The command line: thin; every command is also a Python function. Torch is imported only by the commands that need it."""

import json
import os
import sys
from pathlib import Path
from typing import Annotated, Any, Literal

import typer
from rich.console import Console
from rich.table import Table

from unteach.edit.plan import Plan
from unteach.flags import Given, from_fields
from unteach.recipe import Recipe, overrides, read_recipe
from unteach.registry import KINDS, command, entries, entry, load_plugin
from unteach.schema import InputError

app = typer.Typer(
    name="unteach",
    help="Make language models forget, and show how well.",
    no_args_is_help=True,
    rich_markup_mode="rich",
    pretty_exceptions_enable=False,
    add_completion=False,
)
LOOSE = {"allow_extra_args": True, "ignore_unknown_options": True}
out = Console(highlight=False, soft_wrap=True)
err = Console(stderr=True, highlight=False, soft_wrap=True)


def say(line: str) -> None:
    """Progress for people, on standard error."""
    err.print(line, markup=False)


def main() -> None:
    """Run a command; what the user can mend is one sentence and exit code 2."""
    os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
    try:
        app(standalone_mode=False)
    except InputError as wrong:
        err.print(f"unteach: {wrong}", markup=False)
        sys.exit(2)
    except KeyboardInterrupt:
        err.print("unteach: interrupted; the same command goes on where it was", markup=False)
        sys.exit(130)
    except ModuleNotFoundError as missing:
        err.print(f"unteach: the package '{missing.name}' is missing; pip install 'unteach[train]'", markup=False)
        sys.exit(2)
    except BrokenPipeError:
        sys.exit(1)
    except Exception as wrong:
        _usage(wrong)


def _usage(wrong: Exception) -> None:
    """Mistakes in the command line itself, as one sentence; anything else is a defect and keeps its traceback."""
    formatted = getattr(wrong, "format_message", None)
    if formatted is None:
        raise wrong
    message = " ".join(str(formatted()).split()) or f"{type(wrong).__name__}"
    err.print(f"unteach: {message.rstrip('.')}; see `unteach --help`", markup=False)
    sys.exit(2)


Config = Annotated[str | None, typer.Option("--config", help="a YAML recipe with the same keys as the flags")]
Plugin = Annotated[str | None, typer.Option("--plugin", help="a Python file that registers things of your own")]


@app.command("forget", context_settings=LOOSE)
@from_fields(Recipe, Plan, but=("options",), panels=("What", "Training"))
def _forget(context: typer.Context, given: Given) -> None:
    """Make MODEL forget the records in --forget while keeping those in --retain.

    A method's own options (`unteach show npo`) are written as flags too, or as key=value. `--config FILE` reads
    a YAML recipe with the same keys; flags go before it. `--plugin FILE` registers methods of your own.
    """
    forget(_merged(context, given))


@command("forget", tested_by="test_forget_audit_undo_finalise_on_models_made_elsewhere")
def forget(given: Given) -> None:
    """Make a model forget some records while keeping others."""
    from unteach import jobs

    outcome = jobs.forget(given, say=say)
    _verdict(outcome.report)
    out.print(f"release: {outcome.files['release']}", markup=False)
    out.print(f"report:  {outcome.files['html']}", markup=False)


def _merged(context: typer.Context, given: Given) -> dict[str, Any]:
    """A recipe file, then the flags, then key=value, each over the one before."""
    words = overrides(context.args)
    if plugin := words.pop("plugin", None):
        load_plugin(plugin)
    config = words.pop("config", None)
    return {**(read_recipe(config) if config else {}), **given, **words}


def _verdict(report: Any) -> None:
    for name, verdict in report.verdicts.items():
        out.print(f"{name}: {verdict.verdict}. {verdict.reason}", markup=False)


@app.command("audit", context_settings=LOOSE)
@from_fields(Recipe, but=("options", "method", "release", "id", "reason", "scope"), panels=("What",))
def _audit(context: typer.Context, given: Given) -> None:
    """Ask MODEL what it still knows. `--before MODEL` is the model it was made from."""
    audit(_merged(context, given))


@command("audit", tested_by="test_forget_audit_undo_finalise_on_models_made_elsewhere")
def audit(given: Given) -> None:
    """Ask a model what it still knows of some records, beside the model before and a retrained one."""
    from unteach import jobs

    report = jobs.audit(given, say=say)
    _verdict(report)
    if place := given.get("out"):
        out.print(f"report:  {Path(place) / 'report.html'}", markup=False)
    else:
        from unteach.report import markdown

        out.print(markdown(report), markup=False)


@app.command("undo")
@command("undo", tested_by="test_forget_audit_undo_finalise_on_models_made_elsewhere")
def undo(folder: Annotated[Path, typer.Argument(help="what `unteach forget --out` wrote")]) -> None:
    """Put the original back into DIR/release, bit for bit."""
    from unteach import jobs

    out.print(f"restored: {jobs.undo(folder)}", markup=False)


@app.command("finalise")
@command("finalise", tested_by="test_forget_audit_undo_finalise_on_models_made_elsewhere")
def finalise(folder: Annotated[Path, typer.Argument(help="what `unteach forget --out` wrote")]) -> None:
    """Destroy the way back: after this nothing in DIR knows what was forgotten."""
    from unteach import jobs

    jobs.finalise(folder)
    out.print(f"finalised: {folder}", markup=False)


@app.command("report")
@command("report", tested_by="test_report_is_rendered_again_without_torch")
def report(
    source: Annotated[Path, typer.Argument(help="a report.json, or the folder that holds one")],
    to: Annotated[Path | None, typer.Option("--out", help="where to write; the same folder by default")] = None,
    figures: Annotated[Literal["svg", "pdf", "png"] | None, typer.Option(help="also save the figures as files")] = None,
) -> None:
    """Write a report again from its JSON: HTML, Markdown, CSV, LaTeX and a model card."""
    from unteach import report as paper

    file = source / "report.json" if source.is_dir() else source
    try:
        text = file.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as missing:
        raise InputError(f"{file}: cannot be read; name a report.json or its folder") from missing
    found, place = paper.from_json(text), to or file.parent
    for path in paper.write(found, place).values():
        out.print(str(path), markup=False)
    if figures:
        for path in paper.save_figures(found, place, suffix=figures).values():
            out.print(str(path), markup=False)


@app.command("list")
@command("list", tested_by="test_list_shows_what_is_registered")
def list_(
    kind: Annotated[str, typer.Argument(help=f"{', '.join(KINDS)} or all")] = "all",
    as_json: Annotated[bool, typer.Option("--json", help="as JSON")] = False,
) -> None:
    """What there is: names, families, guarantees, papers."""
    kinds = (*KINDS, "all")
    wanted = kind if kind in kinds else kind.removesuffix("s")
    if wanted not in kinds:
        raise InputError(f"there is no kind '{kind[:40]}'; there are {', '.join(kinds)}")
    found = entries(wanted)
    if as_json:
        keys = ("name", "kind", "family", "guarantee", "paper", "needs", "tested_by")
        rows = [{k: list(v) if isinstance(v := getattr(e, k), tuple) else v for k in keys} for e in found]
        print(json.dumps(rows, indent=1, ensure_ascii=False))
        return
    table = Table("kind", "name", "what it does", "guarantee", box=None, pad_edge=False)
    for e in found:
        table.add_row(e.kind, e.name, e.summary, e.guarantee)
    out.print(table)


@app.command("show")
@command("show", tested_by="test_show_gives_formula_and_options")
def show(name: Annotated[str, typer.Argument(help="any registered name")]) -> None:
    """The page of one name: formula, reference, needs, options with their defaults."""
    found = [e for e in entries() if e.name == name]
    if not found:
        entry("method" if name in {e.name for e in entries("method")} else "objective", name)
    for e in found:
        out.print(f"[bold]{e.kind} {e.name}[/bold]")
        out.print(e.doc, markup=False)
        if e.needs:
            out.print(f"\nneeds: {', '.join(e.needs)}", markup=False)
        for option in e.options:
            default = f" = {option.default}" if option.default else ""
            out.print(f"  --{option.name.replace('_', '-')}: {option.type}{default}", markup=False)


@app.command("doctor")
@command("doctor", tested_by="test_doctor_and_env_answer_without_torch")
def doctor() -> None:
    """What works on this machine, and what to install for the rest."""
    from unteach.machine import checkup

    good = True
    for name, fine, advice in checkup():
        good = good and fine
        out.print(f"{'ok     ' if fine else 'missing'}  {name}{'' if fine else ': ' + advice}", markup=False)
    if not good:
        raise typer.Exit(1)


@app.command("env")
@command("env", tested_by="test_doctor_and_env_answer_without_torch")
def env() -> None:
    """Versions and machine, to paste into a bug report."""
    from unteach.machine import environment

    for name, value in environment().items():
        out.print(f"{name}: {value}", markup=False)


@app.command("demo")
@command("demo", tested_by="test_the_demo_ends_with_a_report")
def demo(
    folder: Annotated[Path, typer.Option("--out", help="where to write")] = Path("demo"),
    seed: Annotated[int, typer.Option(help="which town is drawn")] = 0,
) -> None:
    """Train a tiny model of an invented town, let some people leave it, and see what is left of them."""
    from unteach.demo import demo as run

    found = run(folder, seed=seed, say=say)
    _verdict(found)
    out.print(f"report: {folder / 'report.html'}", markup=False)
