"""Addresses of served models, and what of them may be shown."""

from os.path import exists
from urllib.parse import SplitResult, urlsplit, urlunsplit

from unteach.schema import InputError

UNREADABLE = "the address of a served model cannot be read; write it like http://localhost:8000/v1"


def is_url(model: str) -> bool:
    """Whether a model is named by the address of its server."""
    return model.lower().startswith(("http://", "https://"))


def several(models: str) -> tuple[str, ...]:
    """The models that are named with commas between; one, whatever its folder is called, where there is such a folder."""
    found = [models] if exists(models) else [model.strip() for model in models.split(",")]
    return tuple(filter(None, found))


def shown(url: str) -> str:
    """A URL without what may be secret in it: who asks, and what stands behind a question mark."""
    parts = parts_of(url)
    return urlunsplit(parts._replace(netloc=parts.netloc.rpartition("@")[2], query=""))


def parts_of(url: str) -> SplitResult:
    """A URL in its parts; one that cannot be read is refused and not repeated."""
    try:
        parts = urlsplit(url)
        readable = bool(parts.hostname) and parts.port != 0
    except ValueError:
        readable = False
    if not readable:
        raise InputError(UNREADABLE)
    return parts
