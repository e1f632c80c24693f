"""What this machine has: versions and checks that need nothing but the standard library."""

import os
import platform
import re
import shutil
from collections.abc import Iterator, Mapping
from importlib.metadata import PackageNotFoundError, requires, version
from typing import NamedTuple

LEAST_DISK = 5  # GB
NEEDED = ("", "train")  # the core, and the extra without which no model is opened
REQUIREMENT = re.compile(r"""(?P<package>[\w.-]+)(?:.*\bextra == ['"](?P<extra>[\w-]+)['"])?""")


class Check(NamedTuple):
    """Something that was looked at: whether it is fine, what to do where it is not, and whether it can be done without."""

    name: str
    fine: bool
    advice: str
    needed: bool


def installed(package: str) -> str:
    """The version of a package, or nothing."""
    try:
        return version(package)
    except PackageNotFoundError:
        return ""


def extras() -> Mapping[str, tuple[str, ...]]:
    """The packages that each optional extra asks for, as the installed package declares them; "" is the core."""
    try:
        lines = requires("unteach") or ()
    except PackageNotFoundError:
        return {"": ("unteach",)}
    found: dict[str, tuple[str, ...]] = {}
    for line in lines:
        if asked := REQUIREMENT.match(line):
            extra = asked["extra"] or ""
            found[extra] = (*found.get(extra, ()), asked["package"])
    return found


def environment() -> dict[str, str]:
    """Versions, processor count and platform, by name."""
    found = {"unteach": installed("unteach") or "not installed", "python": platform.python_version()}
    found |= {p: installed(p) or "not installed" for packages in extras().values() for p in packages}
    return found | {"system": f"{platform.system()} {platform.machine()}", "processors": str(os.cpu_count())}


def checkup() -> Iterator[Check]:
    """Each thing that is looked at: the core, every optional extra, the disk."""
    for extra, packages in extras().items():
        missing = [p for p in packages if not installed(p)]
        name = f"extra [{extra}]" if extra else "core"
        target = f"'unteach[{extra}]'" if extra else "unteach"
        advice = f"{', '.join(missing)} not installed; pip install {target}"
        yield Check(name, not missing, advice, extra in NEEDED)
    free = shutil.disk_usage(".").free / 2**30
    advice = f"less than {LEAST_DISK} GB free; models need room"
    yield Check(f"disk ({free:.0f} GB free)", free >= LEAST_DISK, advice, True)
