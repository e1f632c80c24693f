"""A gateway as it is started: what answers, what is in force, and how it is read again."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

from unteach.edit.edit import Edit
from unteach.edit.store import load as load_edit
from unteach.lm.address import is_url, parts_of, shown
from unteach.lm.load import load
from unteach.registry import name_of
from unteach.schema import InputError
from unteach.service.gateway import config as written
from unteach.service.gateway.access import Keyring
from unteach.service.gateway.backend import Backend
from unteach.service.gateway.config import Config
from unteach.service.gateway.gateway import Gateway
from unteach.service.gateway.local import LocalBackend
from unteach.service.gateway.rules import ALONE, Rules, rules
from unteach.service.gateway.upstream import Upstream


@dataclass(frozen=True)
class Started:
    """A gateway that may run, what is said of it, and the token that was made for this run, if one was."""

    gateway: Gateway
    said: Sequence[str]
    token: str = field(default="", repr=False)


def start(
    model: str, config: Path | None, keys: Path | None = None, *, upstream_key: str = "", device: str = ""
) -> Started:
    """The gateway of a model folder or a URL.

    Raises:
        InputError: the model, the configuration or a file that it names cannot be used.
    """
    asked = written.read(config) if config is not None else Config()
    ring, token = None, ""
    if keys is None and not asked.keys:
        ring, token = Keyring().minted(_tenant(asked), "admin")
    backend = _opened(model, asked, _place(config), upstream_key, device)
    again = partial(_rules, config, keys, ring, backend)
    gateway = Gateway(backend, again(), again if config is not None or keys is not None else None)
    return Started(gateway, tuple(_said(model, gateway.rules)), token)


def _place(config: Path | None) -> Path:
    return config.parent if config is not None else Path()


def _tenant(asked: Config) -> str:
    """Whose the key of a run without a file of keys is."""
    if len(asked.tenants) > 1:
        raise InputError("there are several tenants and no file of keys; name one under `keys`, or give --keys FILE")
    return next(iter(asked.tenants), ALONE)


def _rules(config: Path | None, keys: Path | None, ring: Keyring | None, backend: Backend) -> Rules:
    """What the files say; guards are fitted to a model between two of its tokens, and its answers then go on."""
    asked = written.read(config) if config is not None else Config()
    if keys is not None:
        asked = asked.model_copy(update={"keys": str(keys.absolute())})
    with backend.paused() as lm:
        return rules(asked, _place(config), ring, lm=lm, weighs=backend.weighs)


def _opened(model: str, asked: Config, place: Path, key: str, device: str) -> Backend:
    if is_url(model):
        parts = parts_of(model)
        return Upstream(model, parts.fragment, key)
    lm = load(model, device=device)
    edits: Mapping[str, Edit | None] = {"": None, **{n: load_edit(place / f) for n, f in asked.edits.items()}}
    return LocalBackend(lm, edits, name=Path(model).name)


def _said(model: str, found: Rules) -> list[str]:
    lines = [f"model: {shown(model) if is_url(model) else model}"]
    for name, policy in found.policies.items():
        names = " + ".join(map(name_of, reversed(policy.guards)))
        lines.append(f"policy {name}: {policy.action}, {names}")
    tenants = f"{len(found.tenants)} tenants" if found.tenants else "one tenant"
    return [*lines, f"{len(found.keys.keys)} keys, {tenants}, policies {found.version}"]
