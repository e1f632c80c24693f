"""Commands that look for rows in training data: a person's, and deleted ones that came back."""

import json
from collections import Counter
from pathlib import Path
from typing import Annotated

import typer

from unteach.cli.app import app, out, say
from unteach.data import Rows, read
from unteach.data.corpus import corpus, spoken
from unteach.data.exclusion import Exclusion, manifest, read_manifest, write_manifest
from unteach.data.presence import Hit
from unteach.data.presence import trace as traced
from unteach.data.rows import printable
from unteach.registry import command
from unteach.report.atomic import PRIVATE, put
from unteach.schema import InputError

Data = Annotated[str, typer.Argument(metavar="DATA", help="training data: a file or a hub data set")]
Near = Annotated[float, typer.Option(help="Jaccard similarity of word 3-grams from which rows are near copies")]


@app.command("trace")
@command("trace", tested_by="test_a_persons_rows_are_found_in_every_form")
def trace(
    data: Data,
    subject: Annotated[str, typer.Option(metavar="NAME", help="the person's name in full")],
    alias: Annotated[list[str] | None, typer.Option(metavar="NAME", help="another name; may be given again")] = None,
    rows: Annotated[str, typer.Option(metavar="FILE", help="rows about the person that are known")] = "",
    to: Annotated[Path | None, typer.Option("--out", help="also write what was found, as JSON lines")] = None,
    near: Near = 0.8,
    show: Annotated[bool, typer.Option("--show", help="also print and write the texts")] = False,
) -> None:
    """Find the rows of DATA that tell of a person: copies, near copies, paraphrases, and rows by name.

    A line for each: where it stands, why it was found, and how alike it is to the known row that is closest, 0 to 1.
    """
    if to is not None and to.suffix.lower() not in (".jsonl", ".ndjson"):
        raise InputError(f"{printable(to)}: what is written are JSON lines; name a file that ends in .jsonl")
    if not 0 < near <= 1:
        raise InputError("--near is not in (0, 1]; give a number such as 0.8")
    given, known = _read(data), read(rows).records if rows else ()
    hits = traced(corpus(given.records), (subject, *(alias or ())), known, near=near)
    found = [_said(hit, given, show=show) for hit in hits]
    for hit in hits:
        text = f"  {printable(spoken(given.records[hit.row]))}" if show else ""
        out.print(f"{given.unit} {given.lines[hit.row]}: {hit.kind}, {hit.score:.2f}{text}", markup=False)
    counts = ", ".join(f"{n} {kind}" for kind, n in sorted(Counter(hit.kind for hit in hits).items()))
    out.print(f"found: {len(hits)} of {len(given.records)} rows{f' ({counts})' if counts else ''}", markup=False)
    if to is not None:
        put(to, "".join(json.dumps(one, ensure_ascii=False) + "\n" for one in found).encode(), mode=PRIVATE)
        out.print(f"written: {printable(to)}", markup=False)


@app.command("check")
@command("check", tested_by="test_a_deleted_row_that_comes_back_is_named_by_its_line")
def check(
    data: Data,
    exclusion: Annotated[
        Path | None, typer.Option(metavar="FILE", help="the list of rows that must not be there")
    ] = None,
    write_exclusion: Annotated[
        Path | None, typer.Option(metavar="FILE", help="write that list from the rows of DATA, or add them to it")
    ] = None,
    near: Near = 0.8,
) -> None:
    """Look in DATA for rows that were deleted, and near copies of them, by a list that does not hold their text.

    Exit code 0: none came back. 1: some did; their lines are printed. 2: something you gave cannot be used.
    """
    if (exclusion is None) == (write_exclusion is None):
        raise InputError("give --exclusion to look for listed rows, or --write-exclusion to list these")
    given = _read(data)
    if write_exclusion is not None:
        listed = read_manifest(write_exclusion) if write_exclusion.exists() else manifest()
        listed = listed.plus(given.records)
        write_manifest(listed, write_exclusion)
        out.print(f"written: {printable(write_exclusion)}, {len(listed.rows)} rows", markup=False)
    if exclusion is not None:
        found = Exclusion(read_manifest(exclusion), near)(given.records)
        for mark in found.marks:
            out.print(f"{given.unit} {given.lines[mark.row]}: {mark.kind}", markup=False)
        out.print(f"came back: {len(found.marks)} of {len(given.records)} rows", markup=False)
        if found.marks:
            raise typer.Exit(1)


def _read(source: str) -> Rows:
    rows = read(source)
    for line in (rows.legend, *rows.notes):
        say(line)
    return rows


def _said(hit: Hit, given: Rows, *, show: bool) -> dict[str, object]:
    record = given.records[hit.row]
    text = {"text": spoken(record)} if show else {}
    place = {given.unit: given.lines[hit.row], "id": record.id}
    return {**place, "kind": hit.kind, "score": round(hit.score, 4), "of": hit.of, **text}
