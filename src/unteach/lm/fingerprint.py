"""What decides the last bits of a training on this machine: compare hashes of weights only where it is the same."""

import os
from hashlib import sha256

import torch

from unteach.schema import InputError

VARIABLES = ("ATEN_CPU_CAPABILITY", "MKL_CBWR", "MKL_ENABLE_INSTRUCTIONS")


def fingerprint(device: torch.device) -> dict[str, str]:
    """Build, capability, threads, devices and world size, by name.

    Vector width, build and thread count were each seen to change the bits of a trained weight; another kind of GPU does.
    """
    found = {
        "torch": torch.__version__,
        "build": sha256(torch.__config__.show().encode()).hexdigest()[:16],
        "capability": torch.backends.cpu.get_cpu_capability(),
        "threads": str(torch.get_num_threads()),
        "device": torch.cuda.get_device_name(device) if device.type == "cuda" else device.type,
        "deterministic": str(torch.are_deterministic_algorithms_enabled()),
        "world": os.environ.get("WORLD_SIZE", "1"),
    }
    return found | {name: os.environ[name] for name in VARIABLES if name in os.environ}


def digest(found: dict[str, str]) -> str:
    """Sixteen hex digits of a fingerprint."""
    return sha256("\x1e".join(f"{k}\x1f{v}" for k, v in sorted(found.items())).encode()).hexdigest()[:16]


def check_same(found: dict[str, str], kept: dict[str, str]) -> None:
    """Refuse to compare what was computed under another fingerprint, and name what differs."""
    differing = [k for k in sorted({*found, *kept}) if found.get(k) != kept.get(k)]
    if differing:
        raise InputError(
            f"this machine computes other bits than the one of the record ({', '.join(differing)} differ); rebuild "
            "where they are the same, or everything anew"
        )
