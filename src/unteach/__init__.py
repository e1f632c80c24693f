"""unteach: make language models forget, and show how well.

The names below are imported when they are first used, so that importing the package does not import torch.
"""

from importlib import import_module
from typing import Any

_HOME = {
    "Edit": "unteach.edit.edit",
    "Fact": "unteach.schema",
    "Guarantee": "unteach.schema",
    "InputError": "unteach.schema",
    "LM": "unteach.lm.model",
    "Message": "unteach.schema",
    "Plan": "unteach.edit.plan",
    "Record": "unteach.schema",
    "Report": "unteach.schema",
    "Request": "unteach.schema",
    "Score": "unteach.schema",
    "Span": "unteach.schema",
    "Template": "unteach.lm.encoder",
    "Verdict": "unteach.schema",
    "bake": "unteach.edit.bake",
    "entries": "unteach.registry",
    "finalise": "unteach.jobs",
    "forget": "unteach.jobs",
    "load": "unteach.lm.load",
    "load_edit": "unteach.edit.store",
    "make_method": "unteach.assemble",
    "metric": "unteach.registry",
    "method": "unteach.registry",
    "objective": "unteach.registry",
    "read": "unteach.data",
    "save_edit": "unteach.edit.store",
    "undo": "unteach.jobs",
    "write_report": "unteach.report",
}
_OTHER_NAME = {"load_edit": "load", "save_edit": "save", "write_report": "write"}

__all__ = tuple(sorted(_HOME))


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module 'unteach' has no attribute '{name}'")
    found = getattr(import_module(_HOME[name]), _OTHER_NAME.get(name, name))
    globals()[name] = found
    return found


def __dir__() -> list[str]:
    return list(__all__)
