"""Forgetting by arithmetic: what fine-tuning adds to the weights, taken off."""
