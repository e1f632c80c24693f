"""Policies: guards fitted to what they hide, and what is done where they find something."""

import hmac
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from unteach.data.facts import read_facts
from unteach.data.read import read
from unteach.edit.store import load
from unteach.lm.guard import Guard
from unteach.lm.model import LM
from unteach.methods.conversation.guarded import fitted, unfitted
from unteach.registry import name_of
from unteach.schema import InputError, Request
from unteach.service.gateway.config import Rule


@dataclass(frozen=True)
class Policy:
    """Guards as a conversation wears them, innermost first, and what happens where they find something.

    block, abstain: a fixed answer stands in place of the model's. edit: what the guards make of it does. monitor: what
    they would do is counted, and nothing is changed.
    """

    name: str
    action: Literal["block", "abstain", "edit", "monitor"]
    guards: tuple[Guard, ...] = field(repr=False)
    says: str = field(default="", repr=False)
    error: bool = False
    open: bool = False

    @property
    def replaces(self) -> bool:
        """Whether its own words stand in place of what guards leave."""
        return self.action in ("block", "abstain")

    @property
    def worn(self) -> bool:
        return self.action != "monitor"


def made(name: str, rule: Rule, place: Path, lm: LM | None, *, weighs: bool) -> Policy:
    """A policy from what is written; `weighs` says whether guards may read and change logits here.

    Raises:
        InputError: the guards cannot be fitted to what is given, or cannot be worn here.
    """
    if rule.edit:
        guards = _saved(name, place / rule.edit)
        _wearable(name, rule, guards, weighs)
    else:
        bare = unfitted(rule.guards, rule.options)
        _wearable(name, rule, bare, weighs)
        guards = fitted(bare, _request(rule, place), lm)
    error = rule.action == "block" and rule.refuse == "error"
    return Policy(name, rule.action, guards, rule.says, error, rule.fail == "open")


def _wearable(name: str, rule: Rule, guards: Sequence[Guard], weighs: bool) -> None:
    """Refuse guards that logits are not shown to."""
    if strangers := [name_of(g) for g in guards if g.weighs and (not weighs or rule.action == "monitor")]:
        why = "and cannot only monitor" if weighs else "which an upstream does not show; serve a model folder"
        raise InputError(f"policy '{name}': the guard '{strangers[0]}' reads or changes logits, {why}")


def _request(rule: Rule, place: Path) -> Request:
    """The rows and facts that guards are fitted to."""
    forget, retain, holdout = (
        read(place / file).records if file else () for file in (rule.forget, rule.retain, rule.holdout)
    )
    facts = read_facts(place / rule.facts) if rule.facts else ()
    return Request(forget, retain, holdout, facts)


def _saved(name: str, folder: Path) -> tuple[Guard, ...]:
    edit = load(folder)
    if edit.weights or edit.activations:
        raise InputError(f"policy '{name}': the edit also changes the model; put it under `edits`, for a model folder")
    if not edit.guards:
        raise InputError(f"policy '{name}': the edit has no guards; name another one")
    return edit.guards


def version(policies: Mapping[str, Policy], secret: str) -> str:
    """A digest of all that is in force: the same for the same policies, and no help in guessing what they hide."""
    told = [
        [name, p.action, p.says, p.error, p.open, [[type(g).__name__, vars(g)] for g in p.guards]]
        for name, p in sorted(policies.items())
    ]
    content = json.dumps(told, sort_keys=True, default=repr).encode("utf-8", "surrogatepass")
    return hmac.new(bytes.fromhex(secret), content, "sha256").hexdigest()[:16]
