"""A suite of metrics over models and sets: one report, with a verdict for every edited model.

The models are asked one after another, each once, so that an edit can be worn on the same copy of the weights
that the original was asked on.
"""

import platform
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from importlib.metadata import version

from unteach.audit.evidence import ROLES, Evidence
from unteach.audit.examples import examples
from unteach.audit.gates import Thresholds
from unteach.audit.models import ORIGINAL, RETRAINED, Worn, is_retrained, worn
from unteach.audit.panel import agreed
from unteach.audit.scoring import Metric
from unteach.audit.shadows import Shadow
from unteach.audit.suite import DEFAULT, Suite
from unteach.audit.untested import untested
from unteach.audit.verdict import DEFAULTS, verdict
from unteach.lm.respondent import Respondent
from unteach.schema import EMPIRICAL, Cost, Guarantee, InputError, Record, Report, Row, Verdict

NOTES = (
    "This is evidence about what the models say. It is not proof that the rows had, or have, no influence: weights "
    "alone cannot show which rows they were trained on.",
)
SERVED = (
    "Served, so that nothing but free answers was seen: {}. Such a model may hide rather than have forgotten; what the "
    "weights still know was not tested. Its digest is that of its address and name, not of weights."
)

Progress = Callable[[str], None]


def audit(
    models: Mapping[str, Worn], sets: Mapping[str, Sequence[Record]], *, roles: Mapping[str, str],
    suite: Suite = DEFAULT, axes: Mapping[str, tuple[str, str]] | None = None, show: bool = False,
    thresholds: Thresholds = DEFAULTS, guarantee: Guarantee = EMPIRICAL, title: str = "Audit",
    costs: Mapping[str, Cost] | None = None, shadows: Sequence[Shadow] = (), progress: Progress | None = None,
) -> Report:  # fmt: skip
    """Ask every model everything the suite needs, and say what follows.

    `models` holds "original", optionally "retrained" ("retrained 2" ...: then the verdict is what most of them say), and
    the edited ones under any other names; `roles` maps each set to forget, retain, general or holdout. `axes` names the
    (set, metric) pairs of the forget-utility plot. `costs` says what making a model took, where that is known, and
    `shadows` what models with and without each row say. Texts come into the report only with `show`; records are called
    by their set and number. Raises `InputError` for a missing original, an empty set or an unknown role.
    """
    costs = costs or {}
    _check(models, sets, roles, costs)
    roles = {s: roles[s] for s in sets}
    evidence, tables, environment = _interview(models, sets, roles, suite, costs, shadows, progress)
    rows, unanswered = _answered([tables[name] for name in models])
    edited = [m for m in models if m != ORIGINAL and not is_retrained(m)]
    return Report(
        title,
        models={m: {"role": _role(m), "digest": evidence[m].digest, "label": m} for m in models},
        sets={s: {"n": len(records), "role": roles[s]} for s, records in sets.items()},
        verdicts={m: _judged(rows, m, roles, thresholds, guarded=evidence[m].guarded) for m in edited},
        scores=rows,
        guarantee=guarantee,
        environment=environment,
        axes=_axes(rows, roles) if axes is None else axes,
        examples=examples(evidence, edited, show=show) if edited else (),
        masked=not show,
        untested=untested(sets, roles, retrained=sum(map(is_retrained, models)), unanswered=unanswered),
        notes=(*NOTES, *_served(evidence)),
    )


def _judged(
    rows: Sequence[Row], model: str, roles: Mapping[str, str], thresholds: Thresholds, *, guarded: bool
) -> Verdict:
    """The verdict beside each retrained model, as one."""
    references = list(dict.fromkeys(r.model for r in rows if is_retrained(r.model))) or [RETRAINED]
    return agreed([
        verdict(rows, model, roles=roles, retrained=r, thresholds=thresholds, guarded=guarded) for r in references
    ])  # fmt: skip


