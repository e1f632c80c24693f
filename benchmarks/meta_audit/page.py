"""The page's part that is made from what was found."""

from collections import Counter
from collections.abc import Iterator, Sequence

from benchmarks.figures import table
from benchmarks.meta_audit.drawing import NAME
from benchmarks.meta_audit.found import BESIDE, FoundOut
from benchmarks.meta_audit.judging import Judged
from benchmarks.meta_audit.pool import NO_CHEATS

WORDS = ("forgotten", "over-forgotten", "not forgotten", "broken", "inconclusive")
OPEN = ("probability", "rougel", "exactmemorization")  # what a family of metrics would be missed without


def text(found: FoundOut) -> str:
    """Everything between the marks."""
    parts = [*_promised(found), *_words(found), *_map(), *_metrics(found), *_left_out(found)]
    return "\n".join(parts)


def _promised(found: FoundOut) -> Iterator[str]:
    yield from table(found.figures)
    yield ""


def _words(found: FoundOut) -> Iterator[str]:
    yield "### Verdicts\n"
    yield (
        f"Each model is judged beside {BESIDE} references, one after another; cells are shares of those verdicts. *Beside "
        "three references*, in the table above, is the word that two of three of them say.\n"
    )
    head = ["family", "models", *WORDS, "flagged without attacks"]
    yield _row(head)
    yield "|---" * len(head) + "|"
    plain = _by_family(found.by_scores)
    for family, some in _by_family(found.judged).items():
        words = sum((j.words for j in some), Counter[str]())
        cells = [f"{words[w] / words.total():.0%}" if words[w] else "–" for w in WORDS]
        missed = sum(j.passed for j in plain[family]) / sum(j.judged for j in plain[family])
        yield _row([family, str(len(some)), *cells, f"{1 - missed:.0%}"])
    yield ""
    passing = [j for j in found.judged if j.passed and j.member.family not in ("retrained", "original")]
    yield "Called *forgotten* beside at least one reference:\n" if passing else ""
    for j in passing:
        yield f"* {j.member.name}: beside {j.passed} of {j.judged}."
    yield ""


def _map() -> Iterator[str]:
    yield "### Which metric exposes which cheat\n"
    yield f"![which metric exposes which cheat](figures/{NAME}.svg)\n"
    yield (
        "Dark: the value lies outside the middle 95 % of the retrained references (for attacks and the verdict: the gate did "
        "not hold). Light: this cheat fools this metric. –: no value, since log-probabilities behind a guard say nothing.\n"
    )


def _metrics(found: FoundOut) -> Iterator[str]:
    yield "### What each metric tells\n"
    yield (
        "On the rows to forget. *Originals* is the AUC of originals and no-ops against references, *cheats* that of all cheats "
        "that take nothing away, *after rounding* and *after relearning* that of originals against references when both went "
        "through it, *undone* that of edits which rounding takes back, before and after it.\n"
    )
    head = [
        "metric",
        "originals",
        "cheats",
        "after rounding",
        "after relearning",
        "undone: before",
        "after",
        "false alarms",
    ]
    yield _row(head)
    yield "|---" * len(head) + "|"
    gone = {e.metric: e for e in found.endured}
    for line in (x for x in found.lines if x.set == "forget"):
        e = gone.get(line.metric)
        stood = (
            [e.auc.get("rounding"), e.auc.get("relearning"), e.undone.get("nothing"), e.undone.get("rounding")]
            if e
            else [None] * 4
        )
        cells = [_number(v) for v in (line.auc, line.among_cheats, *stood)]
        yield _row([f"`{line.metric}`", *cells, f"{line.false_alarms:.0%}"])
    yield f"\nWithout a value here: {', '.join(f'`{m}`' for m in found.unfit)}.\n"


def _left_out(found: FoundOut) -> Iterator[str]:
    yield "### A family left out\n"
    yield (
        "No threshold of the verdict is fitted to this pool, and the families drawn up after its last gate are flagged as the others "
        "are. A harder question: if nothing but the fewest gates that expose all other families were asked, this share of the family "
        "left out would be exposed:\n"
    )
    yield _row(["family", "exposed", "by the gates that the others ask for"])
    yield "|---|---|---|"
    for family, (names, share) in found.left_out.items():
        yield _row([family, f"{share:.0%}", ", ".join(names)])
    yield ""


def _by_family(judged: Sequence[Judged]) -> dict[str, list[Judged]]:
    by: dict[str, list[Judged]] = {}
    for j in judged:
        by.setdefault(j.member.family, []).append(j)
    return dict(sorted(by.items(), key=lambda item: item[0] not in NO_CHEATS))


def _row(cells: Sequence[str]) -> str:
    return f"| {' | '.join(cells)} |"


def _number(value: float | None) -> str:
    return "–" if value is None else f"{value:.2f}"
