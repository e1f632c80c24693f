"""unteach: make language models forget and correct, and show how well."""
