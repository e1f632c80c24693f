"""The gateway's configuration: a YAML file, checked; what stands in it is never repeated."""

from pathlib import Path
from typing import Any, Literal

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from unteach.schema import InputError

REFUSAL = "I cannot help with that."


class Part(BaseModel):
    """A part of the file, in which every key is known."""

    model_config = ConfigDict(extra="forbid", frozen=True, hide_input_in_errors=True)


class Rule(Part):
    """A policy as it is written: guards, what they are fitted to, and what is done where they find something.

    Guards are named, and fitted to rows or facts in files; or they are those of an edit that was saved in a folder.
    """

    action: Literal["block", "abstain", "edit", "monitor"] = "block"
    guards: str = ""
    options: dict[str, Any] = {}
    forget: str = ""
    retain: str = ""
    holdout: str = ""
    facts: str = ""
    edit: str = ""
    says: str = REFUSAL
    refuse: Literal["answer", "error"] = "answer"
    fail: Literal["closed", "open"] = "closed"


class Tenant(Part):
    """What the keys of a tenant may do; `policies` left out means all that there are, and `models` left out any."""

    models: tuple[str, ...] = ()
    edits: tuple[str, ...] = ()
    policies: tuple[str, ...] | None = None
    per_minute: int | None = Field(default=None, ge=1)


class Limits(Part):
    """How much is taken at once, and how long anything is waited for."""

    per_minute: int = Field(default=600, ge=1)
    at_once: int = Field(default=64, ge=1)
    body_bytes: int = Field(default=1 << 20, ge=1)
    characters: int = Field(default=200_000, ge=1)
    tokens: int = Field(default=32_768, ge=1)
    answers: int = Field(default=8, ge=1)
    receive_seconds: float = Field(default=10.0, gt=0)
    answer_seconds: float = Field(default=600.0, gt=0)
    drain_seconds: float = Field(default=2.5, ge=0)


class Config(Part):
    """The whole file. Paths are relative to the folder that it lies in."""

    keys: str = ""
    edits: dict[str, str] = {}
    policies: dict[str, Rule] = {}
    tenants: dict[str, Tenant] = {}
    limits: Limits = Limits()


def read(path: Path) -> Config:
    """The configuration in a file; what is wrong with it is said in a sentence."""
    try:
        found = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError) as missing:
        why = getattr(missing, "strerror", None) or "not UTF-8"
        raise InputError(f"{path}: cannot be read ({why}); name the gateway's YAML file") from None
    except (yaml.YAMLError, RecursionError, ValueError, KeyError, IndexError, AttributeError, TypeError) as damaged:
        mark = getattr(damaged, "problem_mark", None)
        line = mark.line + 1 if mark else None
        raise InputError.at(path, line, "not valid YAML", "mend it there") from None
    if not isinstance(found or {}, dict):
        raise InputError(f"{path}: not a list of keys and values; write one `key: value` a line")
    try:
        config = Config.model_validate(found or {})
    except ValidationError as wrong:
        first = wrong.errors(include_input=False, include_url=False, include_context=False)[0]
        place, message = ".".join(map(str, first["loc"])), first["msg"]
        raise InputError(f"{path}: {place}: {message[:1].lower()}{message[1:]}; mend it there") from None
    _refer(path, config)
    return config


def keys_of(path: Path) -> Path | None:
    """The file of keys that a configuration names."""
    name = read(path).keys
    return path.parent / name if name else None


def _refer(path: Path, config: Config) -> None:
    """Refuse names that lead nowhere."""
    for name, rule in config.policies.items():
        if bool(rule.guards) == bool(rule.edit):
            raise InputError(f"{path}: policy '{name}' names {'both ' * bool(rule.edit)}guards and an edit; give one")
        if rule.fail == "open" and rule.action != "monitor":
            raise InputError(f"{path}: policy '{name}' may fail open only where it monitors; write fail: closed")
    for tenant, its in config.tenants.items():
        known = (("policies", its.policies or (), config.policies), ("edits", its.edits, config.edits))
        for kind, names, there in known:
            if lost := [name for name in names if name not in there]:
                raise InputError(f"{path}: tenant '{tenant}' names {kind} that are not there: {lost[0]}; add them")
