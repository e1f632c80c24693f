"""Write the pages that the code itself documents: `python docs/generate.py`.

`--check` writes nothing and ends with 1 where a page is stale. `--demo DIR` draws docs/demo.svg and the tables of
the demonstration from the report in DIR (`make demo` writes one).
"""

import argparse
import ast
import inspect
import re
import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import MISSING, fields
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Annotated, Any, get_args, get_origin

import unteach
from unteach import report as paper
from unteach.audit.gates import Thresholds
from unteach.audit.suite import DEFAULT
from unteach.cli import app
from unteach.data import columns
from unteach.edit.plan import Plan
from unteach.lm.anatomy import FAMILIES
from unteach.recipe import Recipe
from unteach.registry import Entry, entries, find
from unteach.report.glossary import term
from unteach.report.words import GUARANTEES, VERDICTS, WAYS, number
from unteach.schema import Report

ROOT = Path(__file__).parents[1]
MADE = "<!-- Made by docs/generate.py from the code; change the docstrings instead. -->\n\n"
HEADINGS = {  # kind: its page and its heading there
    "objective": ("methods.md", "Objectives"),
    "method": ("methods.md", "Methods"),
    "learner": ("methods.md", "Learners"),
    "guard": ("methods.md", "Guards"),
    "metric": ("metrics.md", "Metrics"),
    "attack": ("attacks.md", "Attacks"),
    "benchmark": ("metrics.md", "Benchmarks"),
    "command": ("commands.md", "Commands"),
    "data": ("commands.md", "Preparing data"),
}
OPENING = {
    "methods.md": "Every method by its name. A name under *Objectives* or *Methods* goes after `--method`; options go "
    "beside it as `--option VALUE` or `option=VALUE`. An objective is run by the method `finetune`. The same pages "
    "come from `unteach show NAME`.",
    "metrics.md": "What an audit can ask. `--metrics a,b,c` chooses, `--metrics all` asks everything; left out, the usual suite is asked. How scores "
    "become a verdict is on the [audit](audit.md) page.",
    "attacks.md": "What an audit can try in order to bring back what was forgotten: `--attacks a,b,c` chooses, `--attacks all` "
    "tries everything. How attacks change a verdict is on the [audit](audit.md) page.",
    "commands.md": "The same from Python: [Python](python.md). Progress goes to standard error, "
    "results to standard output. Exit code 0 means that the command did what it was asked, whatever the verdict; "
    "2 that something you gave cannot be used, which one sentence names; 130 that you interrupted it.",
}
WAY = {"up": "higher is better", "down": "lower is better", "target": "nearest to the retrained model", "zero": "0"}
DEMO = (  # (set, metric) pairs that the demonstration's table shows
    ("forget", "accuracy"), ("forget", "probability"), ("forget", "rougel"), ("forget", "truthratio"),
    ("retain", "accuracy"), ("retain", "probability"), ("retain", "rougel"), ("retain", "perplexity"),
)  # fmt: skip


def table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """A Markdown table."""
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join("| " + " | ".join(cell.replace("|", "\\|") for cell in line) + " |" for line in lines) + "\n"


def options(rows: Iterable[tuple[str, str, str]]) -> str:
    """A table of (name, type, default), or nothing where there are none."""
    found = [(f"`{n}`", f"`{t}`" if t else "", f"`{d}`" if d else "") for n, t, d in rows]
    return table(("option", "type", "default"), found) + "\n" if found else ""


def section(found: Entry) -> str:
    """One registered thing: what it is, its docstring, its options."""
    facts = {"guarantee": found.guarantee, "needs": ", ".join(found.needs), **_facts(found)}
    line = "; ".join(f"{k}: {v}" for k, v in facts.items() if v)
    rows = ((o.name, o.type, o.default) for o in found.options if o.name != "plan")
    head = f"### {found.name}\n\n" + (f"*{line[0].upper()}{line[1:]}.*\n\n" if line else "")
    return f"{head}{found.doc.strip()}\n\n{options(rows)}"


def _facts(found: Entry) -> Mapping[str, str]:
    """What a class says of itself beyond its options."""
    if found.kind == "objective":
        cls = find(found.kind, found.name)
        role = {"forget": "forgets its rows", "retain": "keeps its rows"}[cls.role]
        return {"role": role, "retain term": cls.retain, "weight": f"{cls.weight:g}" if cls.retain else ""}
    if found.kind == "metric":
        cls = find(found.kind, found.name)
        ways: dict[str, list[str]] = {}
        for role, way in cls.directions.items():
            ways.setdefault(WAY[way], []).append(role)
        said = ", ".join(f"{way} on {' and '.join(roles)}" for way, roles in ways.items())
        return {"in a report": term(found.name).title, "direction": said, "read it with": ", ".join(cls.companions)}
    if found.kind == "attack":
        cls = find(found.kind, found.name)
        return {"the attacker holds": cls.holds, "curve over": cls.axis}
    return {}


