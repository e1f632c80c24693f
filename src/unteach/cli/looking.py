"""Commands that say what there is: names, pages, versions."""

import json
from typing import Annotated

import typer
from rich.table import Table
from rich.text import Text

from unteach.cli.app import app, out
from unteach.registry import KINDS, command, entries, hint
from unteach.schema import InputError


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
            spelt = f"{e.name}.{option.name}" if e.kind == "benchmark" else f"--{option.name.replace('_', '-')}"
            out.print(f"  {spelt}: {option.type}{default}", markup=False)


@app.command("doctor")
@command("doctor", tested_by="test_doctor_and_env_answer_without_torch")
def doctor() -> None:
    """What works on this machine, and what to install for the rest."""
    from unteach.machine import checkup

    good = True
    for name, fine, advice, needed in checkup():
        good = good and (fine or not needed)
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
