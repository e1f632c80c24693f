"""Concepts in hidden states: taking them out, or moving along them, while the model runs."""
