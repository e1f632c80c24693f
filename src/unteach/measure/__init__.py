"""Token-level measures: pure functions of what a model says at the answer tokens; training may stop on them."""
