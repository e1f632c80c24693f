"""The only words by which an exact or a certified deletion may be claimed; who may use them is on a list in the tests."""

from collections.abc import Mapping
from types import MappingProxyType

from unteach.schema import Guarantee

NONE: Mapping[str, float] = MappingProxyType({})
SCOPE = " Of the data that was trained on here; not of what the base model was pretrained on, nor of copies elsewhere."


def retrain_equal(what: str, numbers: Mapping[str, float] = NONE) -> Guarantee:
    """The artefact is, byte for byte, what training without the rows makes."""
    claim = f"{what} equals, bit for bit, the one that is trained without the rows by the same plan.{SCOPE}"
    return Guarantee("exact", "retrain-equal", claim, dict(numbers))


def influence_free(what: str, numbers: Mapping[str, float] = NONE) -> Guarantee:
    """The artefact was never touched by the rows, though training anew would make another one."""
    claim = f"No step of the making of {what} read the rows; trained anew it would differ.{SCOPE}"
    return Guarantee("exact", "influence-free", claim, dict(numbers))


def indistinguishable(what: str, numbers: Mapping[str, float], assumptions: str) -> Guarantee:
    """(epsilon, delta)-close to retraining by a theorem, whose assumptions are named."""
    epsilon, delta = numbers["epsilon"], numbers["delta"]
    claim = (
        f"The distribution of {what} is within epsilon {epsilon:.3g} and delta {delta:.1g} of that of training without "
        f"the rows. It rests on this: {assumptions}{SCOPE}"
    )
    return Guarantee("certified", "(epsilon, delta)", claim, dict(numbers))
