"""ReLearn beside ascent and preference, on TOFU forget10 and on KnowUnDo's private facts: what goes, what stays, what is said.

A small model is taught each set whole, and a reference the set without what is to be forgotten. Every method is asked as
it was trained and, where that keeps less than 0.95 of the original's extraction strength on the rows to keep, also as far
as it may be put on. One seed. Every part that is done is kept under --out, so a run that was stopped goes on where it was.
"""

import argparse
import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from time import process_time
from typing import Any

import torch

from benchmarks.parts import kept
from benchmarks.relearned import PART, write_page
from benchmarks.seesaw import at_their_word, likeliest, looked_at, plausible, tokens
from benchmarks.worlds import ASKED, World, place_of, pupil, teach, tofu
from unteach.assemble import make_method
from unteach.audit.audit import audit
from unteach.audit.benchmarks.knowundo import KnowUnDo
from unteach.audit.control import at, at_equal_retention
from unteach.audit.models import ORIGINAL, RETRAINED, Worn
from unteach.audit.suite import of
from unteach.edit.edit import Edit
from unteach.edit.plan import Plan
from unteach.edit.store import load as load_edit
from unteach.edit.store import save as save_edit
from unteach.lm.encoder import Template
from unteach.lm.fresh import Size
from unteach.lm.model import LM
from unteach.report import to_json

METHODS: Mapping[str, Mapping[str, Any]] = {  # what they do not share with the others
    "ga": {}, "graddiff": {}, "npo": {}, "simnpo": {}, "relearn": {"epochs": 5},
}  # fmt: skip
SETS = ("forget", "retain")
SEEN, SAID = 100, 3  # rows whose telling token is looked at, and whose free answers are shown
SUITE = of("kfr", "krr", "linguisticscore", "probability", "rougel", "extractionstrength", max_new=60)


def knowundo(data: Path) -> World:
    """KnowUnDo's private facts of invented people, beside what may be told of the same people."""
    made = KnowUnDo(str(data))
    sets = made.sets()
    return World(
        "knowundo", 0, [r for rows in sets.values() for r in rows], made.request(), sets, made.roles,
        Size(vocabulary=2048, hidden=128, layers=4, heads=4, inner=352, positions=256),
        Plan(tune="full", lr=2e-3, epochs=16, batch_size=8, accumulate=1, warmup_epochs=0.5, weight_decay=0.0, decay="cosine"),
        {"tune": "full", "lr": 1e-3, "epochs": 3, "batch_size": 16, "accumulate": 1, "weight_decay": 0},
        Template("Question: {prompt}\nAnswer: {answer}"), 60,
    )  # fmt: skip


