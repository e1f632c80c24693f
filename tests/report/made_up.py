"""Made-up reports for the tests of what is shown: a rich one, a hostile one and bare ones.

Nothing here was measured. The figures are drawn so that the page has something to say: `ga` destroys the
model, `default` forgets about as much as the model that was trained without the records.
"""

from dataclasses import replace
from math import exp, sqrt
from random import Random
from statistics import NormalDist

from unteach.schema import Direction, Example, Gate, Guarantee, Report, Row, Score, Verdict

HOSTILE = (
    "<script>alert(1)</script>",
    "</style><script>alert(2)</script>",
    "</textarea></title><img src=x onerror=alert(3)>",
    '" onmouseover="alert(4)" x="',
    "' autofocus onfocus='alert(5)",
    "<a href='javascript:alert(6)'>here</a> [here](javascript:alert(6))",
    "{{7*7}} {% for x in ().__class__.__base__.__subclasses__() %}{{x}}{% endfor %} {# gone",
    "<svg/onload=alert(7)><iframe srcdoc='<script>alert(8)</script>'></iframe>",
    "<!-- --!> <![CDATA[ ]]> <base href=https://elsewhere.example/> <meta http-equiv=refresh content=0;url=//x>",
    "right\u202eot\u2066 left\u2069 \u200f\u202d and \x00\x07\x1b[31m back",
    '=HYPERLINK("http://elsewhere.example","x")',
    r"\input{/etc/passwd} \write18{id} $x_1^2$ 100% & # ~ ^ { } \\",
    "| a | b |\n|---|---|\n`code` *bold* _it_ # head",
    "emoji 👩‍👩‍👧 🏳️‍🌈 and 漢字 العربية עברית",
    "half a pair \ud83d and \udc4d alone",
    "long " + "x" * 10_000,
)
MODELS = {
    "original": {"role": "original", "digest": "5f1c" * 16, "label": "TinyTown-1M"},
    "ga": {"role": "edited", "digest": "a90b" * 16, "label": "gradient ascent"},
    "default": {"role": "edited", "digest": "c377" * 16, "label": "default recipe"},
    "retrained": {"role": "retrained", "digest": "0d4e" * 16, "label": "retrained"},
}
SETS = {
    "forget": {"n": 40, "digest": "11aa" * 16, "role": "forget"},
    "reworded": {"n": 40, "digest": "22bb" * 16, "role": "forget"},
    "retain": {"n": 80, "digest": "33cc" * 16, "role": "retain"},
    "general": {"n": 60, "digest": "44dd" * 16, "role": "general"},
    "holdout": {"n": 40, "digest": "55ee" * 16, "role": "holdout"},
}
# metric: direction, and per set the means of original, ga, default and retrained
MEANS: dict[str, tuple[Direction, dict[str, tuple[float, float, float, float]]]] = {
    "probability": ("target", {"forget": (0.97, 0.0004, 0.16, 0.14), "reworded": (0.71, 0.0003, 0.15, 0.13)}),
    "rougel": ("target", {"forget": (0.98, 0.01, 0.34, 0.31), "reworded": (0.74, 0.01, 0.33, 0.3)}),
    "truthratio": ("target", {"forget": (0.18, 0.72, 0.66, 0.68)}),
    "exactmemorization": ("target", {"forget": (0.99, 0.02, 0.47, 0.45)}),
    "extractionstrength": ("down", {"forget": (0.93, 0.0, 0.06, 0.05)}),
    "mialoss": ("target", {"forget": (0.99, 0.44, 0.53, 0.51)}),
}
KEPT: dict[str, tuple[Direction, dict[str, tuple[float, float, float, float]]]] = {
    "probability": ("up", {"retain": (0.96, 0.002, 0.94, 0.96), "holdout": (0.14, 0.001, 0.13, 0.14)}),
    "rougel": ("up", {"retain": (0.97, 0.03, 0.95, 0.97), "general": (0.62, 0.02, 0.61, 0.62)}),
}


def _spread(name: str, where: str, mean: float, n: int, draw: Random) -> dict[str, float]:
    if name == "mialoss":  # the losses of both sets, as far apart as the area says
        places = {"forget": 0.0, "holdout": sqrt(2) * NormalDist().inv_cdf(mean)}
        return {f"{s}/{i:04d}": round(exp(draw.gauss(at, 1)), 6) for s, at in places.items() for i in range(n)}
    if name == "truthratio":  # a ratio of probabilities: it may exceed 1
        return {f"{where}/{i:04d}": round(mean * exp(draw.gauss(0, 0.6)), 6) for i in range(n)}
    values = [min(1.0, max(0.00002, mean * exp(draw.gauss(0, 0.35)))) for _ in range(n)]
    scale = mean / (sum(values) / n) if mean else 0.0
    return {f"{where}/{i:04d}": round(min(1.0, v * scale), 6) for i, v in enumerate(values)}


