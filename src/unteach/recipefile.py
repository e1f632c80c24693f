"""A recipe as a YAML file."""

from pathlib import Path
from typing import Any

import yaml

from unteach.schema import InputError

MISREAD = (ValueError, KeyError, IndexError, AttributeError, TypeError)  # what YAML's reader lets out of odd values


def read_recipe(path: str | Path) -> dict[str, Any]:
    """A YAML file of keys and values; nesting is refused, since every key is a flag too."""
    file = Path(path)
    if not file.is_file():
        raise InputError(f"{file}: there is no such file; name a YAML file of keys and values")
    try:
        found = yaml.safe_load(file.read_text(encoding="utf-8"))
    except OSError as missing:
        raise InputError(f"{file}: cannot be read; name a YAML file of keys and values") from missing
    except UnicodeDecodeError:
        raise InputError(f"{file}: not UTF-8; save it as UTF-8") from None
    except (yaml.YAMLError, RecursionError, *MISREAD) as damaged:
        mark = getattr(damaged, "problem_mark", None)
        raise InputError.at(
            file, mark.line + 1 if mark else None, "not valid YAML", "write one `key: value` a line"
        ) from None
    if not isinstance(found, dict) or not all(isinstance(k, str) for k in found):
        raise InputError(f"{file}: not a list of keys and values; write one `key: value` a line")
    for key, value in found.items():
        if isinstance(value, dict) and key != "options":
            raise InputError(f"{file}: '{key}' holds keys of its own; recipes are flat, write them beside it")
    return found
