"""What this machine has: versions and checks that need nothing but the standard library."""

import os
import platform
import shutil
from collections.abc import Iterator
from importlib.metadata import PackageNotFoundError, version

CORE = ("typer", "rich", "pydantic", "pyyaml", "jinja2", "cryptography")
TRAIN = ("torch", "transformers", "peft", "accelerate", "safetensors", "scipy", "matplotlib", "jaxtyping")
HUB = ("datasets", "pyarrow")
LEAST_DISK = 5  # GB


def installed(package: str) -> str:
    """The version of a package, or nothing."""
    try:
        return version(package)
    except PackageNotFoundError:
        return ""


def environment() -> dict[str, str]:
    """Versions, processor count and platform, by name."""
    found = {"unteach": installed("unteach") or "not installed", "python": platform.python_version()}
    found |= {p: installed(p) or "not installed" for p in (*CORE, *TRAIN, *HUB)}
    return found | {"system": f"{platform.system()} {platform.machine()}", "processors": str(os.cpu_count())}


def checkup() -> Iterator[tuple[str, bool, str]]:
    """Each thing that is looked at, whether it is fine, and what to do where it is not."""
    for extra, packages in (("", CORE), ("train", TRAIN), ("hub", HUB)):
        missing = [p for p in packages if not installed(p)]
        name = f"extra [{extra}]" if extra else "core"
        target = f"'unteach[{extra}]'" if extra else "unteach"
        yield name, not missing, f"{', '.join(missing)} not installed; pip install {target}"
    free = shutil.disk_usage(".").free / 2**30
    yield f"disk ({free:.0f} GB free)", free >= LEAST_DISK, f"less than {LEAST_DISK} GB free; models need room"
