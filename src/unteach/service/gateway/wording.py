"""The words of an answer while its tokens come: never half a character, and nothing from a text that ends it on."""

import re
from collections.abc import Sequence

from unteach.lm.continuous import decoded
from unteach.lm.encoder import Encoder

HALF = "\ufffd"  # what bytes decode to that are no character, or none yet
BYTE = re.compile("<0x[0-9A-F]{2}>")  # a token of one byte: whether a run of them is characters, its end decides
WINDOW, OVERLAP = 64, 16  # tokens: only the last of an answer are decoded at each step


class Wording:
    """What may leave of one answer.

    The pieces joined are the text of all its tokens, up to where the first of `until` begins. Whatever may still become
    part of a character, or of a text that ends the answer, is held back.
    """

    def __init__(self, encoder: Encoder, until: Sequence[str] = ()) -> None:
        self.ended = False  # a text that ends the answer has come
        self._encoder, self._until = encoder, [text for text in until if text]
        self._start = self._told = 0  # where the window begins, and how many of its characters are told
        self._held = ""

    def hear(self, ids: Sequence[int], last: bool) -> str:
        """What may leave now that the answer has these tokens, all of them; at its last one, all that is left."""
        if self.ended:
            return ""
        self._held += self._fresh(ids, last)
        first = min((at for text in self._until if (at := self._held.find(text)) >= 0), default=len(self._held))
        begun = len(self._held) if last else self._begun()
        self.ended = first < len(self._held) and first <= begun
        leaves, self._held = self._held[: min(first, begun)], self._held[min(first, begun) :]
        return leaves

    def _fresh(self, ids: Sequence[int], last: bool) -> str:
        """The whole characters that the newest tokens brought."""
        if ids and not last and BYTE.fullmatch(str(self._encoder.tokenizer.convert_ids_to_tokens(ids[-1]))):
            return ""
        text = decoded(self._encoder, ids[self._start :])
        whole = text if last else text.rstrip(HALF)
        fresh, self._told = whole[self._told :], max(self._told, len(whole))
        if len(ids) - self._start >= WINDOW and self._told == len(text):
            tail = decoded(self._encoder, ids[-OVERLAP:])
            if tail and text.endswith(tail):  # a window that begins inside a character, or with a space that it
                self._start, self._told = len(ids) - OVERLAP, len(tail)  # swallows, would read otherwise
        return fresh

    def _begun(self) -> int:
        """Where a text that ends the answer may have begun, of which not all has come."""
        held, longest = self._held, max(map(len, self._until), default=1) - 1
        starts = range(max(0, len(held) - longest), len(held))
        return next((at for at in starts if any(text.startswith(held[at:]) for text in self._until)), len(held))
