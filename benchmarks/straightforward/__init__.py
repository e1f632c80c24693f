"""The obvious way: each thing by itself, every batch padded, the whole model run for all of it.

What the trainers and evaluations in use do, written here to be measured against. Nothing but the rows' tokens
and the words of ROUGE comes from the package.
"""
