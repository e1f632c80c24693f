"""ReLearn beside others on the page: what goes and stays, where the probability goes, and what is said."""

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks.figures import RESULTS, circumstances
from benchmarks.page import placed
from benchmarks.seesaw_drawn import draw
from unteach.audit.models import ORIGINAL, RETRAINED
from unteach.audit.statistics import Interval, bootstrap_mean
from unteach.report import read
from unteach.report.atomic import folder, put
from unteach.schema import Report, Score

COLUMNS = (
    ("forget", "kfr", "KFR ↑"), ("retain", "krr", "KRR ↑"), ("forget", "linguisticscore", "LS, forget ↑"),
    ("retain", "linguisticscore", "LS, retain ↑"), ("forget", "probability", "probability, forget ◎"),
    ("retain", "probability", "retain ↑"), ("forget", "rougel", "ROUGE-L, forget ◎"), ("retain", "rougel", "retain ↑"),
)  # fmt: skip
LOOKED = (("gold", "log p of the answer's token"), ("entropy", "entropy"), ("top", "p of the likeliest"),
          ("strange", "p of strange tokens"))  # fmt: skip
PART = " in part"
LONGEST, OFTEN = 120, 3  # characters of a text on the page, and likeliest tokens
TITLES = {"tofu": "TOFU", "knowundo": "KnowUnDo, privacy"}

OPENING = """\
Made by

```text
python -m benchmarks relearning --data DATA
```

where `DATA` holds `tofu` and `knowundo_privacy`. TOFU's models are those above, of the first seed; KnowUnDo's have the
same shape and are taught its private facts: `original` all of them, `retrained` neither those to forget nor the
questions that ask for the same facts otherwise. All methods train all weights at 1e-3 in batches of 16: `ga` (which has
no retain term), `graddiff` (the same with one), `npo` and `simnpo` for 3 epochs as above, `relearn` for 5, with templates
as its writer and another of a row's ten texts in each epoch (published: 20 epochs). *In part*: put on only so far (alpha)
as extraction strength on the rows to keep stays at 0.95 of the original's; not shown where the whole edit keeps that,
or no part of it.

KFR, KRR and LS are those of Xu et al. 2025, arXiv:2502.11190; contradictions are found by rules (`nli=rules`), and LS
reads answers with the original model, so that it has no value for the models that are asked before it, nor where
nothing is said. Cells are means over rows with 95 % intervals, which tell of these rows only, not of another seed or rate.

![Where the probability goes](figures/seesaw.svg)

The distribution is looked at once in an answer: after the question and the answer's beginning, where the rarest
word that tells begins. *Strange* are tokens of which neither `original` nor `retrained` expects 1e-4 there. A *see-saw* is
called one where the answer's token is less likely, and strange tokens are more likely, than under `retrained` (means of
differences by row, outside their intervals). In the figure thin strokes are rows (below -30 at
the edge), bars medians and quartiles.
"""
READING = """\
### What holds

- The see-saw is ascent's. `ga` and `graddiff` push the answer's token far below what a model gives it that never read
  the row; what they took goes to a token that fits nowhere (`graddiff` on TOFU: a quotation mark), or to no token in
  particular (`ga`, and `graddiff` on KnowUnDo). Only a small part of `ga` does not, which forgets little; of `graddiff` it
  depends on the data.
- After ReLearn the token does not collapse, as its authors say. KFR is about as high as any, and the rows to keep are
  more probable than after `npo`; KRR's intervals overlap.

### What does not

- `npo` and `simnpo` show no see-saw by this test: they stop before the answer's token is as unlikely as it is to
  `retrained`. Beside `original` alone, every method takes from that token and gives to strange ones, ReLearn too.
- ReLearn has more mass on strange tokens than `npo` on TOFU, and about as much on KnowUnDo: words of vague answers among
  them, which neither reference read there. That measure, and LS with an original of this size, cannot tell these from
  nonsense: ReLearn's LS lies below that of `npo`.
- Nor are its answers fluent, as they read. A model of a million parameters learns in 5 epochs to leave out the facts, not
  to write vague sentences, and puts another's name into some.
- The recorded answer is none of ReLearn's targets, and stays two to three times as probable as after `npo`, which is far
  above `retrained` too.
- KFR alone says nothing: a model that `ga` has destroyed scores as well as any.
"""


@dataclass(frozen=True)
class Found:
    """What was found on one world: the report, the tokens that were looked at, and each edit's part that keeps enough."""

    report: Report
    looked: Mapping[str, Any]
    equals: Mapping[str, Mapping[str, float]]

    @property
    def models(self) -> list[str]:
        return list(self.looked["tokens"])

    def score(self, model: str, where: str, metric: str) -> Score | None:
        rows = (r.score for r in self.report.scores if (r.model, r.set, r.score.name) == (model, where, metric))
        return next(rows, None)

    def column(self, model: str, what: str) -> list[float]:
        return [row[what] for row in self.looked["tokens"][model]]


