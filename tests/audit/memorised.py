"""How the metrics of memorisation are asked."""

from unteach.audit.evidence import Evidence
from unteach.registry import build
from unteach.schema import Score


def score(name: str, found: Evidence, on: str = "forget", **options: object) -> Score:
    return build("metric", name, options)(found, on)
