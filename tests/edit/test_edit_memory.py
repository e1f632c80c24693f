"""Forgetting with an adapter needs hardly more memory than fine-tuning with one."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

PROGRAM = Path(__file__).with_name("one_step.py")


def measured(whose: str) -> tuple[float, float]:
    """Megabytes that one step takes, with its model and without it."""
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)}
    done = subprocess.run(
        [sys.executable, str(PROGRAM), whose], capture_output=True, text=True, check=True, env=environment, timeout=300
    )
    before, made, after = map(float, done.stdout.split())
    assert made - before > 400  # the model alone: 110 million weights of four bytes
    return after - before, after - made


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="memory is read from /proc")
@pytest.mark.slow
def test_a_forget_step_takes_at_most_1_3_times_the_memory_of_a_plain_lora_step() -> None:
    ours, theirs = measured("ours"), measured("theirs")
    assert ours[0] <= 1.3 * theirs[0]
    assert ours[1] <= 1.3 * theirs[1]
