"""Scores in and out of open-unlearning's evaluation file, TOFU_EVAL.json.

Their file holds, per metric, "agg_value" and "value_by_index" by row number; texts in it are not read, and none
are written. What differs in meaning keeps its own definition: their extraction strength cannot fall below 1/n,
their Min-K % and Min-K %++ use k = 0.4 unless set, and their gradient is that of the loss without the end token.
"""

import json
from collections.abc import Iterator, Mapping
from math import isfinite, log
from pathlib import Path
from typing import Any

from unteach.schema import Direction, InputError, Report, Row, Score

MOST_BYTES = 1 << 30
SETS: Mapping[str, str] = {"forget": "forget", "retain": "retain", "real_authors": "ra", "world_facts": "wf"}
BY_SET = (  # their name, our metric, their field
    ("{}_Q_A_Prob", "probability", "prob"),
    ("{}_Q_A_ROUGE", "rougel", "rougeL_recall"),
    ("{}_Truth_Ratio", "truthratio", "score"),
)
FORGET = (
    ("forget_truth_ratio", "truthratio", "score"),
    ("exact_memorization", "exactmemorization", "score"),
    ("extraction_strength", "extractionstrength", "score"),
    ("forget_quality", "forgetquality", "score"),
    ("privleak", "privleak", "score"),
)
WAYS: Mapping[str, Direction] = {"forgetquality": "up", "privleak": "zero"}  # on the forget set; else to its target
MEMBERSHIP = (
    ("mia_loss", "mialoss"),
    ("mia_zlib", "miazlib"),
    ("mia_min_k", "miamink"),
    ("mia_min_k_plus_plus", "miaminkpp"),
    ("mia_reference", "miareference"),
    ("mia_gradnorm", "miagradnorm"),
)


def retain_log_ratios(path: str | Path) -> list[float]:
    """ln of the truth ratios of a retrained model's forget rows, from the log that forget quality compares with."""
    part = _read(path).get("forget_truth_ratio")
    values = _by_index(part, "score", path) if isinstance(part, dict) else {}
    found = [log(v) for v in values.values() if v > 0]
    if not found:
        raise InputError(f"{path}: no truth ratios of the forget rows; name the TOFU_EVAL.json of the retrained model")
    return found


def read(path: str | Path, model: str, *, sets: Mapping[str, str] = SETS) -> tuple[Row, ...]:
    """The scores of a TOFU_EVAL.json that have a meaning here, as those of `model`; `sets` maps our names to theirs."""
    file, ours = _read(path), {theirs: name for name, theirs in sets.items()}
    rows = []
    for name, prefix, metric, field, way in _names(ours):
        part = file.get(name)
        if isinstance(part, dict):
            values = {f"{prefix}/{i:04d}": v for i, v in _by_index(part, field, path).items()}
            rows.append(Row(model, prefix, _score(metric, part, values, way, path)))
    for name, metric in MEMBERSHIP:
        part = file.get(name)
        if isinstance(part, dict):
            values = {
                f"{ours.get(s, s)}/{i:04d}": v
                for s in ("forget", "holdout")
                for i, v in _by_index(part.get(s), "score", path).items()
            }
            rows.append(Row(model, ours["forget"], _score(metric, part, values, "target", path)))
    return tuple(rows)


def export(report: Report, model: str, *, sets: Mapping[str, str] = SETS) -> dict[str, Any]:
    """One model's scores as the content of a TOFU_EVAL.json; `sets` maps our names of sets to theirs."""
    scores = {(row.set, row.score.name): row.score for row in report.scores if row.model == model}
    if not scores:
        raise InputError(f"the report has no scores of a model '{model}'; it has {', '.join(report.models) or 'none'}")
    ours = {theirs: name for name, theirs in sets.items()}
    made: dict[str, Any] = {}
    for name, set_name, metric, field, _way in _names(ours):
        if (score := scores.get((set_name, metric))) is not None:
            made[name] = {"agg_value": score.value}
            if score.per_record:
                made[name]["value_by_index"] = _indexed(score, set_name, field)
    for name, metric in MEMBERSHIP:
        if (score := scores.get((ours["forget"], metric))) is not None:
            made[name] = {"auc": score.value, "agg_value": score.value}
            for part in ("forget", "holdout"):
                made[name][part] = {"value_by_index": _indexed(score, ours.get(part, part), "score")}
    return made


def _names(ours: Mapping[str, str]) -> Iterator[tuple[str, str, str, str, Direction]]:
    """Their name, our set, our metric, their field, the direction."""
    for theirs, name in ours.items():
        for pattern, metric, field in BY_SET:
            if (theirs, metric) != ("forget", "truthratio"):
                yield pattern.format(theirs), name, metric, field, "target" if theirs == "forget" else "up"
    for whole, metric, field in FORGET:
        yield whole, ours["forget"], metric, field, WAYS.get(metric, "target")
    yield "model_utility", ours["retain"], "modelutility", "score", "up"


def _score(metric: str, part: Mapping[str, Any], values: Mapping[str, float], way: Direction, path: Any) -> Score:
    whole = part.get("agg_value")
    if whole is not None and not _number(whole):
        raise InputError(f"{path}: the agg_value of {metric} is not a number; evaluate the model again")
    return Score(metric, whole, n=len(values), per_record=values, note="read from open-unlearning", direction=way)


def _by_index(part: Any, field: str, path: str | Path) -> dict[int, float]:
    table = part.get("value_by_index", {}) if isinstance(part, dict) else {}
    found: dict[int, float] = {}
    for key, item in table.items() if isinstance(table, dict) else ():
        value = item.get(field) if isinstance(item, dict) else None
        if value is None:
            continue
        if not (key.isascii() and key.isdigit() and len(key) < 10 and _number(value)):
            raise InputError(
                f"{path}: a row of value_by_index is no number under a row's number; evaluate the model again"
            )
        found[int(key)] = float(value)
    return dict(sorted(found.items()))


def _indexed(score: Score, set_name: str, field: str) -> dict[str, dict[str, float]]:
    prefix = f"{set_name}/"
    return {
        str(int(label.removeprefix(prefix))): {field: value}
        for label, value in score.per_record.items()
        if label.startswith(prefix)
    }


def _number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and isfinite(value)


def _read(path: str | Path) -> dict[str, Any]:
    file = Path(path)
    try:
        if file.stat().st_size > MOST_BYTES:
            raise InputError(f"{file}: larger than 1 GiB; name a TOFU_EVAL.json")
        content = json.loads(file.read_text(encoding="utf-8"))
    except OSError as missing:
        raise InputError(f"{file}: cannot be read ({missing.strerror}); name a TOFU_EVAL.json") from None
    except (ValueError, RecursionError):
        raise InputError(f"{file}: not valid JSON; name a TOFU_EVAL.json") from None
    if not isinstance(content, dict):
        raise InputError(f"{file}: not a JSON object; name a TOFU_EVAL.json")
    return content