@dataclass(frozen=True)
class Run:
    """A world, where its models are, where everything else is kept, and how many rows of a set are asked."""

    world: World
    taught: Path
    out: Path
    rows: int

    def teach(self) -> None:
        """The original, and the reference without the rows to forget and those that ask for the same facts otherwise."""
        gone = (*self.world.request.forget, *self.world.sets.get("forget_other", ()))
        whole = replace(self.world, request=replace(self.world.request, forget=gone))
        for which in (ORIGINAL, RETRAINED):
            teach(whole, self.taught, which)

    def opened(self, which: str) -> LM:
        return pupil(self.world, self.taught, which)

    @contextmanager
    def another(self, which: str) -> Iterator[LM]:
        """A copy of its own, which wears nothing."""
        yield self.opened(which)

    def edit(self, name: str) -> Path:
        """Where a method's edit lies: beside the models, if it was made there."""
        beside, own = (place_of(self.world, out) / "edits" / name for out in (self.taught, self.out))
        return beside if (beside / "equal.json").exists() else own

    def forget(self, name: str) -> None:
        """Train an edit, and find how much of it keeps enough."""
        place = self.edit(name)
        if (place / "equal.json").exists():
            return
        lm, began = self.opened(ORIGINAL), process_time()
        edit = make_method(name, {**self.world.forgetting, **METHODS[name]})(lm, self.world.request)
        seconds = process_time() - began
        save_edit(edit, place)
        rows = [self.world.sets[s][:ASKED] for s in SETS]
        whole = at(lm, edit, 1.0, rows[0], rows[1], "extraction")
        found = at_equal_retention(lm, edit, rows[0], rows[1])
        found |= {f"trained_{key}": value for key, value in whole.items()} | {"seconds": round(seconds, 1)}
        (place / "equal.json").write_text(json.dumps(found), encoding="utf-8")
        print(f"{self.world.name}, {name}: {seconds:.0f} s, alpha {found['alpha']:.2f}", flush=True)

    def equals(self) -> dict[str, dict[str, float]]:
        """Of each method the part that keeps enough, and what the edit came to as a whole."""
        return {name: json.loads((self.edit(name) / "equal.json").read_text(encoding="utf-8")) for name in METHODS}

    def edits(self) -> dict[str, Edit]:
        """What is asked: every edit as it was trained, and the part of it that keeps enough where there is one."""
        found: dict[str, Edit] = {}
        for name, equal in self.equals().items():
            found[name] = load_edit(self.edit(name))
            if 0 < equal["alpha"] < 1:
                found[f"{name}{PART}"] = found[name].scaled(equal["alpha"])
        return found

    def ask(self) -> None:
        """The audit of all of them."""
        place = place_of(self.world, self.out) / "report.json"
        if place.exists():
            return
        lm = self.opened(ORIGINAL)
        models: dict[str, Worn] = {which: partial(self.another, which) for which in (ORIGINAL, RETRAINED)}
        models |= {name: partial(edit.on, lm) for name, edit in self.edits().items()}
        report = audit(
            models, {s: self.world.sets[s][: self.rows] for s in SETS}, roles={s: s for s in SETS}, suite=SUITE,
            title=f"{self.world.name}, ReLearn beside others",
            progress=lambda name: print(f"{self.world.name}: asking {name}", flush=True),
        )  # fmt: skip
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_text(to_json(replace(report, examples=())), encoding="utf-8")

    def look(self) -> None:
        """The distribution at one telling token of each row, and what each model says to a few questions."""
        kept(place_of(self.world, self.out) / "seesaw.json", self._looked)

    def _looked(self) -> dict[str, Any]:
        rows = self.world.sets["forget"][:SEEN]
        lm, few = self.opened(ORIGINAL), rows[:: self.rows // SAID + 1][:SAID]
        places = at_their_word(lm, rows, self.world.lessons)
        given, said = {}, {}

        def look(name: str, model: LM) -> None:
            given[name], said[name] = looked_at(model, places), model.generate(few, SUITE.max_new)

        look(ORIGINAL, lm)
        look(RETRAINED, self.opened(RETRAINED))
        for name, edit in self.edits().items():
            with edit.on(lm):
                look(name, lm)
        known, gold = plausible((given[ORIGINAL], given[RETRAINED])), [place.target for place in places]
        return {
            "tokens": {name: tokens(logps, gold, known) for name, logps in given.items()},
            "likeliest": {name: likeliest(lm, logps) for name, logps in given.items()},
            "asked": [{"question": r.prompt, "answer": r.answer} for r in few], "said": said,
        }  # fmt: skip


def main(arguments: list[str]) -> None:
    """Teach, forget, ask, look, and write the page's part."""
    parser = argparse.ArgumentParser("python -m benchmarks relearning", description=__doc__)
    parser.add_argument("--data", type=Path, required=True, help="folder with tofu/ and knowundo_privacy/")
    parser.add_argument("--out", type=Path, default=Path("runs/relearning"))
    parser.add_argument("--taught", type=Path, default=Path("runs/objectives"), help="the --out of `objectives`")
    parser.add_argument("--rows", type=int, default=60, help="rows asked of each set")
    parser.add_argument("--page", type=Path, default=Path("docs/benchmarks.md"))
    chosen = parser.parse_args(arguments)
    torch.set_num_threads(1)
    runs = [
        Run(tofu(0, chosen.data / "tofu"), chosen.taught, chosen.out, chosen.rows),
        Run(knowundo(chosen.data / "knowundo_privacy"), chosen.out, chosen.out, chosen.rows),
    ]
    done = {}
    for run in runs:
        run.teach()
        for name in METHODS:
            run.forget(name)
        run.ask()
        run.look()
        done[run.world.name] = place_of(run.world, run.out), run.equals()
        write_page(chosen.page, done)
