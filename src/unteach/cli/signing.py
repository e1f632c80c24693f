"""The command that signs a model's folder, for whoever receives it."""

import os
from pathlib import Path
from typing import Annotated

import typer

from unteach.cli.app import app, out
from unteach.cli.revoking import PASSPHRASE
from unteach.registry import command
from unteach.service import signing


@app.command("sign")
@command("sign", tested_by="test_a_folder_is_signed_and_an_altered_one_refused")
def sign(
    folder: Annotated[Path, typer.Argument(help="the folder of a model")],
    key: Annotated[
        Path, typer.Option(help="a private key on P-256, P-384 or P-521; a passphrase in $UNTEACH_PASSPHRASE")
    ],
) -> None:
    """Sign a model's folder: `model.sig`, which `unteach verify --folder` and other tools check.

    The signature is that of OpenSSF Model Signing 1.0. It says who vouches for these bytes, and nothing of what the model
    has forgotten; a certificate does that.
    """
    written = signing.sign(folder, key, os.environ.get(PASSPHRASE, "").encode() or None)
    out.print(f"signed: {written}", markup=False)
