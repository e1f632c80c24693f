"""The command line: thin; every command is also a Python function. Torch is imported only by the commands that need it."""

import json
import os
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from errno import EACCES, EDQUOT, ENOSPC, EPERM, EROFS
from pathlib import Path
from typing import Annotated, Any, Literal

import typer
from rich.console import Console
from rich.table import Table
from rich.text import Text

from unteach.data.rows import printable
from unteach.edit.plan import Plan
from unteach.flags import Given, from_fields
from unteach.recipe import UNASKED, Before, Recipe, overrides, read_recipe
from unteach.registry import KINDS, command, entries, hint, load_plugin
from unteach.schema import InputError

app = typer.Typer(
    name="unteach",
    help="Make language models forget, and show how well.",
    rich_markup_mode="rich",
    pretty_exceptions_enable=False,
    add_completion=False,
)
LOOSE = {"ignore_unknown_options": True}
INTERRUPTED = 130
DISK = (EACCES, EDQUOT, ENOSPC, EPERM, EROFS)
out = Console(highlight=False, soft_wrap=True, emoji=False)
err = Console(stderr=True, highlight=False, soft_wrap=True, emoji=False)


def say(line: str) -> None:
    """Progress for people, on standard error."""
    err.print(line, markup=False)


def main() -> None:
    """Run a command; what the user can mend is one sentence and exit code 2."""
    os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
    try:
        code = app(standalone_mode=False)
    except KeyboardInterrupt:
        code = INTERRUPTED
    except BrokenPipeError:
        sys.exit(1)
    except Exception as wrong:
        sentence = _sentence(wrong)
        if sentence is None:
            raise
        err.print(f"unteach: {printable(sentence)}", markup=False)
        sys.exit(2)
    if code == INTERRUPTED:  # typer makes an exit code of it
        err.print("unteach: interrupted; give the same command again to go on", markup=False)
    sys.exit(code)


def _sentence(wrong: Exception) -> str | None:
    """What the user can mend, in one sentence; anything else is a defect of ours and keeps its traceback."""
    if isinstance(wrong, InputError):
        return str(wrong)
    if isinstance(wrong, ModuleNotFoundError):
        return f"the package '{wrong.name}' is missing; pip install 'unteach[train]'"
    if isinstance(wrong, OSError) and wrong.errno in DISK:
        return f"{wrong.filename or 'a file'}: {wrong.strerror}; make room there or name another folder"
    if (
        isinstance(wrong, MemoryError)
        or "OutOfMemoryError" in type(wrong).__name__
        or "DefaultCPUAllocator" in str(wrong)
    ):
        return "there is not enough memory; lower --batch-size (and raise --accumulate), or choose --tune lora"
    formatted = getattr(wrong, "format_message", None)  # a mistake in the command line itself
    if formatted is None:
        return None
    message = " ".join(str(formatted()).split()).replace(". ", "; ")
    return f"{message.rstrip('.')}; see `unteach --help`"


@app.callback(invoke_without_command=True)
def _root(context: typer.Context) -> None:
    if context.invoked_subcommand is None:
        print(context.get_help())


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
    forget(_merged(words, given))


@command("forget", tested_by="test_forget_audit_undo_finalise_on_models_made_elsewhere")
def forget(given: Given) -> None:
    """Make a model forget some records while keeping others."""
    from unteach import jobs

    outcome = jobs.forget(given, say=say)
    _verdict(outcome.report)
    out.print(f"release: {outcome.files['release']}", markup=False)
    out.print(f"report:  {outcome.files['html']}", markup=False)


def _merged(words: Sequence[str], given: Given) -> dict[str, Any]:
    """A recipe file, then the flags, then KEY=VALUE, each over the one before."""
    merged = {**given, **overrides(words)}
    if plugin := merged.pop("plugin", ""):  # never from a recipe: what is data runs no code
        load_plugin(plugin)
    config = merged.pop("config", "")
    return {**(read_recipe(config) if config else {}), **merged}


def _verdict(report: Any) -> None:
    for name, verdict in report.verdicts.items():
        out.print(f"{name}: {verdict.verdict}. {verdict.reason}", markup=False)


@app.command("audit", context_settings=LOOSE)
@from_fields(Files, Before, Recipe, but=UNASKED, panels=("Files", "What", "What"))
def _audit(words: Sequence[str], given: Given) -> None:
    """Ask MODEL what it still knows, and how that compares with --before."""
    audit(_merged(words, given))


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
    source: Annotated[
        list[Path], typer.Argument(help="a report.json, or the folder that holds one; several with --seeds")
    ],
    to: Annotated[Path | None, typer.Option("--out", help="where to write; the same folder by default")] = None,
    figures: Annotated[Literal["svg", "pdf", "png"] | None, typer.Option(help="also save the figures as files")] = None,
    seeds: Annotated[
        bool, typer.Option("--seeds", help="one table over several runs that differ in their seed")
    ] = False,
    margin: Annotated[
        list[str] | None,
        typer.Option(metavar="METRIC=NUMBER", help="with --seeds: a difference to retrained that would not matter"),
    ] = None,
) -> None:
    """Write a report again from its JSON: HTML, Markdown, CSV, LaTeX and a model card.

    With --seeds: one table of means and standard deviations over the reports of several runs.
    """
    from unteach import report as paper

    if seeds and figures:
        raise InputError("--seeds makes one table and --figures draws one report; leave one of them out")
    if seeds:
        _over_seeds(source, to, margin or [])
        return
    if len(source) > 1 or margin:
        raise InputError("several reports make one table with --seeds, which is where a margin belongs; add --seeds")
    found, place = paper.read(source[0]), to or (source[0] if source[0].is_dir() else source[0].parent)
    for path in paper.write(found, place).values():
        out.print(str(path), markup=False)
    if figures:
        for path in paper.save_figures(found, place, suffix=figures).values():
            out.print(str(path), markup=False)


def _over_seeds(source: Sequence[Path], to: Path | None, margin: Sequence[str]) -> None:
    from unteach import report as paper

    found = paper.seeds(paper.read_runs(source))
    if margin:
        from unteach.audit.equivalence import compared, margins

        found = compared(found, margins(margin))
    lines = map(str, paper.write_seeds(found, to).values()) if to else (paper.seeds_markdown(found),)
    for line in lines:
        out.print(line, markup=False)


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
        table.add_row(*(Text(cell) for cell in (e.kind, e.name, e.summary, e.guarantee)))
    out.print(table)


@app.command("show")
@command("show", tested_by="test_show_gives_formula_and_options")
def show(name: Annotated[str, typer.Argument(help="any registered name")]) -> None:
    """The page of one name: formula, reference, needs, options with their defaults."""
    found = [e for e in entries() if e.name == name]
    if not found:
        raise InputError(f"there is nothing called '{name[:40]}'; {hint(name, (e.name for e in entries()))}")
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