def page(name: str, title: str) -> str:
    """A page of all registered things that belong there, by kind."""
    parts = [f"# {title}\n\n{MADE}{OPENING[name]}\n\n"]
    parts.append({"methods.md": _plan, "metrics.md": _usual}.get(name, str)())
    for kind, (where, heading) in HEADINGS.items():
        found = entries(kind) if where == name else ()
        if found:
            sections = map(command, found) if kind == "command" else map(section, found)
            parts.append(f"## {heading}\n\n" + "".join(sections))
    return "".join(parts).rstrip() + "\n"


def _plan() -> str:
    rows = ((f.name, _kind(f.type), _shown(f.default)) for f in fields(Plan))
    said = inspect.cleandoc(Plan.__doc__ or "")
    return f"## Training\n\nEvery objective and every method that trains takes these options too.\n\n{said}\n\n{options(rows)}"


def _usual() -> str:
    return f"The usual suite: {', '.join(f'`{name}`' for name, _ in DEFAULT.metrics)}.\n\n"


def _shown(default: Any) -> str:
    return "" if default in (MISSING, None, "") else str(default)


def _kind(given: Any) -> str:
    """A type as a user would write its values: alternatives with bars between, None left out."""
    parts = [a for a in get_args(given) if a is not type(None)] or [given]
    words = [w for a in parts for w in (get_args(a) or (a,))]
    return "|".join(w if isinstance(w, str) else w.__name__ for w in words)


def command(found: Entry) -> str:
    """A command: its help, its arguments and options."""
    made = next(c for c in app.registered_commands if c.name == found.name)
    assert made.callback is not None
    words, flags, training = [], [], []
    for parameter in inspect.signature(made.callback).parameters.values():
        if get_origin(parameter.annotation) is not Annotated:
            continue
        kind, info = get_args(parameter.annotation)[:2]
        given = parameter.default
        if type(info).__name__ == "ArgumentInfo":
            word = info.metavar or parameter.name.upper()
            words.append(f"[{word}]" if given not in (inspect.Parameter.empty, None) else word)
            continue
        spelt = next(d for d in (info.default, *(info.param_decls or ()), f"--{parameter.name}") if isinstance(d, str))
        said, _, default = (info.help or "").removesuffix("]").partition("[default: ")
        value = "" if kind in (bool, bool | None) else " " + (info.metavar or _kind(kind).upper())
        if info.rich_help_panel == "Training":
            training.append(f"`{spelt}`")
            continue
        default = default or ("" if any(given is n for n in (None, False, inspect.Parameter.empty)) else str(given))
        flags.append((f"`{spelt}{value}`", said.strip(), f"`{default}`" if default else ""))
    usage = " ".join(["unteach", found.name, *words, *(["[OPTION]..."] if flags else [])])
    rows = table(("option", "what", "default"), flags) + "\n" if flags else ""
    more = f"[Training](methods.md#training): {', '.join(training)}.\n\n" if training else ""
    said = inspect.cleandoc(made.callback.__doc__ or "")
    return f"### {found.name}\n\n```text\n{usage}\n```\n\n{said}\n\n{rows}{more}"


def what_there_is() -> str:
    """All names, by kind."""
    rows = [
        (heading, ", ".join(f"`{e.name}`" for e in entries(kind)))
        for kind, (_, heading) in HEADINGS.items()
        if entries(kind)
    ]
    return table(("what", "names"), [*rows, ("Model families", ", ".join(f"`{f}`" for f in sorted(FAMILIES)))])


def shapes() -> str:
    """The shapes of rows, and the columns beside them."""
    pairs = [(f"`{prompt}`", ", ".join(f"`{a}`" for a in answers)) for prompt, answers in columns.PAIRS]
    others = [(role, ", ".join(f"`{n}`" for n in names)) for role, names in columns.OPTIONAL.items()]
    return (
        table(("question", "answer: the first that is there"), pairs) + "\n" + table(("role", "column names"), others)
    )


def thresholds() -> str:
    """What a verdict asks for."""
    said = inspect.cleandoc(Thresholds.__doc__ or "").partition("\n\n")[2]
    meant = dict(re.findall(r"^`(\w+)`: (.+?)(?=\n`|\Z)", said, re.DOTALL | re.MULTILINE))
    return table(
        ("name", "default", "what it is"),
        ((f"`{f.name}`", _shown(f.default), " ".join(meant[f.name].split())) for f in fields(Thresholds)),
    )


def town() -> str:
    """The settings of the demonstration, as a file."""
    text = (Path(unteach.__file__).parent / "recipes" / "town.yaml").read_text(encoding="utf-8")
    return f'```yaml title="town.yaml"\n{text.rstrip()}\n```\n'


