"""Correcting facts: where they are written, what stands there, and what should."""