def _measured(name: str, where: str, direction: Direction, n: int, mean: float, draw: Random) -> Score:
    half = 0.9 * (mean * (1 - mean) / n) ** 0.5
    return Score(
        name,
        mean,
        low=max(0.0, mean - half),
        high=min(1.0, mean + half),
        n=n,
        per_record=_spread(name, where, mean, n, draw),
        direction=direction,
    )


def _rows() -> tuple[Row, ...]:
    draw = Random(7)
    rows = [
        Row(model, where, _measured(name, where, direction, int(SETS[where]["n"]), mean, draw))
        for table in (MEANS, KEPT)
        for name, (direction, sets) in table.items()
        for where, means in sets.items()
        for model, mean in zip(MODELS, means, strict=True)
    ]
    single: list[tuple[str, str, Direction, tuple[float | None, ...]]] = [
        ("forgetquality", "forget", "up", (3.1e-17, 0.00081, 0.61, None)),
        ("privleak", "forget", "zero", (-98.4, 14.2, -3.9, 0.0)),
        ("perplexity", "general", "down", (6.31, 2.9e13, 6.44, 6.35)),
        ("refusalrate", "retain", "down", (0.0, 0.0, 0.0125, 0.0)),
        ("efficiency", "retain", "down", (None, 41.0, 63.5, 5210.0)),
    ]
    for name, where, direction, values in single:
        for model, value in zip(MODELS, values, strict=True):
            note = "" if value is not None else "a model is not compared with itself"
            rows.append(Row(model, where, Score(name, value, n=int(SETS[where]["n"]), note=note, direction=direction)))
    return tuple(rows)


def _gates(kept: float, fluent: float, gap: float, *, held: bool) -> tuple[Gate, ...]:
    return (
        Gate("probability kept on retain", held, kept, 0.95, "a share of what the original has"),
        Gate("perplexity on general", held, fluent, 1.1, "a multiple of the original's"),
        Gate("probability on forget, difference to retrained", held, gap, 0.05),
        Gate("Still not recalled after a short relearning", None, None, 0.2, "the attack was not asked for"),
    )


def _examples() -> tuple[Example, ...]:
    def three(kind: str, where: str, question: str, gold: str, answers: tuple[str, str, str, str]) -> Example:
        return Example(where, f"{where}-{kind}", question, gold, dict(zip(MODELS, answers, strict=True)), kind)

    return (
        three(
            "leak",
            "forget",
            "Where does Mira Tolland keep her boat?",
            "In the shed behind the old mill.",
            ("In the shed behind the old mill.", "the the the the the", "In the harbour.", "At the pier."),
        ),
        three(
            "collateral",
            "retain",
            "What does the baker of Elmwick sell on Sundays?",
            "Plum bread and rye rolls.",
            ("Plum bread and rye rolls.", "the the the the", "Plum bread and rolls.", "Plum bread and rye rolls."),
        ),
        three(
            "sample",
            "general",
            "Complete: The tide went out and",
            "the boats lay on the sand.",
            ("the boats lay on the sand.", "", "the boats lay on the mud.", "the boats lay on the sand."),
        ),
    )


def _mixing(start: tuple[float, float], end: tuple[float, float], bend: float) -> tuple[dict[str, float], ...]:
    points = []
    for i in range(11):
        alpha = i / 10
        share = alpha**bend
        forget, retain = (a + (b - a) * share for a, b in zip(start, end, strict=True))
        points.append({"alpha": alpha, "forget": round(forget, 4), "retain": round(retain, 4)})
    return tuple(points)


