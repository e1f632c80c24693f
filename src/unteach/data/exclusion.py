"""Deleted rows stay away: a list of them that holds none of their text."""

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from hashlib import sha256
from hmac import digest
from math import sqrt
from pathlib import Path
from secrets import token_bytes
from typing import Any

from unteach.data.corpus import said
from unteach.data.passes import Cleaned, Mark, without
from unteach.data.rows import printable
from unteach.data.sketch import SIZE, packed, sketches, unpacked
from unteach.registry import data
from unteach.report.atomic import PRIVATE, put
from unteach.schema import InputError, Record

FORM = "unteach exclusion 1"
_FIRST, _BATCH = 128, 2048  # bits that are looked at of every row; rows at once
_KEY, _SKETCH = re.compile("[0-9a-f]{64}"), re.compile(f"[0-9a-f]{{{SIZE // 4}}}")


@dataclass(frozen=True, repr=False)
class Manifest:
    """Which rows must not come back: a keyed hash of each, and a sketch of its likeness, in the hash's order."""

    salt: bytes
    rows: Mapping[str, str] = field(default_factory=dict)

    def plus(self, records: Sequence[Record]) -> "Manifest":
        """The same with more rows."""
        texts = list(dict.fromkeys(said(record) for record in records))
        keys = [_key(text, self.salt) for text in texts]
        made = packed(sketches(texts, self.salt)) if texts else []
        return replace(self, rows=dict(sorted({**self.rows, **dict(zip(keys, made, strict=True))}.items())))

    @cached_property
    def signs(self) -> Any:
        """The sketches as ±1."""
        return unpacked(list(self.rows.values()))


def manifest(records: Sequence[Record] = ()) -> Manifest:
    """A new list of rows under a salt of its own, so that no two lists can be compared."""
    return Manifest(token_bytes(32)).plus(records)


def write_manifest(found: Manifest, path: Path) -> Path:
    """The list as JSON, readable by its owner alone."""
    content = {"form": FORM, "salt": found.salt.hex(), "rows": found.rows}
    return put(path, (json.dumps(content, indent=1) + "\n").encode(), mode=PRIVATE)


def read_manifest(path: Path) -> Manifest:
    """The list again; anything else is refused."""
    refused = InputError(f"{printable(path)}: this is no list of excluded rows; name one that `unteach check` wrote")
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        salt, rows = content["salt"], content["rows"]
        good = content["form"] == FORM and _KEY.fullmatch(salt) is not None
        good = good and all(_KEY.fullmatch(key) and _SKETCH.fullmatch(sketch) for key, sketch in rows.items())
    except OSError as wrong:
        raise InputError(f"{printable(path)}: cannot be read ({wrong.strerror}); name a list of rows") from None
    except (ValueError, TypeError, KeyError, AttributeError):
        raise refused from None
    if not good:
        raise refused
    return Manifest(bytes.fromhex(salt), rows)


@data("exclusion", tested_by="test_a_deleted_row_is_kept_out_and_its_near_copies_are")
@dataclass(frozen=True)
class Exclusion:
    """Drops rows that were deleted before, and near copies of them, by a list that does not hold their text.

    A row comes back where its HMAC-SHA256 under the list's salt, after case, spacing and punctuation are folded, is in
    the list (`exact`), or where its sketch says that the word 3-grams have a Jaccard similarity of `near` or more to
    those of a listed row (`near`). A sketch is 512 bits of one-bit MinHash (Li and König 2010): the similarity that
    it tells is off by √((1 - near²) / 512), 0.03 at 0.8. The bar is set three of these lower, so that one near copy in
    a thousand is missed, and some rows are named whose similarity is only 0.7.

    The list does not hold the rows, but who has it can try out a guess at a whole row, as this does: keep it where
    personal data may be kept. A single 3-gram cannot be tried out. What says the same in other words is not found,
    nor is a row inside a longer one.

    Example: ``Exclusion(manifest(request.forget))``.
    """

    manifest: Manifest = field(repr=False)
    near: float = 0.8

    def __post_init__(self) -> None:
        if not 0.5 <= self.near <= 1:
            raise InputError("exclusion: near is not in [0.5, 1]; give a similarity such as 0.8")

    def __call__(self, records: Sequence[Record], /) -> Cleaned:
        """The rows that are not on the list."""
        return without(records, self._marks(records) if self.manifest.rows else ())

    def _marks(self, records: Sequence[Record]) -> Iterator[Mark]:
        for start in range(0, len(records), _BATCH):
            batch = records[start : start + _BATCH]
            texts = [said(record) for record in batch]
            listed = [_key(text, self.manifest.salt) in self.manifest.rows for text in texts]
            close = self._close(texts)
            for row, record in enumerate(batch):
                if listed[row] or row in close:
                    yield Mark(start + row, record.id, "exact" if listed[row] else "near")

    def _close(self, texts: Sequence[str]) -> frozenset[int]:
        """The texts that are near a listed row; most are seen to be far by their first bits."""
        salt, signs = self.manifest.salt, self.manifest.signs
        first = sketches(texts, salt, _FIRST) @ signs[:, :_FIRST].T / _FIRST
        some = [int(i) for i in (first.max(1) >= _bar(self.near, _FIRST, 4)).nonzero()[0]]
        if not some:
            return frozenset()
        whole = sketches([texts[i] for i in some], salt) @ signs.T / SIZE
        return frozenset(some[i] for i in (whole.max(1) >= _bar(self.near, SIZE, 3)).nonzero()[0])


def _bar(near: float, size: int, deviations: float) -> float:
    """What the estimate of so many bits hardly ever falls below where the similarity is `near`."""
    return near - deviations * sqrt((1 - near * near) / size) - 1e-6


def _key(text: str, salt: bytes) -> str:
    return digest(salt, text.encode("utf-8", "surrogatepass"), sha256).hex()
