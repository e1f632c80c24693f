"""The command line: thin; every command is also a Python function. Torch is imported only by the commands that need it."""

from unteach.cli import (
    changing,
    cleaning,
    deleting,
    editing,
    exporting,
    looking,
    reading,
    revoking,
    rewording,
    searching,
    serving,
    signing,
    tracing,
    verifying,
)
from unteach.cli.app import app, err, main, out, say

__all__ = [
    "app",
    "changing",
    "cleaning",
    "deleting",
    "editing",
    "err",
    "exporting",
    "looking",
    "main",
    "out",
    "reading",
    "revoking",
    "rewording",
    "say",
    "searching",
    "serving",
    "signing",
    "tracing",
    "verifying",
]