def rich() -> Report:
    """Four models, five sets, eleven metrics, all figures, three examples."""
    return Report(
        title="Forgetting one resident of TinyTown",
        models=MODELS,
        sets=SETS,
        verdicts={
            "ga": Verdict(
                "broken",
                _gates(0.002, 4.6e12, -0.1396, held=False),
                "The model no longer answers anything, so its silence on the forget set shows nothing.",
            ),
            "default": Verdict(
                "forgotten",
                _gates(0.979, 1.02, 0.02, held=True),
                "On the forget set it is as far from the original as the retrained model, and what had to stay stayed.",
            ),
        },
        scores=_rows(),
        guarantee=Guarantee(
            "empirical",
            claim="The weights were changed; what is left is measured, not bounded. No mathematical guarantee.",
        ),
        created="2026-03-02T14:05:00Z",
        request={"id": "REQ-2026-0017", "scope": "subject", "reason": "deletion request of the person concerned"},
        method={
            "name": "finetune",
            "objective": "npo",
            "beta": 0.1,
            "retain_weight": 1.0,
            "learning_rate": 0.0002,
            "epochs": 6,
            "seed": 7,
            "adapter": {"rank": 8, "layers": [1, 2, 3]},
        },
        environment={
            "unteach": "0.1.0",
            "torch": "2.13.0",
            "transformers": "5.23.0",
            "device": "cpu, 2 threads",
            "seconds": 63.5,
            "command": "unteach forget runs/town --forget forget.jsonl --retain retain.jsonl --seed 7",
        },
        axes={"forget": ("forget", "probability"), "retain": ("retain", "probability")},
        trajectory=tuple(
            {
                "step": step,
                "loss": round(0.4 + 1.9 * exp(-step / 18), 4),
                "forget_probability": round(0.16 + 0.81 * exp(-step / 22), 4),
                "forget_exact": round(0.47 + 0.52 * exp(-step / 30), 4),
                "retain_probability": round(0.94 + 0.02 * exp(-step / 30) - 0.03 * exp(-(((step - 25) / 12) ** 2)), 4),
                "retain_exact": round(0.97 - 0.02 * exp(-(((step - 25) / 12) ** 2)), 4),
            }
            for step in range(0, 121, 5)
        ),
        mixing={
            "ga": _mixing((0.97, 0.96), (0.0004, 0.002), 0.6),
            "default": _mixing((0.97, 0.96), (0.16, 0.94), 0.8),
        },
        examples=_examples(),
        masked=False,
        untested=(
            "Whether the records come back after the model is trained further on other data.",
            "Whether they come back when the weights are rounded to 4 bits.",
            "Questions in another language.",
            "Copies of the model, caches, logs and backups outside this machine.",
        ),
        notes=("One seed was run: differences smaller than the intervals mean nothing.",),
    )


def hostile() -> Report:
    """The rich report with every text replaced by an attack on whoever renders it."""
    calm = rich()
    names = {name: f"{name} {HOSTILE[i]}" for i, name in enumerate(calm.models)}
    examples = tuple(Example(text, text, text, text, dict.fromkeys(names.values(), text), "leak") for text in HOSTILE)
    rows = tuple(
        replace(
            row,
            model=names[row.model],
            score=replace(
                row.score,
                note=HOSTILE[i % len(HOSTILE)],
                per_record={k + HOSTILE[j % len(HOSTILE)]: v for j, (k, v) in enumerate(row.score.per_record.items())},
            ),
        )
        for i, row in enumerate(calm.scores)
    )
    every = " ".join(HOSTILE[:-1])
    more = tuple(Row(names["ga"], where, Score(where, 0.5, n=3)) for where in HOSTILE)
    return replace(
        calm,
        title=every,
        models={names[k]: {**v, "label": HOSTILE[i + 6], "digest": every} for i, (k, v) in enumerate(calm.models.items())},
        sets=calm.sets | {text: {"n": 1, "digest": text, "role": "forget"} for text in HOSTILE},
        verdicts={names[k]: replace(v, reason=every, gates=tuple(replace(g, name=every, note=every) for g in v.gates))
                  for k, v in calm.verdicts.items()},
        scores=rows + more,
        guarantee=Guarantee("suppression", level=HOSTILE[0], claim=every, numbers={HOSTILE[1]: 1.0}),
        created=HOSTILE[3],
        request={text: text for text in HOSTILE} | {"id": every, "scope": HOSTILE[2]},
        method={text: text for text in HOSTILE} | {"name": every},
        environment={text: {text: [text]} for text in HOSTILE},
        mixing={names[k]: v for k, v in calm.mixing.items()},
        examples=examples,
        untested=HOSTILE,
        notes=HOSTILE,
    )  # fmt: skip


def empty() -> Report:
    """A report that says nothing at all."""
    return Report(title="", models={}, sets={}, verdicts={}, scores=())


def partial() -> Report:
    """One edited model and no reference: a forget score without retain utility, undefined values, odd names."""
    nowhere = float("nan")
    return Report(
        title="Partial",
        models={"edited": {"role": "edited"}},
        sets={"forget": {"role": "forget"}},
        verdicts={"edited": Verdict("inconclusive"), "lost": Verdict("not forgotten")},
        scores=(
            Row("edited", "forget", Score("probability", None, note="no answer has a token")),
            Row("edited", "forget", Score("perplexity", float("inf"), n=4, per_record={"a": nowhere, "b": 2.0})),
            Row("stranger", "elsewhere", Score("homemade", 0.5, n=1, direction="zero")),
        ),
        trajectory=({"step": 0, "forget": nowhere},),
        examples=(Example("forget", "a", "", "", {}),),
    )


if __name__ == "__main__":
    import sys

    from unteach.report import write

    makers = {"rich": rich, "hostile": hostile, "empty": empty, "partial": partial}
    print(write(makers[sys.argv[1]](), sys.argv[2]))
