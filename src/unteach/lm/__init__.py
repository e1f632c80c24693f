"""Reads a transformer and changes nothing in it."""
