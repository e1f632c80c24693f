"""What a request for deletion must be before anything is taken out."""

from collections.abc import Collection, Sequence

from unteach.schema import InputError


def asked(ids: Sequence[str], alive: Collection[str]) -> frozenset[str]:
    """The ids as a set; one that is named twice or is not held is refused."""
    found = frozenset(ids)
    if twice := len(ids) - len(found):
        raise InputError(f"{twice} of the ids to delete are named twice; name each once")
    if missing := len(found.difference(alive)):
        raise InputError(f"{missing} of the ids to delete are not held; they were never learned, or are already out")
    return found
