"""What the libraries draw at random, fixed for a while."""

from collections.abc import Iterator
from contextlib import contextmanager

import torch


@contextmanager
def seeded(seed: int, device: torch.device) -> Iterator[None]:
    """Whatever the libraries draw inside depends on the seed alone, and their own state is put back.

    On a processor its generator alone is seeded: `torch.manual_seed` writes down a call, with a stack trace, for each
    kind of device that is not there, which costs more than most of what a small model's step of training does.
    """
    alone = device.type == "cpu"
    with torch.random.fork_rng(devices=[] if alone else None):
        (torch.default_generator.manual_seed if alone else torch.manual_seed)(seed % 2**63)
        yield
