"""The model beside the retrained one: one number a row from their next-token distributions."""

from collections.abc import Callable

from unteach.audit.evidence import Evidence
from unteach.audit.scoring import UNOBSERVABLE, Metric, mean_score, nothing
from unteach.measure.divergence import Divergence
from unteach.schema import Score


def compared(metric: Metric, evidence: Evidence, set_name: str, part: Callable[[Divergence], float]) -> Score:
    """The mean over the rows of one part of how far both models are apart."""
    then = evidence.retrained
    if not evidence.observable or (then is not None and not then.observable):
        return nothing(metric, evidence, set_name, UNOBSERVABLE)
    found = evidence.beside(set_name)
    if evidence.apart:
        return nothing(metric, evidence, set_name, evidence.apart)
    return mean_score(metric, evidence, set_name, [None if d is None else part(d) for d in found])
