"""The command that makes tests for other tools of a forget set."""

from pathlib import Path
from shlex import quote
from typing import Annotated

import typer

from unteach.cli.app import app, out
from unteach.data.rows import printable
from unteach.registry import command

HELD = "The folder holds the records themselves, readable by you alone; remove it when the tests have been run."


@app.command("export")
@command("export", tested_by="test_export_writes_tests_for_every_tool")
def export(
    folder: Annotated[Path, typer.Argument(metavar="DIR", help="a new or empty folder")],
    forget: Annotated[str, typer.Option(metavar="TEXT", help="records to forget")],
    retain: Annotated[str, typer.Option(metavar="TEXT", help="records to keep, for the same tests")] = "",
    formats: Annotated[
        str, typer.Option("--format", metavar="TEXT", help="inspect, garak, lmeval, with commas between")
    ] = "inspect,garak,lmeval",
) -> None:
    """Write the records in --forget into DIR as tests for other tools: Inspect, garak, the lm-evaluation-harness.

    What is written holds the records. Files are made for you alone to read, all of them or none.
    """
    from unteach.audit.exports.export import export as write
    from unteach.data import check, read, refuse

    rows, kept = read(forget), read(retain) if retain else None
    refuse(check(rows, retain=kept))
    names = [n.strip() for n in formats.split(",") if n.strip()]
    parts = write(folder, rows.records, retain=kept.records if kept else (), formats=names)
    for name, part in parts.items():
        counts = ", ".join(f"{count} {which}" for which, count in part.rows.items())
        place = quote(printable(folder / name))
        said = f"{counts} rows; {part.run.format(place=place)}" if part.files else "no row suits it"
        out.print(f"{name}: {said}", markup=False)
    out.print(HELD, markup=False)
