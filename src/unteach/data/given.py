"""What a request must bring, refused in one sentence where it does not."""

from typing import Literal

from unteach.schema import InputError, Request

ROWS = {"forget": "records to forget", "retain": "records to keep", "holdout": "holdout records, never seen"}


def require(request: Request, by: str, *roles: Literal["forget", "retain", "holdout"]) -> None:
    """Refuse a request without rows in one of these roles; `by` names who needs them.

    Raises:
        InputError: rows are missing; the sentence says which, and the flags that bring them.
    """
    if missing := [role for role in roles if not getattr(request, role)]:
        files = " and ".join(f"--{role} FILE" for role in missing)
        raise InputError(f"{by} needs {' and '.join(ROWS[role] for role in missing)}; give {files}")