def _interview(
    models: Mapping[str, Worn], sets: Mapping[str, Sequence[Record]], roles: Mapping[str, str], suite: Suite,
    costs: Mapping[str, Cost], shadows: Sequence[Shadow], progress: Progress | None,
) -> tuple[dict[str, Evidence], dict[str, list[Row]], dict[str, str]]:  # fmt: skip
    """What each model says and scores, the ones to compare with first, and the circumstances."""
    metrics = suite.build()
    evidence: dict[str, Evidence] = {}
    tables: dict[str, list[Row]] = {}
    environment: dict[str, str] = {}
    for name in sorted(models, key=lambda m: (m != RETRAINED, m != ORIGINAL)):
        if progress is not None:
            progress(name)
        with worn(models[name]) as lm:
            evidence[name] = Evidence(
                lm, sets, name=name, roles=roles, retrained=evidence.get(RETRAINED),
                original=evidence.get(ORIGINAL), max_new=suite.max_new, again=partial(worn, models[name]),
                cost=costs.get(name), shadows=shadows,
            )  # fmt: skip
            tables[name] = _ask(evidence[name], metrics)
            environment = environment or _environment(lm, suite)
            evidence[name].close()
    return evidence, tables, environment


def _served(evidence: Mapping[str, Evidence]) -> tuple[str, ...]:
    names = ", ".join(name for name, found in evidence.items() if found.served)
    return (SERVED.format(names),) if names else ()


def _role(model: str) -> str:
    return RETRAINED if is_retrained(model) else ORIGINAL if model == ORIGINAL else "edited"


def _check(
    models: Mapping[str, Worn], sets: Mapping[str, Sequence[Record]], roles: Mapping[str, str],
    costs: Mapping[str, Cost],
) -> None:  # fmt: skip
    if ORIGINAL not in models:
        raise InputError(f"an audit needs the model as it was; give it as '{ORIGINAL}'")
    for name in costs:
        if name not in models:
            raise InputError(f"there is no model '{name}' whose costs could be told; there are {', '.join(models)}")
    for name, records in sets.items():
        if roles.get(name) not in ROLES:
            raise InputError(f"set '{name}' has no known role; give it one of {', '.join(ROLES)}")
        if not records:
            raise InputError(f"set '{name}' holds no rows; leave it out or fill it")


def _ask(evidence: Evidence, metrics: Sequence[Metric]) -> list[Row]:
    wanted = [(m, s) for s in evidence.sets for m in metrics if evidence.roles[s] in m.directions]
    evidence.gather((m.needs, s) for m, s in wanted)
    return [Row(evidence.name, s, m(evidence, s)) for m, s in wanted]


def _answered(tables: Sequence[Sequence[Row]]) -> tuple[tuple[Row, ...], list[str]]:
    """The rows in the order set, metric, model; what no model has a value for becomes a sentence instead."""
    rows: list[Row] = []
    unanswered: list[Row] = []
    for line in zip(*tables, strict=True):
        if any(r.score.value is not None for r in line):
            rows += line
        else:
            unanswered.append(line[0])
    return tuple(rows), _sentences(unanswered)


def _sentences(unanswered: Sequence[Row]) -> list[str]:
    """One sentence for all metrics that are missing on the same sets for the same reason."""
    sets: dict[tuple[str, str], list[str]] = {}
    for row in unanswered:
        sets.setdefault((row.score.name, row.score.note), []).append(row.set)
    metrics: dict[tuple[str, str], list[str]] = {}
    for (name, why), where in sets.items():
        metrics.setdefault((", ".join(where), why), []).append(name)
    return [f"{', '.join(names)} on {where}: {why}" for (where, why), names in metrics.items()]


def _axes(rows: Sequence[Row], roles: Mapping[str, str]) -> dict[str, tuple[str, str]]:
    """The first metric that was measured on a forget and on a retain set, free answers before likelihoods."""
    measured = {(r.set, r.score.name) for r in rows if r.score.value is not None}
    for metric in ("rougel", "probability", "exactmemorization"):
        found = {role: (s, metric) for s, role in reversed(list(roles.items())) if (s, metric) in measured}
        if {"forget", "retain"} <= found.keys():
            return {role: found[role] for role in ("forget", "retain")}
    return {}


def _environment(model: Respondent, suite: Suite) -> dict[str, str]:
    python = {"python": platform.python_version()}
    decoding = {"decoding": f"greedy, at most {suite.max_new} new tokens"}
    if (lm := model.held) is None:
        return python | decoding
    inside = {
        "torch": version("torch"),
        "transformers": version("transformers"),
        "device": lm.device.type,
        "dtype": str(next(lm.model.parameters()).dtype).removeprefix("torch."),
    }
    answer = {"answer": "with its end token" if lm.encoder.closing else "without an end token"}
    return python | inside | decoding | answer
