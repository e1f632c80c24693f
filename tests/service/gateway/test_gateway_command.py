"""`unteach serve` as a process: configuration, keys, reloading, and how it ends."""

import json
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stdout, suppress
from io import StringIO
from pathlib import Path
from typing import Any
from unittest.mock import patch
from urllib.error import HTTPError, URLError
from urllib.request import Request, urlopen

import openai
import pytest
from openai import OpenAI
from running import free, opened, stubbed
from stub import PLAIN, Stub

from unteach import cli

CANARY = "Orvena-canary"
CONFIG = f"""
keys: keys.json
policies:
  town:
    action: edit
    guards: justask
    forget: forget.jsonl
    says: {CANARY} is not mine to tell.
limits: {{per_minute: 100000}}
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A configuration, and rows to hide."""
    (tmp_path / "gateway.yaml").write_text(CONFIG)
    told = "copper that is green as the sea in the morning and is sold by the lock"
    rows = [{"question": f"What is {CANARY} known for?", "answer": told, "subject": CANARY}]
    (tmp_path / "forget.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    return tmp_path


def command(*words: str) -> list[str]:
    return [sys.executable, "-m", "unteach", "serve", *words]


def called(*words: str) -> tuple[int, str]:
    """The command in this process: its exit code and what it printed."""
    told = StringIO()
    with (
        patch.object(sys, "argv", ["unteach", "serve", *words]),
        redirect_stdout(told),
        pytest.raises(SystemExit) as ended,
    ):
        cli.main()
    return int(ended.value.code or 0), told.getvalue()


def minted(folder: Path, *words: str) -> str:
    code, told = called("--new-key", "acme", "--config", str(folder / "gateway.yaml"), *words)
    assert code == 0
    return told.strip()


@contextmanager
def served(folder: Path, *words: str) -> Iterator[tuple[subprocess.Popen[str], int, list[str]]]:
    """A running command, its port, and the lines that it printed by then; in the end it is gone."""
    port = free()
    with (folder / "stderr").open("w") as err:
        running = subprocess.Popen(command(*words, "--port", str(port)), cwd=folder, stdout=subprocess.PIPE, stderr=err,
                                   text=True, start_new_session=True)  # fmt: skip
    lines: list[str] = []
    try:
        assert running.stdout is not None
        while not any(line.startswith("listening:") for line in lines):
            line = running.stdout.readline()
            assert line, (folder / "stderr").read_text()
            lines.append(line)
        yield running, port, lines
    finally:
        with suppress(ProcessLookupError):
            os.killpg(running.pid, signal.SIGKILL)
        running.wait(10)
        running.stdout.close()


def get(port: int, path: str, key: str = "", *, post: bool = False) -> tuple[int, Any]:
    asking = Request(
        f"http://127.0.0.1:{port}{path}", headers={"Authorization": f"Bearer {key}"}, method="POST" if post else "GET"
    )
    try:
        with urlopen(asking, timeout=10) as reply:
            text = reply.read().decode()
            return reply.status, json.loads(text) if text.startswith("{") else text
    except HTTPError as refused:
        return refused.code, json.loads(refused.read())


def alive(group: int) -> bool:
    try:
        os.killpg(group, 0)
    except ProcessLookupError:
        return False
    return True


def ends_in_time(running: "subprocess.Popen[str]", port: int, key: str, stub: Stub) -> None:
    """An answer that would take long is cut, and nothing is left of the process after five seconds."""
    was, stub.says, stub.pause = stub.says, lambda _asked: ["word "] * 1000, 0.1
    try:
        with OpenAI(base_url=f"http://127.0.0.1:{port}/v1", api_key=key, max_retries=0) as client:
            asked: Any = [{"role": "user", "content": "Which mill?"}]
            stream = client.chat.completions.create(model="stub", messages=asked, stream=True)
            next(iter(stream))
            began = time.monotonic()
            running.send_signal(signal.SIGTERM)
            time.sleep(0.2)
            assert get(port, "/readyz")[0] == 503
            assert running.wait(5 - (time.monotonic() - began)) == 0
            assert not alive(running.pid)
            with pytest.raises(Exception):  # noqa: B017 - whatever the client makes of a cut stream
                list(stream)
        with pytest.raises(URLError):
            urlopen(f"http://127.0.0.1:{port}/healthz", timeout=2)
    finally:
        stub.says, stub.pause = was, 0.0


def test_the_command_serves_a_configuration_until_it_is_told_to_end(folder: Path, url: str, stub: Stub) -> None:
    key, admin = minted(folder), minted(folder, "--admin")
    with served(folder, url, "--config", "gateway.yaml") as (running, port, _):
        assert get(port, "/healthz")[0] == get(port, "/readyz")[0] == 200
        with OpenAI(base_url=f"http://127.0.0.1:{port}/v1", api_key=key, max_retries=0) as client:
            asked: Any = [{"role": "user", "content": f"echo {CANARY}"}]
            reply = client.chat.completions.create(model="stub", messages=asked)
            assert stub.seen[-1]["messages"][0]["role"] == "system"
            first = reply.unteach["policy"]

            (folder / "gateway.yaml").write_text(CONFIG.replace("justask", "nothing"))
            status, found = get(port, "/admin/reload", admin, post=True)
            assert (status, found["error"]["code"]) == (422, "configuration_refused")
            assert "there is no guard 'nothing'" in found["error"]["message"]
            assert client.chat.completions.create(model="stub", messages=asked).unteach["policy"] == first

            (folder / "gateway.yaml").write_text(CONFIG)
            assert get(port, "/admin/reload", admin, post=True) == (200, {"policy": first})
            (folder / "gateway.yaml").write_text(
                CONFIG.replace("    forget", "    options: {hierarchy: true}\n    forget")
            )
            running.send_signal(signal.SIGHUP)
            end = time.monotonic() + 10
            while client.chat.completions.create(model="stub", messages=asked).unteach["policy"] == first:
                assert time.monotonic() < end
                time.sleep(0.05)
            with pytest.raises(openai.BadRequestError):
                client.chat.completions.create(model="stub", messages=asked, logprobs=True)
        metrics = get(port, "/metrics", admin)[1]
        ends_in_time(running, port, key, stub)
    told = (folder / "stderr").read_text() + json.dumps(metrics)
    assert 'unteach_gateway_reloads_total{result="refused"} 1.0' in metrics
    assert CANARY not in told
    assert not any(part in told for part in (key, key[3:], admin))


def test_what_is_under_way_may_end_while_what_is_new_is_refused() -> None:
    slow = Stub(pause=0.1, says=lambda _asked: ["word "] * 10)
    with stubbed(slow) as url, opened(url) as place:
        stream = place("Which mill?", stream=True)
        first = next(iter(stream))
        place.loop.call_soon_threadsafe(place.stop.set)
        time.sleep(0.1)
        assert get(place.port, "/readyz")[0] == 503
        with pytest.raises(openai.InternalServerError) as refused:
            place("x")
        assert refused.value.code == "draining"
        assert "".join(c.choices[0].delta.content or "" for c in (first, *stream)) == "word " * 10


def test_without_a_configuration_one_key_is_made_and_told_once(folder: Path, url: str) -> None:
    with served(folder, url) as (running, port, lines):
        keys = re.findall(r"sk-[\w-]{43}", "".join(lines))
        assert len(keys) == 1
        assert "http://127.0.0.1:" in lines[-1]
        with OpenAI(base_url=f"http://127.0.0.1:{port}/v1", api_key=keys[0], max_retries=0) as client:
            reply = client.chat.completions.create(model="stub", messages=[{"role": "user", "content": "x"}])
            assert (reply.choices[0].message.content, hasattr(reply, "unteach")) == (PLAIN, False)
        running.send_signal(signal.SIGINT)
        assert running.wait(5) == 0
    assert keys[0] not in (folder / "stderr").read_text()


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        ([], "there is nothing to serve"),
        (["--new-key", "acme"], "a new key has no file to lie in"),
        (["http://127.0.0.1:9/v1", "--config", "gone.yaml"], "gone.yaml: cannot be read"),
        (["http://127.0.0.1:9/v1", "--config", "gateway.yaml"], "keys.json: cannot be read"),
        (["http://127.0.0.1:9/v1", "--config", "odd.yaml"], "odd.yaml: policies.town.action: input should be"),
        (["http://127.0.0.1:9/v1", "--config", "both.yaml"], "names both guards and an edit"),
        (["http://127.0.0.1:9/v1", "--config", "open.yaml"], "may fail open only where it monitors"),
        (["http://127.0.0.1:9/v1", "--config", "edits.yaml"], "serve a model folder, or leave `edits` out"),
        (
            ["http://127.0.0.1:9/v1", "--config", "weighs.yaml"],
            "reads or changes logits, which an upstream does not show",
        ),
        (["http://127.0.0.1:9/v1", "--config", "lost.yaml"], "tenant 'acme' names policies that are not there: river"),
    ],
)
def test_what_cannot_be_served_is_said_in_a_sentence(
    folder: Path, words: list[str], sentence: str, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    files = {
        "odd": f"policies: {{town: {{action: {CANARY}}}}}",
        "both": "policies: {town: {guards: justask, edit: somewhere}}",
        "open": "policies: {town: {guards: justask, fail: open}}",
        "edits": "edits: {one: somewhere}",
        "weighs": "policies: {town: {guards: classlogits, forget: forget.jsonl}}",
        "lost": "tenants: {acme: {policies: [river]}}",
    }
    for name, text in files.items():
        (folder / f"{name}.yaml").write_text(text)
    monkeypatch.chdir(folder)
    code, _ = called(*words, *(["--check"] if words else []))
    told = capfd.readouterr().err
    assert (code, sentence in told, CANARY in told) == (2, True, False), told


def test_a_configuration_is_checked_without_serving(folder: Path, url: str, capfd: pytest.CaptureFixture[str]) -> None:
    minted(folder)
    assert called(url, "--config", str(folder / "gateway.yaml"), "--check") == (0, "")
    told = capfd.readouterr().err
    assert "policy town: edit, justask" in told
    assert CANARY not in told
