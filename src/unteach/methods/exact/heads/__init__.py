"""Heads on frozen features, counts and sums: models small enough that a row can be taken out of them."""
