"""Benchmarks: what to forget, what to keep, and what is asked afterwards."""
