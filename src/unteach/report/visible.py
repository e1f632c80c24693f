"""Characters that act instead of being seen, made visible.

A model's answer may hold direction overrides that make a page read backwards, or control characters that
move a terminal's cursor. They are evidence, so they are shown by their code point rather than dropped.
"""

import re

# C0 without tab and newline, DEL, C1, the line separators, bidirectional embeddings, overrides and isolates, BOM
ACTING = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u2028\u2029\u202a-\u202e\u2066-\u2069\ufeff]")


def visible(text: str) -> str:
    """`text` with every acting character written as ⟨U+202E⟩; tabs, newlines and joiners stay.

    >>> visible("a\\u202eb")
    'a⟨U+202E⟩b'
    """
    whole = text.replace("\r\n", "\n")
    return ACTING.sub(lambda found: f"⟨U+{ord(found.group()):04X}⟩", whole)


def one_line(text: str, limit: int = 0) -> str:
    """Visible text without line breaks, cut to `limit` characters where one is given."""
    flat = " ".join(visible(text).split())
    return flat if not limit or len(flat) <= limit else flat[: limit - 1] + "…"
