"""A forget set as tests that other tools run: Inspect tasks, garak probes, tasks of the lm-evaluation-harness.

What holds text of records is data (JSON lines, tables); what is code or configuration is the same for every set.
"""
