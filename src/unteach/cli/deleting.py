"""Commands that train in shards, and delete what was trained on."""

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import typer

from unteach.cli.app import app, out, say
from unteach.registry import command
from unteach.schema import InputError

Store = Annotated[Path, typer.Argument(help="folder of a store that `unteach train` made")]
Ids = Annotated[str, typer.Option(help="ids of records, separated by commas")]
Subject = Annotated[str, typer.Option(help="everything that belongs to this subject")]
Forget = Annotated[str, typer.Option(help="a file of records with the ids that they were trained under")]
Policy = Annotated[
    str,
    typer.Option(
        help="record: these alone; exact: also what was made of them or says the same; near: also what nearly does"
    ),
]
AtOnce = Annotated[
    bool, typer.Option("--at-once", help="serve what never read the rows and stop; without ids, the command goes on")
]
Checkpoints = Annotated[Path | None, typer.Option(help="a second place for signed checkpoints of the ledger")]
Exclusion = Annotated[
    Path | None, typer.Option(help="a list that the rows go onto, for `unteach check` before later trainings")
]
Audit = Annotated[
    Path | None, typer.Option(help="a folder for an audit of the release, which its certificate then cites")
]
Unseen = Annotated[str, typer.Option(help="of --audit: rows that were never trained on, drawn as the others were")]
Layouts = Annotated[str, typer.Option(help="shards x slices to compare over a year of requests, such as 1x1,4x4,20x8")]
Monthly = Annotated[float, typer.Option(help="of --layouts: subjects that ask in 30 days")]
Deadline = Annotated[float, typer.Option(help="of --layouts: days that a request may wait for others")]
Risky = Annotated[float | None, typer.Option(help="of --layouts: share of requests from the riskiest class of `risk`")]
Risks = Annotated[int, typer.Option(help="of --layouts: classes of risk with slices of their own")]
Epochs = Annotated[int, typer.Option(help="of --layouts: passes of each stage")]
Base = Annotated[str, typer.Option("--base", help="the base model, where it has moved")]
Executor = Annotated[str, typer.Option(help="who trains shards: inline, processes, or ray (extra [ray])")]
Workers = Annotated[int, typer.Option(help="of the executor, where it has several")]
Device = Annotated[str, typer.Option(help="cpu, cuda, cuda:1 ...")]
Options = Annotated[
    list[str] | None, typer.Argument(metavar="OPTION=VALUE", help="of --learner; see `unteach show NAME`")
]


@app.command("train")
@command("train", tested_by="test_a_subject_is_deleted_from_the_command_line")
def train(
    model: Annotated[str, typer.Argument(metavar="MODEL", help="model folder or hub id")],
    options: Options = None,
    *,
    data: Annotated[str, typer.Option(help="records: JSONL, JSON, CSV, TSV, Parquet or a hub data set")],
    into: Annotated[Path, typer.Option("--out", help="a new folder, or one whose training was stopped")],
    shards: Annotated[int, typer.Option(help="independent parts; a subject lies in one")] = 4,
    slices: Annotated[int, typer.Option(help="stages of a shard")] = 4,
    risks: Annotated[int, typer.Option(help="classes of `risk` with slices of their own, the riskiest last")] = 1,
    epochs: Annotated[int, typer.Option(help="passes of each stage over its slices")] = 2,
    batch: Annotated[int, typer.Option("--batch-size", help="records that a step is planned for")] = 16,
    rows: Annotated[int, typer.Option(help="records that a slice is planned for; 0: as many as there are now")] = 0,
    tune: Annotated[str, typer.Option(help="lora or full")] = "lora",
    rank: Annotated[int, typer.Option(help="of the adapter")] = 16,
    lora_alpha: Annotated[float, typer.Option(help="the adapter's scale times its rank")] = 32.0,
    lr: Annotated[float, typer.Option(help="the rate, which falls to a tenth")] = 1e-3,
    weight: Annotated[float, typer.Option(help="times the mean of the shards is released")] = 1.0,
    learner: Annotated[str, typer.Option(help="leave MODEL as it is, and learn a head on its features by this")] = "",
    executor: Executor = "inline",
    workers: Workers = 2,
    device: Device = "",
) -> None:
    """Train MODEL in shards and slices, so that records can be deleted from it exactly.

    With --learner, a head on its features instead, from records with a label; a deletion promises what the learner does.
    """
    from unteach.methods.exact.shards.stage import Schooling
    from unteach.service import jobs

    parts, given = jobs.Parts(shards, slices, risks, epochs, batch, rows), _options(options or (), learner)
    for line in jobs.train(
        model, data, into, parts, Schooling(tune, rank, lora_alpha, lr), weight=weight, device=device,
        executor=executor, workers=workers, learner=learner, options=given, say=say,
    ):  # fmt: skip
        out.print(line, markup=False)


