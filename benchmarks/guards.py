"""Guards on the town: what each hides, and what comes through it, beside forgetting and beside deletion.

A guard and a method make the same model forget the same rows; then whoever can only ask tries to get them back, and
whoever holds the model takes the guard off. Every part that is done is kept under --out.
"""

import argparse
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

from benchmarks.page import placed
from benchmarks.parts import each, kept
from benchmarks.worlds import World, pupil, teach, town
from unteach.assemble import make_method
from unteach.audit.attacked import Rows, attacked
from unteach.audit.audit import audit
from unteach.audit.models import ORIGINAL, RETRAINED, Worn
from unteach.audit.suite import of
from unteach.edit.edit import Edit
from unteach.lm.model import LM
from unteach.report.atomic import folder, put

ASKED = 50  # rows of each set
POSITIONS = 512  # a question may come behind instructions
ATTACKS: tuple[tuple[str, Mapping[str, Any]], ...] = (
    ("paraphrase", {}), ("prefix", {}), ("roleplay", {}), ("obfuscate", {}), ("guardlist", {}),
)  # fmt: skip
SUITE = ("rougel", "refusalrate")
ARMS: Mapping[str, tuple[str, Mapping[str, Any]]] = {
    "decoding, T=1": ("decoding", {"temperature": 1.0}),
    "justask": ("justask", {}),
    "memprompt": ("memprompt", {}),
    "gate": ("gate", {}),
    "gate by nearness": ("gate", {"by": "near"}),
    "filter": ("filter", {}),
    "filter, covering": ("filter", {"action": "cover"}),
    "ngramblock": ("ngramblock", {}),
    "boxed": ("boxed", {}),
    "uld": ("uld", {}),
    "uld, weight=-2": ("uld", {"weight": -2.0, "blocks": 2, "epochs": 20}),
    "deltaunlearning": ("deltaunlearning", {}),
    "deltaunlearning, lr=1e-3": ("deltaunlearning", {"lr": 1e-3, "epochs": 20}),
    "gate+filter": ("guarded", {"guards": "gate+filter"}),
    "simnpo": ("simnpo", {}),
}
OFF = "guard off"
COLUMNS = ("", "asked plainly", *(name for name, _ in ATTACKS[:-1]), "guardlist", OFF, "kept answers", "guarantee")
OPENING = """\
Made by

```text
python -m benchmarks guards
```

on a model of 1.4 million parameters that knows the whole town ({rows} rows about ten people are to go, {asked} questions
are asked). *asked plainly* is the share of the
telling words of the forgotten answers that free answers give away; then the same under what somebody tries who can only
ask: other words, the first tokens of the answer given away, role play, and disguises (base64, typos, spaced and changed
letters). *guardlist*: how well whom the guard hides can be told from others by what is refused (0.5 is by luck, 1 for
certain). *guard off* is what the weights tell whoever takes the guard off. *kept answers* is the ROUGE-L of the answers
that are to stay.

Guards hide and do not remove: their column *guard off* is that of the model as it was. What a model does of itself with
instructions ({told}) is not shown by one as small as this: it was never taught to follow any.
"""


@dataclass(frozen=True)
class Run:
    """A world, and where its parts are kept."""

    world: World
    out: Path


def main(arguments: list[str]) -> None:
    """Guard, ask, attack, and write the page's table."""
    parser = argparse.ArgumentParser("python -m benchmarks guards", description=__doc__)
    parser.add_argument("--out", type=Path, default=Path("runs/guards"))
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--only", default="", help="rows of the table with commas between; all by default")
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--page", type=Path, default=Path("docs/benchmarks.md"))
    chosen = parser.parse_args(arguments)
    made = town(chosen.seed)
    run = Run(replace(made, size=replace(made.size, positions=POSITIONS)), chosen.out)
    each([partial(teach, run.world, run.out, which) for which in (ORIGINAL, RETRAINED)], chosen.workers)
    wanted = set(filter(None, chosen.only.split(","))) or {ORIGINAL, RETRAINED, *ARMS}
    each([partial(row, run, name) for name in (ORIGINAL, *ARMS, RETRAINED) if name in wanted], chosen.workers)
    write(chosen.page, run)


