"""Forgetting by fine-tuning: objectives, and the methods that train on them."""
