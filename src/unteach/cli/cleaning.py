"""The command that runs passes over training data."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, get_type_hints

import typer

from unteach.cli.app import app, out, say
from unteach.data import read
from unteach.data.exclusion import Manifest, read_manifest
from unteach.data.passes import Cleaned, Pass
from unteach.data.rows import printable
from unteach.data.screen import Judge
from unteach.data.wordings import lines
from unteach.registry import build, command, entry, find
from unteach.report.atomic import PRIVATE, put
from unteach.schema import InputError, Record


@app.command("clean")
@command("clean", tested_by="test_passes_run_one_after_another_and_say_what_they_found")
def clean(
    data: Annotated[str, typer.Argument(metavar="DATA", help="training data: a file or a hub data set")],
    options: Annotated[
        list[str] | None, typer.Argument(metavar="NAME.OPTION=VALUE", help="of a pass; rows, lists and models by file")
    ] = None,
    passes: Annotated[str, typer.Option(help="which, in this order: names with commas between")] = "pii,dedup",
    to: Annotated[
        Path | None, typer.Option("--out", help="the JSON lines to write; left out, it is only counted")
    ] = None,
) -> None:
    """Run passes over DATA: personal data, duplicates, contamination, deleted rows, abuse; and write what they leave.

    What was found is counted by its kind and never printed. The file is readable by you alone.
    """
    if to is not None and to.suffix.lower() not in (".jsonl", ".ndjson"):
        raise InputError(f"{printable(to)}: what is written are JSON lines; name a file that ends in .jsonl")
    names = [name.strip() for name in passes.split(",")]
    given = _options(options or (), names)
    chosen = [(name, _made(name, given.get(name, {}))) for name in names]
    rows = read(data)
    for line in (rows.legend, *rows.notes):
        say(line)
    records: Sequence[Record] = rows.records
    for name, one in chosen:
        done = one(records)
        for line in _said(name, done):
            out.print(line, markup=False)
        records = done.records
    if to is not None:
        put(to, lines(records), mode=PRIVATE)
        out.print(f"written: {printable(to)}, {len(records)} rows", markup=False)


def _options(words: Sequence[str], names: Sequence[str]) -> Mapping[str, Mapping[str, str]]:
    found: dict[str, dict[str, str]] = {}
    for word in words:
        key, equals, value = word.partition("=")
        name, dot, option = key.partition(".")
        if not (equals and dot and option) or name not in names:
            raise InputError("an option of a pass is written NAME.OPTION=VALUE, with a NAME among --passes")
        found.setdefault(name, {})[option] = value
    return found


def _made(name: str, options: Mapping[str, str]) -> Pass:
    entry("data", name)
    hints = get_type_hints(find("data", name))
    made: Pass = build("data", name, {key: _opened(hints.get(key), value) for key, value in options.items()})
    return made


def _opened(kind: Any, value: str) -> Any:
    """What an option stands for, where it is more than a number or a word."""
    if kind == tuple[Record, ...]:
        return read(value).records
    if kind == tuple[str, ...]:
        return tuple(part.strip() for part in value.split(","))
    if kind is Manifest:
        return read_manifest(Path(value))
    if kind == Judge:
        from unteach.lm.classifier import Judged

        return Judged(value)
    return value


def _said(name: str, done: Cleaned) -> list[str]:
    kinds = ", ".join(f"{kind} {count}" for kind, count in done.counts.items())
    gone = done.seen - len(done.records)
    first = (
        f"{name}: found in {len(done.rows)} of {done.seen} rows{f' ({kinds})' if kinds else ''}; {gone} rows left out"
    )
    return [first, *(f"{name}: {note}" for note in done.notes)]
