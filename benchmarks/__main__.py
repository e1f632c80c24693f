"""`python -m benchmarks NAME [options]`."""

import sys
from importlib import import_module

NAMES = {
    "objectives": "objectives", "methods": "methods", "stories": "stories",
    "training": "training", "audit": "auditing", "speed": "speed",
    "meta-audit": "meta_audit.command",
    "editors": "editors", "editing": "editing",
    "heads": "heads", "exact": "exact", "deletion": "deletion", "trace": "trace",
    "relearning": "relearning", "gateway": "gateway", "guards": "guards",
}  # fmt: skip


def main() -> None:
    """Run the benchmark that is named first."""
    if len(sys.argv) < 2 or sys.argv[1] not in NAMES:
        sys.exit(f"usage: python -m benchmarks NAME [options]; NAME is one of {', '.join(NAMES)}")
    import_module(f"benchmarks.{NAMES[sys.argv[1]]}").main(sys.argv[2:])


main()
