"""Generated requests against the OpenAPI document: no failure of the gateway's own, and no status that it does not name."""

import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from running import Filter, Place, opened, policy, stubbed
from stub import Stub

CHECKS = "not_a_server_error,status_code_conformance,content_type_conformance,response_schema_conformance,ignored_auth"


@pytest.fixture(scope="module")
def place() -> Iterator[Place]:
    with stubbed(Stub()) as url, opened(url, policy(Filter())) as found:
        found.gateway.again = lambda: found.gateway.rules
        yield found


def fuzzed(place: Place, where: Path, *, cases: int, phases: str) -> int:
    """Try so many requests for each operation, with an admin's key: how many there were in all."""
    command = [
        sys.executable, "-m", "schemathesis.cli", "run", f"{place.url.removesuffix('/v1')}/openapi.json",
        "--checks", CHECKS, "--phases", phases, "-n", str(cases), "-H", f"Authorization: Bearer {place.admin}",
        "--seed", "7", "--suppress-health-check", "all", "--no-shrink",
    ]  # fmt: skip
    ran = subprocess.run(
        command, capture_output=True, text=True, cwd=where, timeout=540, env={**os.environ, "NO_COLOR": "1"}
    )  # fmt: skip
    assert ran.returncode == 0, ran.stdout[-6000:] + ran.stderr[-2000:]
    return int(re.findall(r"(\d+) generated", ran.stdout)[-1])


def test_generated_requests_meet_no_failure_and_no_unnamed_status(place: Place, tmp_path: Path) -> None:
    assert fuzzed(place, tmp_path, cases=3, phases="fuzzing") >= 15


@pytest.mark.slow
def test_two_thousand_generated_requests_meet_no_failure_and_no_unnamed_status(place: Place, tmp_path: Path) -> None:
    assert fuzzed(place, tmp_path, cases=210, phases="examples,coverage,fuzzing,stateful") >= 2000
