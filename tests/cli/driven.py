"""The command line driven inside this process, and what it left on the disk."""

import sys
from contextlib import redirect_stderr, redirect_stdout
from hashlib import sha256
from io import StringIO
from pathlib import Path
from typing import NamedTuple
from unittest.mock import patch

from unteach import cli

# A forgetting that takes a moment on a tiny model.
QUICK = ("--epochs", 3, "--lr", "1e-3", "--accumulate", 1, "--batch-size", 4, "--rank", 4, "--max-new", 8)


class Ran(NamedTuple):
    code: int
    out: str
    err: str

    @property
    def last(self) -> str:
        """The last line of standard error."""
        return (self.err.splitlines() or [""])[-1]


def run(*words: object) -> Ran:
    """`unteach WORDS...`: its exit code, and what it wrote."""
    out, err = StringIO(), StringIO()
    with patch.object(sys, "argv", ["unteach", *map(str, words)]), redirect_stdout(out), redirect_stderr(err):
        try:
            cli.main()
            code = 0
        except SystemExit as ended:
            code = int(ended.code or 0)
    return Ran(code, out.getvalue(), err.getvalue())


def went_well(*words: object) -> Ran:
    """The same, for what has to end well."""
    ran = run(*words)
    assert ran.code == 0, ran.err
    return ran


def tree(folder: Path) -> dict[str, str]:
    """Every path under a folder, with a digest of what stands there."""
    return {
        str(p.relative_to(folder)): sha256(p.read_bytes()).hexdigest() if p.is_file() else "folder"
        for p in sorted(folder.rglob("*"))
    }
