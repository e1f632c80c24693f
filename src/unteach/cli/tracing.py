"""The command that finds where a model carries facts."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

from unteach.cli.app import LOOSE, app, out, say
from unteach.data.facts import read_facts
from unteach.flags import Given, from_fields
from unteach.recipe import overrides
from unteach.registry import checked, command
from unteach.report.words import number


@dataclass(frozen=True)
class Asked:
    """What `unteach trace-effect` is told."""

    model: Annotated[str, "model folder or hub id"]
    facts: Annotated[str, "facts with their ground_truth: JSON, JSONL, Parquet or a hub data set"]
    out: Annotated[str, "folder for effects.json, effects.csv and the figure"]
    samples: Annotated[int, "samples of noise a fact"] = 10
    noise: Annotated[float, "its size, in standard deviations of the subjects' embeddings"] = 3.0
    window: Annotated[
        int | None, "layers whose MLP or attention is restored together; 10, or fewer in a small model"
    ] = None
    limit: Annotated[int | None, "read the first rows only"] = None
    seed: Annotated[int, "which noise is drawn"] = 0
    device: Annotated[str, "cpu, cuda, cuda:1 ..."] = ""
    show: Annotated[bool, "also a figure for each fact, with its tokens beside the rows"] = False


@app.command("trace-effect", context_settings=LOOSE)
@from_fields(Asked, panels=("What",))
def _trace_effect(words: Sequence[str], given: Given) -> None:
    """Find the tokens and layers of MODEL that carry the facts in --facts from their subjects to their answers.

    Noise on a subject makes the model lose the answer; then single outputs are put back as they were. Facts whose
    ground_truth the model does not find likelier than their target_new are skipped.
    """
    trace_effect({**given, **overrides(words)})


@command("trace-effect", tested_by="test_the_trace_of_a_planted_fact_is_greatest_where_it_was_planted")
def trace_effect(given: Given) -> None:
    """Find the tokens and layers that carry facts from their subjects to their answers."""
    from unteach.lm.load import load
    from unteach.methods.facts.effect import KINDS, Tracing
    from unteach.tracing import trace_effect as trace

    told = checked(Asked, given, "trace-effect", see="unteach trace-effect --help")
    how = Tracing(told.samples, told.noise, told.window, told.seed)
    facts = read_facts(told.facts, limit=told.limit)
    found, paths = trace(load(told.model, device=told.device), facts, how, Path(told.out), show=told.show, say=say)
    out.print(f"lost by noise: {number(found.total.value)} of {number(found.before.value)}, {found.total.n} facts")
    for kind in KINDS:
        best = found.greatest(kind)
        out.print(f"{kind}: {number(best.value)} comes back at layer {best.layer}, {best.token}", markup=False)
    for path in paths.values():
        out.print(str(path), markup=False)
