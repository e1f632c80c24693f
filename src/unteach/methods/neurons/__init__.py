"""Neurons and single weights: which of them hold what must go, and what is done to those alone."""
