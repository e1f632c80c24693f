"""Which metrics are asked, with which options."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from unteach.audit.scoring import Metric
from unteach.registry import build


@dataclass(frozen=True)
class Suite:
    """Metrics by name with their options; each is asked on the sets whose role it has a meaning on.

    `max_new` is the greatest number of tokens of a generated answer.
    """

    metrics: tuple[tuple[str, Mapping[str, Any]], ...]
    max_new: int = 200

    def build(self) -> tuple[Metric, ...]:
        """The metrics themselves; unknown names and options are refused."""
        return tuple(build("metric", name, options) for name, options in self.metrics)


def of(*names: str, max_new: int = 200) -> Suite:
    """A suite of metrics with their default options."""
    return Suite(tuple((name, {}) for name in names), max_new)


DEFAULT = of(  # one teacher-forced pass, one generation, and one pass beside the retrained model
    "probability",
    "rougel",
    "paraphrase",
    "exactmemorization",
    "extractionstrength",
    "truthratio",
    "forgetquality",
    "accuracy",
    "mialoss",
    "miazlib",
    "miamink",
    "miaminkpp",
    "privleak",
    "miaconfidence",
    "agreement",
    "kl",
    "js",
    "perplexity",
    "modelutility",
    "refusalrate",
    "efficiency",
    "ngramentropy",
    "distinctoutputs",
)
CORRECTED = of(  # what a correction is asked
    "reliability", "generalisation", "locality", "portability", "romescore", "probability", "exactmemorization",
    "perplexity", "ngramentropy", "distinctoutputs", max_new=32,
)  # fmt: skip
FULL = Suite(  # everything that rows of questions and answers can be asked
    (
        *DEFAULT.metrics,
        *of(
            "memorizationaccuracy", "extractionlikelihood", "sma", "sel", "exposure", "verbatimhits", "piihits", "verbmem",
            "knowmem", "multiplechoice", "kfr", "krr", "linguisticscore", "toxicity", "distinctn",
            "miareference", "miagradnorm", "mianeighbourhood", "recall", "forgettingrate",
            "lira", "ulira", "liraforget", "neurips2023", "empiricalepsilon",
            "reliability", "generalisation", "locality", "portability", "romescore", "multihop",
        ).metrics,
    )
)  # fmt: skip
OWN_ROWS = ("crowspairs", "stereoset", "winobias")  # they mean something on the rows of their own data sets only
