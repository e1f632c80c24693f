"""The command that serves a model behind guards."""

import asyncio
import logging
import os
from pathlib import Path
from typing import Annotated

import typer

from unteach.cli.app import app, out, say
from unteach.registry import command
from unteach.schema import InputError

LOOPBACK = "127.0.0.1"
NO_PACKAGE = "the gateway needs the package '{}', which is not here; pip install 'unteach[serve]'"


@app.command("serve")
@command("serve", tested_by="test_the_command_serves_a_configuration_until_it_is_told_to_end")
def serve(
    model: Annotated[
        str, typer.Argument(metavar="MODEL_OR_URL", help="model folder, or an OpenAI-compatible URL")
    ] = "",
    config: Annotated[Path | None, typer.Option(help="YAML: policies, tenants, keys, limits")] = None,
    host: Annotated[str, typer.Option(help="address to listen on; loopback unless you say otherwise")] = LOOPBACK,
    port: Annotated[int, typer.Option(min=0, max=65535, help="0: any that is free")] = 8080,
    keys: Annotated[Path | None, typer.Option(help="file of API keys, in place of the configuration's")] = None,
    new_key: Annotated[str, typer.Option(metavar="TENANT", help="add a key to --keys, print it this once, stop")] = "",
    admin: Annotated[bool, typer.Option("--admin", help="of --new-key: it may also reload and read metrics")] = False,
    check: Annotated[bool, typer.Option("--check", help="read everything, fit the guards, say so, and stop")] = False,
    device: Annotated[str, typer.Option(help="of a model folder: cpu, cuda, cuda:1 ...")] = "",
) -> None:
    """Serve MODEL_OR_URL to OpenAI clients, with guards around every conversation.

    Without --keys a key is made for this run and printed once. The key for an upstream is OPENAI_API_KEY. What guards
    hide is suppressed: the model still knows it.
    """
    if new_key:
        _mint(new_key, keys, config, admin=admin)
    elif not model:
        raise InputError("there is nothing to serve; give a model folder or the URL of an OpenAI-compatible server")
    else:
        _serve(model, config, keys, (host, port), device, check=check)


def _mint(tenant: str, keys: Path | None, config: Path | None, *, admin: bool) -> None:
    from unteach.service.gateway import access
    from unteach.service.gateway.config import keys_of

    place = keys or (keys_of(config) if config is not None else None)
    if place is None:
        raise InputError("a new key has no file to lie in; give --keys FILE, or a --config that names one")
    out.print(access.mint(place, tenant, "admin" if admin else "client"), markup=False)


def _serve(
    model: str, config: Path | None, keys: Path | None, at: tuple[str, int], device: str, *, check: bool
) -> None:  # fmt: skip
    try:
        from unteach.service.gateway import running, starting
    except ModuleNotFoundError as missing:
        if missing.name in ("aiohttp", "prometheus_client"):
            raise InputError(NO_PACKAGE.format(missing.name)) from None
        raise
    key = os.environ.get("OPENAI_API_KEY", "").strip()
    started = starting.start(model, config, keys, upstream_key=key, device=device)
    for line in started.said:
        say(line)
    if check:
        asyncio.run(started.gateway.backend.close())
        return
    _log()
    if started.token:
        out.print(f"API key, for this run only: {started.token}", markup=False)

    def listening(port: int) -> None:
        out.print(f"listening: http://{at[0]}:{port}/v1", markup=False)

    running.run_until_told(started.gateway, *at, listening)


def _log() -> None:
    """The gateway's own lines go to standard error; those of libraries, which may hold what they are sent, nowhere."""
    for name, level in (("unteach.gateway", logging.INFO), ("aiohttp", logging.CRITICAL)):
        logging.getLogger(name).setLevel(level)
    logging.getLogger("unteach.gateway").addHandler(logging.StreamHandler())
