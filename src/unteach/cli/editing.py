"""Commands that correct facts, and that train what corrects them."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal

from unteach.assemble import make_method
from unteach.cli.app import LOOSE, app, out, say
from unteach.cli.changing import Files, merged
from unteach.data.facts import read_facts
from unteach.flags import Given, from_fields
from unteach.methods.facts.practice import Practice
from unteach.recipe import Recipe, overrides
from unteach.registry import checked, command
from unteach.schema import InputError


@dataclass(frozen=True)
class Teaching:
    """What `unteach train-editor` is told, apart from how long and how fast."""

    model: Annotated[str, "model folder or hub id"]
    facts: Annotated[str, "facts to practise on: JSON, JSONL, Parquet or a hub data set, as zsRE, CounterFact or ours"]
    out: Annotated[str, "folder for the editor"]
    method: Annotated[Literal["mend", "ke"], "whose editor it is"] = "mend"
    holdout: Annotated[int, "facts that are kept out, and corrected one by one at the end"] = 0
    limit: Annotated[int | None, "read the first rows only"] = None
    device: Annotated[str, "cpu, cuda, cuda:1 ..."] = ""


@app.command("edit", context_settings=LOOSE)
@from_fields(Files, Recipe, but=("options", "forget", "by", "holdout", "near", "scope"), panels=("Files", "What"))
def _edit(words: Sequence[str], given: Given) -> None:
    """Correct the facts in --facts in MODEL, and say what else moved.

    A method's own options (`unteach show memit`) are written as flags too, or as KEY=VALUE.
    """
    edit(merged(words, given))


@command("edit", tested_by="test_facts_are_corrected_from_the_command_line")
def edit(given: Given) -> None:
    """Correct facts in a model, and say what else moved."""
    from unteach import jobs

    if not given.get("facts") and not given.get("benchmark"):
        raise InputError("'facts' is missing; give --facts FILE, or a benchmark that holds facts")
    if "forget" in given:
        raise InputError("edit corrects facts and has no option 'forget'; use unteach forget")
    outcome = jobs.forget({"method": "memit", **given}, say=say)
    for line in outcome.report.notes:
        out.print(line, markup=False)
    out.print(f"release: {outcome.files['release']}", markup=False)
    out.print(f"report:  {outcome.files['html']}", markup=False)


@app.command("train-editor", context_settings=LOOSE)
@from_fields(Teaching, Practice, panels=("What", "Training"))
def _train_editor(words: Sequence[str], given: Given) -> None:
    """Train an editor for MODEL on the corrections in --facts, for `--method mend` or `ke` with editor=DIR.

    It practises on facts with other wordings and questions beside them (zsRE, CounterFact); a training that was stopped
    goes on when the same command is given again. Options of the method (`unteach show mend`) are written KEY=VALUE.
    """
    train_editor({**given, **overrides(words)})


@command("train-editor", tested_by="test_an_editor_is_trained_saved_and_used_from_the_command_line")
def train_editor(given: Given) -> None:
    """Train an editor that corrects facts of one model by one pass, and say how it does on facts held out."""
    from unteach.lm.load import load
    from unteach.methods.facts.train_editor import train_editor as train

    names = set(Teaching.__dataclass_fields__)
    told = checked(
        Teaching, {k: v for k, v in given.items() if k in names}, "train-editor", see="unteach train-editor --help"
    )
    options: dict[str, Any] = {k: v for k, v in given.items() if k not in names}
    how: Any = make_method(told.method, options, also=sorted(names))
    facts = read_facts(told.facts, limit=told.limit)
    score = train(load(told.model, device=told.device), how, facts, Path(told.out), holdout=told.holdout, say=say)
    if score is not None:
        out.print(str(score), markup=False)
    out.print(f"editor: {told.out}", markup=False)