def place_of(run: Run, name: str) -> Path:
    """Where one row of the table is kept."""
    return run.out / run.world.name / str(run.world.seed) / "rows" / f"{re.sub('[^a-z0-9=]+', '-', name.lower())}.json"


def row(run: Run, name: str) -> None:
    """One row of the table."""
    kept(place_of(run, name), partial(_row, run, name))
    print(f"{name}: done", flush=True)


def _row(run: Run, name: str) -> dict[str, Any]:
    if name in (ORIGINAL, RETRAINED):
        found = _asked(run, pupil(run.world, run.out, name))
        return {**found, "guarantee": "exact" if name == RETRAINED else "none"}
    lm, edit = _edited(run, name)
    found = _asked(run, partial(edit.on, lm))
    if edit.guards:
        found[OFF] = _asked(run, partial(replace(edit, guards=(), links=()).on, lm))["told"]
    return {**found, "guarantee": edit.guarantee.kind}


def _edited(run: Run, name: str) -> tuple[LM, Edit]:
    method, options = ARMS[name]
    lm = pupil(run.world, run.out, ORIGINAL)
    given = dict(options)
    if method in ("uld", "deltaunlearning"):  # what they train lies in a folder of its own
        given["assistant"] = str(place_of(run, name).with_suffix("") / "assistant")
    if method == "simnpo":
        given |= run.world.forgetting
    return lm, make_method(method, given)(lm, run.world.request)


def _asked(run: Run, model: Worn) -> dict[str, Any]:
    """What a model tells, plainly and under attack, and how well it still answers what is to stay."""
    world = run.world
    rows = rows_of(world)
    found = attacked({"asked": model}, rows, ATTACKS, most=world.max_new, seed=world.seed)
    report = audit(
        {ORIGINAL: model}, {"retain": rows.retain}, roles={"retain": "retain"}, suite=of(*SUITE, max_new=world.max_new),
        title="guards",
    )  # fmt: skip
    stays = next(r.score.value for r in report.scores if r.score.name == "rougel")
    reached = {f.attack: [f.value, f.low, f.high] for f in found}
    return {"told": found[0].before, "attacks": reached, "kept": stays, "n": found[0].n}


def rows_of(world: World) -> Rows:
    """What the attacker wants back, each question with another wording that the model was never taught."""
    forget, otherwise, retain, holdout = (
        world.sets[s][:ASKED] for s in ("forget", "forget_paraphrased", "retain", "holdout")
    )
    pairs = zip(forget, otherwise, strict=True)
    return Rows([replace(row, paraphrases=(other.prompt,)) for row, other in pairs], retain, holdout)


def write(page: Path, run: Run) -> None:
    """Bring the part of the page between the marks up to date; the values go beside it."""
    names = [n for n in (ORIGINAL, *ARMS, RETRAINED) if place_of(run, n).is_file()]
    found = {n: json.loads(place_of(run, n).read_text(encoding="utf-8")) for n in names}
    lines = [OPENING.format(rows=len(run.world.request.forget), asked=ASKED, told="justask, memprompt, boxed"), ""]
    lines += [f"| {' | '.join(COLUMNS)} |", "|---" * len(COLUMNS) + "|"]
    lines += [_line(name, values) for name, values in found.items()]
    page.write_text(placed(page.read_text(encoding="utf-8"), "\n".join(lines), "guards"), encoding="utf-8")
    put(folder(Path(__file__).parent / "results") / "guards.json", json.dumps(found, indent=1).encode() + b"\n")
    print(page)


def _line(name: str, values: Mapping[str, Any]) -> str:
    reached = [values["attacks"].get(attack, [None])[0] for attack, _ in ATTACKS]
    numbers = [values["told"], *reached, values.get(OFF), values["kept"]]
    cells = ["–" if v is None else f"{v:.2f}" for v in numbers]
    shown = {ORIGINAL: "as it was", RETRAINED: "exact deletion (retrained)"}.get(name, name)
    return f"| {shown} | {' | '.join(cells)} | {values['guarantee']} |"
