"""Paired comparisons and reference runs: `python -m benchmarks NAME`."""