def write_page(page: Path, worlds: Mapping[str, tuple[Path, Mapping[str, Mapping[str, float]]]]) -> None:
    """Bring the part of the page between the marks up to date; the figure and the values go beside it."""
    found = {
        name: Found(
            read(place / "report.json"), json.loads((place / "seesaw.json").read_text(encoding="utf-8")), equals
        )
        for name, (place, equals) in worlds.items()
    }
    whole = [ORIGINAL, RETRAINED, *next(iter(found.values())).equals]
    draw({TITLES[n].partition(",")[0]: f.looked["tokens"] for n, f in found.items()}, whole, page.parent / "figures")
    text = "\n".join([OPENING, *(line for name, f in found.items() for line in section(TITLES[name], f)), READING])
    page.write_text(placed(page.read_text(encoding="utf-8"), text, "relearning"), encoding="utf-8")
    content = {"circumstances": circumstances(), "worlds": {name: raw(f) for name, f in found.items()}}
    put(folder(RESULTS) / "relearning.json", (json.dumps(content, indent=1) + "\n").encode())
    print(page)


def raw(found: Found) -> dict[str, Any]:
    """Every value with its interval and note, and every token that was looked at."""
    scores: dict[str, Any] = {}
    for row in found.report.scores:
        s = row.score
        place = scores.setdefault(row.model, {}).setdefault(row.set, {})
        place[s.name] = {"value": s.value, "low": s.low, "high": s.high, "n": s.n, "note": s.note}
    looked = {
        m: [{k: float(f"{v:.4g}") for k, v in row.items()} for row in rows]
        for m, rows in found.looked["tokens"].items()
    }
    return {"scores": scores, "equal": found.equals, **found.looked, "tokens": looked}


def section(title: str, found: Found) -> Iterator[str]:
    """A world's part of the page."""
    asked = ", ".join(f"{s['n']} of {name}" for name, s in found.report.sets.items())
    yield from (f"### {title}", "", f"Rows asked: {asked}.", "", *_scores(found), "", *_looked(found), "")
    yield from (*_said(found), "")


def _scores(found: Found) -> Iterator[str]:
    yield "| model | alpha | " + " | ".join(title for *_, title in COLUMNS) + " |"
    yield "|---" * (len(COLUMNS) + 2) + "|"
    for model in found.models:
        name = model.removesuffix(PART)
        equal = found.equals.get(name)
        alpha = "–" if equal is None else f"{equal['alpha']:.2f}" if model != name else "1"
        cells = [_cell(found.score(model, where, metric)) for where, metric, _ in COLUMNS]
        yield f"| {model} | {alpha} | {' | '.join(cells)} |"


def _cell(score: Score | None) -> str:
    if score is None or score.value is None:
        return "–"
    return _spoken(score.value, None if score.low is None or score.high is None else (score.low, score.high))


def _spoken(value: float, interval: Interval | None) -> str:
    low = interval[0] if interval and value else 0.0  # below a share of nothing there is nothing, but for rounding
    return _number(value) + ("" if interval is None else f" ({_number(low)} to {_number(interval[1])})")


def _number(value: float) -> str:
    """Two decimals, or the first digit of what would be nothing by them."""
    return f"{value:.1g}" if 0 < abs(value) < 0.005 else f"{value:.2f}"


def _looked(found: Found) -> Iterator[str]:
    places = len(found.column(ORIGINAL, "gold"))
    yield f"| model, at {places} tokens | {' | '.join(t for _, t in LOOKED)} | see-saw | likeliest, and where of {places} |"
    yield "|---" * (len(LOOKED) + 3) + "|"
    for model in found.models:
        columns = [found.column(model, what) for what, _ in LOOKED]
        cells = [_spoken(sum(c) / len(c), bootstrap_mean(c)) for c in columns]
        tips = "–" if model in (ORIGINAL, RETRAINED) else "yes" if seesaw(found, model) else "no"
        often = ", ".join(f"“{_plain(token)}” {count}" for token, count in found.looked["likeliest"][model][:OFTEN])
        yield f"| {model} | {' | '.join(cells)} | {tips} | {often} |"


def seesaw(found: Found, model: str) -> bool:
    """Whether a model holds the answers' tokens for less likely, and strange ones for more likely, than one that never read them."""

    def beyond(what: str) -> Interval:
        pairs = zip(found.column(model, what), found.column(RETRAINED, what), strict=True)
        return bootstrap_mean([now - then for now, then in pairs]) or (0.0, 0.0)

    return beyond("gold")[1] < 0 < beyond("strange")[0]


def _said(found: Found) -> Iterator[str]:
    asked = found.looked["asked"]
    yield "| model | " + " | ".join(_plain(row["question"]) for row in asked) + " |"
    yield "|---" * (len(asked) + 1) + "|"
    yield "| recorded | " + " | ".join(_plain(row["answer"]) for row in asked) + " |"
    for model in found.models:
        yield f"| {model} | " + " | ".join(map(_plain, found.looked["said"][model])) + " |"


def _plain(text: str) -> str:
    """A text as it stands in a cell of a table."""
    shown = " ".join(text.split()).replace("|", "\\|").replace("<", "&lt;").replace("`", "'")
    return shown if len(shown) <= LONGEST else f"{shown[:LONGEST]} …"
