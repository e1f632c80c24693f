"""Learners that forget exactly, provably, or never learned in a way that would need it; and analyses beside them."""
