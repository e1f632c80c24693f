"""Measures what a model still says, and is blind to how the model was changed."""
