"""Learners whose training was private from the start, so that a deletion, for a while, asks for nothing."""
