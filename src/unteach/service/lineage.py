"""Which rows were made of which: paraphrases, variants of a question, pseudonymised copies.

A row says so itself, in `derived_from`, or by its id: `p1/asked` is of `p1`, as our own recipes write it. What was made
of a row is made of everything that that row was made of.
"""

from collections.abc import Collection, Iterator, Sequence
from typing import Literal

from unteach.data.fold import fold
from unteach.data.near import first_near, index
from unteach.schema import InputError, Record

Policy = Literal["record", "exact", "near"]
POLICIES: tuple[Policy, ...] = ("record", "exact", "near")
NEAR = 0.8  # Jaccard similarity of word 3-grams


def policy(name: str) -> Policy:
    """One of the policies by its name."""
    return next(p for p in POLICIES if p == name)


def made_of(record: Record, ids: Collection[str]) -> bool:
    """Whether a row was made of one of these, as it says itself."""
    return any(source in ids for source in _sources(record))


def following(records: Sequence[Record], ids: Collection[str]) -> list[Record]:
    """The rows made of these, and of those in turn; the first need not be among the records."""
    found, grown = set(ids), -1
    while grown != len(found):
        grown = len(found)
        found |= {r.id for r in records if made_of(r, found)}
    return [r for r in records if r.id in found and r.id not in ids]


def meant(records: Sequence[Record], ids: Sequence[str]) -> list[Record]:
    """The rows that these ids name; one that is no row stands for all that were made of it. Unknown ones are refused."""
    known = {r.id: r for r in records}
    sources = {i: following(records, {i}) for i in ids if i not in known}
    strange = len(ids) - len({i for i in ids if i in known or sources[i]})
    if strange or not ids:
        raise InputError(f"{strange} of {len(ids)} ids are not in the store, or given twice; name each record once")
    return list({r.id: r for i in ids for r in sources.get(i) or [known[i]]}.values())


def closure(records: Sequence[Record], gone: Sequence[Record], policy: Policy) -> list[Record]:
    """Other rows that go with these: what was made of them, and what says the same but for case and spaces, or nearly so.

    Both are sought again among what was found, but for what nearly says the same: likeness wears off from copy to copy.
    """
    if policy == "record":
        return []
    texts = {r.id: fold(f"{r.prompt} {r.answer}") for r in records}
    going = {r.id for r in gone}
    if policy == "near":
        going |= {r.id for r in following(records, going)}
        like = index(sorted({texts[i] for i in going}), NEAR)
        going |= {i for i, text in texts.items() if any(True for _ in first_near(like, [text]))}
    grown = 0
    while grown != len(going):
        grown, said = len(going), {texts[i] for i in going}
        going |= {r.id for r in records if texts[r.id] in said or made_of(r, going)}
    return [r for r in records if r.id in going - {g.id for g in gone}]


def _sources(record: Record) -> Iterator[str]:
    yield from record.derived_from
    parts = record.id.split("/")
    yield from ("/".join(parts[:n]) for n in range(1, len(parts)))