@app.command("delete")
@command("delete", tested_by="test_a_subject_is_deleted_from_the_command_line")
def delete(
    store: Store,
    ids: Ids = "",
    subject: Subject = "",
    forget: Forget = "",
    policy: Policy = "exact",
    at_once: AtOnce = False,
    checkpoints: Checkpoints = None,
    exclusion: Exclusion = None,
    audit: Audit = None,
    holdout: Unseen = "",
    base: Base = "",
    executor: Executor = "inline",
    workers: Workers = 2,
    device: Device = "",
) -> None:
    """Delete records from STORE: a release that never read them, the rebuild, and a certificate.

    Without --ids, --subject or --forget it goes on with requests that were stopped.
    """
    from unteach.service import jobs

    if holdout and audit is None:
        raise InputError("--holdout gives an audit rows that were never seen; name its folder with --audit")
    asked = jobs.Asked(_listed(ids), subject, forget, policy)
    for line in jobs.delete(
        store, asked, at_once=at_once, base=base, device=device, executor=executor, workers=workers,
        checkpoints=checkpoints, exclusion=exclusion,
        audit=jobs.Audit(audit, holdout) if audit is not None else None, say=say,
    ):  # fmt: skip
        out.print(line, markup=False)


@app.command("plan")
@command("plan", tested_by="test_the_price_is_said_beforehand_and_is_right")
def plan(
    store: Annotated[
        str,
        typer.Argument(metavar="STORE|MODEL|DATA", help="a store, a model that was trained elsewhere, or records"),
    ],
    ids: Ids = "",
    subject: Subject = "",
    forget: Forget = "",
    policy: Policy = "exact",
    retain: Annotated[str, typer.Option(help="of a model: the rows that stay, all that it was trained on")] = "",
    layouts: Layouts = "",
    monthly: Monthly = 10.0,
    deadline: Deadline = 30.0,
    risky: Risky = None,
    risks: Risks = 1,
    epochs: Epochs = 2,
    base: Base = "",
    device: Device = "",
) -> None:
    """Say what deleting records would take, and what it would leave; nothing is changed.

    Of a STORE the price of the rebuild; of a MODEL every way there is, with its class. With --layouts, of a STORE or of
    records in a file, what a year of requests would take if they were parted otherwise.
    """
    from unteach.service import jobs

    if layouts:
        from unteach.service.whatif import Stream

        stream = Stream(monthly, deadline, risky)
        for line in jobs.imagined(store, layouts, stream, risks=risks, epochs=epochs):
            out.print(line, markup=False)
        return
    asked = jobs.Asked(_listed(ids), subject, forget, policy)
    for line in jobs.plan(store, asked, retain=retain, base=base, device=device):
        out.print(line, markup=False)


def _options(words: Sequence[str], learner: str) -> dict[str, str]:
    if words and not learner:
        raise InputError("OPTION=VALUE belongs to a learner; name it with --learner")
    found = dict(word.split("=", 1) for word in words if "=" in word)
    if len(found) < len(words):
        raise InputError("an option of a learner is written OPTION=VALUE, each once")
    return found


def _listed(ids: str) -> tuple[str, ...]:
    found = tuple(i.strip() for i in ids.split(",")) if ids else ()
    if not all(found):
        raise InputError("--ids has an empty id between its commas; give ids as a,b,c")
    return found