def verdicts() -> str:
    """The five words."""
    return table(("verdict", "what it says"), ((f"**{word}**", said.meaning) for word, said in VERDICTS.items()))


def guarantees() -> str:
    """What may be claimed, by kind."""
    return table(("claim", "what it says"), ((f"**{name}**", said) for name, said in GUARANTEES.values()))


def floors() -> str:
    """The order of the rooms, from the test that holds it."""
    tree = ast.parse((ROOT / "tests" / "house" / "test_floors.py").read_text(encoding="utf-8"))
    value = next(n.value for n in tree.body if isinstance(n, ast.Assign) and ast.unparse(n.targets[0]) == "FLOORS")
    return f"```text\n{ast.literal_eval(value)}\n```\n"


def recipe_keys() -> str:
    """The keys of a recipe."""
    names = [f.name for f in fields(Recipe) if f.name != "options"]
    return f"Keys: {', '.join(f'`{n}`' for n in names)}; further, every option of the method and of its training.\n"


PAGES = {
    "methods.md": "Methods",
    "metrics.md": "Metrics and benchmarks",
    "attacks.md": "Attacks",
    "commands.md": "Commands",
}
BLOCKS: Mapping[tuple[str, str], Callable[[], str]] = {
    ("README.md", "names"): what_there_is,
    ("docs/records.md", "shapes"): shapes,
    ("docs/audit.md", "thresholds"): thresholds,
    ("docs/forget.md", "keys"): recipe_keys,
    ("docs/first-run.md", "town"): town,
    ("docs/design.md", "floors"): floors,
    ("docs/report.md", "verdicts"): verdicts,
    ("docs/report.md", "guarantees"): guarantees,
}


def spliced(text: str, name: str, block: str) -> str:
    """A page with what stands between the marks of a block replaced."""
    begin, end = f"<!-- begin {name} -->\n", f"<!-- end {name} -->"
    before, found, rest = text.partition(begin)
    _, closed, after = rest.partition(end)
    if not found or not closed:
        raise SystemExit(f"the marks of block '{name}' are missing; put {begin.strip()} and {end} where it belongs")
    return f"{before}{begin}\n{block}\n{end}{after}"


def generated() -> dict[Path, str]:
    """Every page that is made from the code, whole or in part, as it should be."""
    made = {ROOT / "docs" / name: page(name, title) for name, title in PAGES.items()}
    for (where, name), block in BLOCKS.items():
        path = ROOT / where
        made[path] = spliced(made.get(path) or path.read_text(encoding="utf-8"), name, block())
    return made


def demonstration(folder: Path) -> None:
    """The picture and the tables of a demonstration's report."""
    report = paper.from_json((folder / "report.json").read_text(encoding="utf-8"))
    plain = {"savefig.transparent": False, "savefig.facecolor": "white", "svg.fonttype": "path"}
    with TemporaryDirectory() as place:
        picture = paper.save_figures(report, place, rc=plain)["forget-utility"].read_text(encoding="utf-8")
    picture = re.sub(r"\s*<metadata>.*?</metadata>", "", picture, flags=re.DOTALL)
    (ROOT / "docs" / "demo.svg").write_text(picture.rstrip() + "\n", encoding="utf-8")
    for name in ("first-run.md", "audit.md"):
        path = ROOT / "docs" / name
        path.write_text(spliced(path.read_text(encoding="utf-8"), "demo", _told(report)), encoding="utf-8")


def _told(report: Report) -> str:
    values = {(r.set, r.score.name, r.model): r.score for r in report.scores}
    models = ["original", *report.verdicts, "retrained"]
    rows = []
    for where, metric in DEMO:
        scores = [values[where, metric, model] for model in models]
        sign = WAYS[scores[0].direction].sign
        rows.append((where, f"`{metric}` {sign}", *(number(s.value) for s in scores)))
    verdicts = [f"* **{model}: {v.verdict}.**" for model, v in report.verdicts.items()]
    return table(("set", "metric", *models), rows) + "\n" + "\n".join(verdicts) + "\n"


def main() -> None:
    """Write what is stale, or say what is."""
    parser = argparse.ArgumentParser("python docs/generate.py", description=__doc__)
    parser.add_argument("--check", action="store_true", help="write nothing; end with 1 where a page is stale")
    parser.add_argument("--demo", type=Path, help="folder of a demonstration, for its picture and tables")
    chosen = parser.parse_args()
    if chosen.demo:
        demonstration(chosen.demo)
    stale = {p: t for p, t in generated().items() if not p.is_file() or p.read_text(encoding="utf-8") != t}
    for path, text in stale.items():
        print(path.relative_to(ROOT), file=sys.stderr)
        if not chosen.check:
            path.write_text(text, encoding="utf-8")
    sys.exit(bool(stale and chosen.check))


if __name__ == "__main__":
    main()
