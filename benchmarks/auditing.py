"""The TOFU audit, against the usual way on the same rows: 40 of each set, TOFU's own metrics, then more of them.

Asked are the model that knows the rows and the same model with noise on its weights, which no longer stops writing.
Every value of every row must be equal. PrivLeak is the membership attack `miamink` set against the retrained model's
value, and costs nothing beyond it; the retrained model's truth ratios are read from a log by both sides.
"""

import argparse
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import torch

from benchmarks.figures import Figure, circumstances, parser_of, ratio, save, shown
from benchmarks.paired import Differ, close, paired
from benchmarks.straightforward import auditing as straightforward
from benchmarks.straightforward.auditing import Finding
from benchmarks.straightforward.writing import MAX_NEW
from benchmarks.subjects import TEMPLATE
from unteach.audit.benchmarks.tofu import Tofu
from unteach.audit.evidence import Evidence
from unteach.lm.load import load
from unteach.lm.model import LM
from unteach.registry import build, entries
from unteach.schema import Record

ROWS = 40
UNSEEN = 3200  # first row of retain90 to hold out: the models were trained on its first 400
GOAL = 4.0
MODELS = ("tiny_tofu_llama", "tiny_tofu_llama_retain90")  # as it was, and trained without the forget rows
SIGMA, SEED = 0.05, 1
ROLES = {**Tofu.roles, "holdout": "holdout"}
Options = Mapping[str, Any]
SHARE: Options = {"k": straightforward.MIN_K}
MORE: Mapping[str, Options] = {
    "exactmemorization": {}, "mialoss": {}, "miazlib": {}, "miaminkpp": SHARE, "miareference": {}, "miagradnorm": {},
}  # fmt: skip
SUITES: Mapping[str, Mapping[str, Options]] = {"TOFU's metrics": {}, "all metrics": MORE}


@dataclass(frozen=True)
class Asking:
    """The rows, the retrained model, and its truth ratios on the forget rows, also as a log."""

    sets: Mapping[str, Sequence[Record]]
    retrained: LM
    then: Sequence[float]
    log: str

    def peer(self, lm: LM, more: Mapping[str, Options]) -> dict[str, Finding]:
        """One metric after another."""
        if not more:
            return straightforward.default(lm, self.sets, self.then)
        return straightforward.everything(lm, self.sets, self.then, self.retrained, list(more))

    def ours(self, lm: LM, more: Mapping[str, Options]) -> dict[str, Finding]:
        """Each model asked once for all that the metrics read."""
        metrics = [(s, m, build("metric", m, options)) for s, m, options in self._asked(more)]
        then = Evidence(self.retrained, self.sets, name="retrained", roles=ROLES)
        evidence = Evidence(lm, self.sets, name="asked", roles=ROLES, retrained=then, max_new=MAX_NEW)
        evidence.gather((metric.needs, s) for s, _, metric in metrics)
        found = {f"{s}/{m}": metric(evidence, s) for s, m, metric in metrics}
        return {name: Finding(score.value, list(score.per_record.values())) for name, score in found.items()}

    def _asked(self, more: Mapping[str, Options]) -> list[tuple[str, str, Options]]:
        """Set, metric and options."""
        return [
            *((s, m, {}) for s in Tofu.roles for m in ("probability", "rougel", "truthratio")),
            ("forget", "forgetquality", {"retain_logs": self.log}),
            ("retain", "modelutility", {}),
            ("forget", "miamink", SHARE),
            ("forget", "extractionstrength", {}),
            *(("forget", m, options) for m, options in more.items()),
        ]


def main(arguments: list[str]) -> None:
    """Compare, time, and write the results."""
    parser = parser_of("audit", __doc__)
    add_options(parser)
    run(parser.parse_args(arguments))


def add_options(parser: argparse.ArgumentParser) -> None:
    """What this benchmark is told beside --data, --pairs and --device."""
    parser.add_argument("--models", type=Path, required=True, help=f"folder with {' and '.join(MODELS)}")
    parser.add_argument("--rows", type=int, default=ROWS, help="rows of each set")


def run(chosen: argparse.Namespace) -> list[Figure]:
    """Every figure, printed as it is found."""
    known, retrained, noisy = (
        load(chosen.models / m, template=TEMPLATE, device=chosen.device) for m in (*MODELS, MODELS[0])
    )
    spoil(noisy)
    models = {"a model that knows the rows": known, "one that does not stop writing": noisy}
    with TemporaryDirectory() as folder:
        asking = prepared(sets_of(chosen.data, chosen.rows), retrained, Path(folder))
        figures = shown(
            compared(f"{suite}, {label}", lm, asking, there(more), pairs=chosen.pairs, device=chosen.device)
            for label, lm in models.items()
            for suite, more in SUITES.items()
        )
    save("audit", figures, facts=circumstances(chosen.device))
    return figures


def compared(
    what: str, lm: LM, asking: Asking, more: Mapping[str, Options], *, pairs: int, device: str = "cpu"
) -> Figure:  # fmt: skip
    """Time both ways to answer a suite; every value must be the same."""
    spent = paired(partial(asking.peer, lm, more), partial(asking.ours, lm, more), agree, pairs=pairs, device=device)
    return ratio(what, GOAL, spent, device=device)


def sets_of(data: str, rows: int) -> dict[str, Sequence[Record]]:
    """The first rows of each set, and rows that neither model has seen."""
    tofu = Tofu(data, rows=rows)
    return {**tofu.sets(), "holdout": tofu.request().retain[UNSEEN : UNSEEN + rows]}


def prepared(sets: Mapping[str, Sequence[Record]], retrained: LM, folder: Path) -> Asking:
    """Ask the retrained model for its truth ratios, and write them as a log that forget quality reads."""
    then, path = straightforward.truth_ratios(retrained, sets["forget"]), folder / "TOFU_EVAL.json"
    by_index = {str(i): {"score": r} for i, r in enumerate(then)}
    path.write_text(json.dumps({"forget_truth_ratio": {"value_by_index": by_index}}), encoding="utf-8")
    return Asking(sets, retrained, then, str(path))


def spoil(lm: LM, *, sigma: float = SIGMA, seed: int = SEED) -> None:
    """Put noise on every weight, on a tied one once."""
    dice = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for name, tensor in lm.model.state_dict().items():
            if name != "lm_head.weight":
                tensor += sigma * torch.randn(tensor.shape, generator=dice).to(tensor.device)


def there(more: Mapping[str, Options]) -> dict[str, Options]:
    """The metrics that are registered; the others are named."""
    names = {e.name for e in entries("metric")}
    for name in more.keys() - names:
        print(f"{name}: not measured, since there is no such metric here", flush=True)
    return {name: options for name, options in more.items() if name in names}


def agree(peer: Mapping[str, Finding], ours: Mapping[str, Finding]) -> None:
    """Every aggregate and every row's value."""
    if only := ours.keys() ^ peer.keys():
        raise Differ(f"only one side has {', '.join(sorted(only))}")
    for name, finding in peer.items():
        close(name, finding.value, ours[name].value)
        if finding.rows:
            close(f"{name}, row by row", finding.rows, ours[name].rows)
