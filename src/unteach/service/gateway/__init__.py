"""An OpenAI-compatible gateway in front of a model: it wears edits, and stands guards around every conversation."""
