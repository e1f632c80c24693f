"""The command that gives records what several metrics need beside them."""

from pathlib import Path
from typing import Annotated, Any

import typer

from unteach.cli.app import app, out, say
from unteach.data import read
from unteach.data.rows import printable
from unteach.data.wordings import lines
from unteach.data.wordings import reword as reworded
from unteach.registry import command
from unteach.report.atomic import PRIVATE, put
from unteach.schema import InputError


@app.command("reword")
@command("reword", tested_by="test_reworded_rows_are_audited_for_what_they_lacked")
def reword(
    file: Annotated[str, typer.Argument(metavar="FILE", help="records: a file or a hub data set")],
    to: Annotated[Path, typer.Option("--out", help="the JSON lines to write")],
    count: Annotated[int, typer.Option(help="wrong answers a row, where so many can be made")] = 5,
    paraphrases: Annotated[int, typer.Option(help="other wordings of a question")] = 5,
    restate: Annotated[bool, typer.Option("--restate", help="also the right answer in other words")] = False,
    mark: Annotated[
        bool, typer.Option("--mark", help="also mark the parts of the right answer that are sensitive")
    ] = False,
    beside: Annotated[
        str, typer.Option(metavar="FILE", help="more rows like these, which only lend their values")
    ] = "",
    writer: Annotated[str, typer.Option(metavar="MODEL", help="a model that writes them: folder, hub id or URL")] = "",
    seed: Annotated[int, typer.Option(help="which of the possible wrong answers are drawn")] = 0,
    limit: Annotated[int | None, typer.Option(help="read the first rows only")] = None,
) -> None:
    """Add wrong answers and other wordings to the rows of FILE, by rule or by a model.

    What a row already has stays and comes first. The file is readable by you alone: it holds the records.
    """
    if to.suffix.lower() not in (".jsonl", ".ndjson"):
        raise InputError(f"{printable(to)}: what is written are JSON lines; name a file that ends in .jsonl")
    if to.exists() and Path(file).exists() and to.samefile(file):
        raise InputError(f"{printable(to)}: this is the file that is read; name another one")
    rows = read(file, limit=limit)
    for line in (rows.legend, *rows.notes):
        say(line)
    others = read(beside).records if beside else ()
    model, name = _opened(writer) if writer else (None, "")
    made = reworded(
        rows.records, count=count, paraphrases=paraphrases, restate=restate, mark=mark, beside=others,
        writer=model, name=name, seed=seed,
    )  # fmt: skip
    put(to, lines(made.records), mode=PRIVATE)
    for note in made.notes:
        out.print(note, markup=False)
    out.print(f"written: {printable(to)}", markup=False)


def _opened(writer: str) -> tuple[Any, str]:
    """A model of one's own, or one behind a URL, and its name, which holds nothing of a URL."""
    from unteach.lm.address import is_url
    from unteach.lm.load import load
    from unteach.lm.served import connect

    if is_url(writer):
        served = connect(writer)
        return served, printable(served.name)
    return load(writer), printable(Path(writer).name)
