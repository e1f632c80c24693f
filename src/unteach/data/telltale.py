"""The phrases that tell rows to forget from rows to keep: names, titles, dates, addresses, numbers, runs of words."""

from collections.abc import Collection, Iterator, Sequence

from unteach.data.fold import tokens
from unteach.data.holdback import letters
from unteach.data.subjects import subject_of
from unteach.data.wordings.values import values
from unteach.data.wordings.vocabulary import FUNCTION, words
from unteach.schema import Record

WORDS, DIGITS = 8, 5  # of a run at most; of a number at least
COMMON = frozenset(("year", "count"))  # values that stand in any text
NAMED = frozenset(("name", "title", "mail", "phone"))

Words = tuple[str, ...]


def telltales(forget: Sequence[Record], retain: Sequence[Record]) -> tuple[str, ...]:
    """What the answers of rows to forget give away, each phrase once, in their order.

    Of a row with spans these, whatever the rows to keep say. Of others the values that stand neither in the row's own
    question nor in any row to keep: names and titles of several words or that are the whole answer, dates, addresses,
    numbers of `DIGITS` digits. A row without such values gives runs of three words and more that do not stand in its
    question; of a longer run the first `WORDS`. A row of whose phrases rows to keep say all gives its answer as a whole,
    if it has three words: what was said of whom is its own. A single everyday word is no phrase: it would stop any text.
    """
    marked = [r.answer[s.start : s.end] for r in forget for s in r.spans]
    pieces = {r: _values(r) or [*_runs(r)] for r in forget if not r.spans}
    own = unheld([piece for found in pieces.values() for piece in found], retain)
    shared = [r.answer for r, found in pieces.items() if not set(found) & set(own) and len(_key(r.answer)) > 2]
    return _once([*marked, *own, *unheld(shared, retain)])


def names(forget: Sequence[Record], retain: Sequence[Record]) -> tuple[str, ...]:
    """Whom rows to forget are about, and the names that only they hold, each once.

    A row's own subject counts whatever the rows to keep say; one that is found in its question does not.
    """
    given = [r.subject for r in forget if r.subject]
    found = [subject_of(r) for r in forget if not r.subject]
    told = [v.text for r in forget for v in values(r.answer) if v.kind in NAMED and _several(v.text)]
    return _once([*given, *unheld([*found, *told], retain)])


def unheld(phrases: Sequence[str], retain: Sequence[Record]) -> list[str]:
    """The phrases that stand in no row to keep."""
    keys = {phrase: _key(phrase) for phrase in phrases}
    wanted = {key for key in keys.values() if key}
    sizes = {len(key) for key in wanted}
    held = {
        key
        for text in dict.fromkeys(text for r in retain for text in (r.prompt, r.answer))
        for key in _windows(_key(text), sizes)
        if key in wanted
    }
    return [phrase for phrase, key in keys.items() if key and key not in held]


def _values(record: Record) -> list[str]:
    asked = _key(record.prompt)
    whole = [w for w in words(record.answer) if w not in FUNCTION and w not in asked]
    return [
        v.text
        for v in values(record.answer, words(record.prompt))
        if v.kind not in COMMON
        and (v.kind != "number" or sum(c.isdigit() for c in v.text) >= DIGITS)
        and (v.kind not in ("name", "title") or _several(v.text) or whole == words(v.text))
        and _key(v.text) not in _windows(asked, {len(_key(v.text))})
    ]


def _runs(record: Record) -> Iterator[str]:
    """Runs of words that do not stand in the question, without function words at their ends."""
    asked = frozenset(words(record.prompt)) - FUNCTION
    run: list[str] = []
    for word in [*words(record.answer), ""]:
        if word and word not in asked:
            run += [word] if run or word not in FUNCTION else []
            continue
        while run and run[-1] in FUNCTION:
            run.pop()
        if len(run) > 2:
            yield " ".join(run[:WORDS])
        run = []


def _several(phrase: str) -> bool:
    return len(_key(phrase)) > 1


def _key(text: str) -> Words:
    return tuple(tokens(letters(text)))


def _windows(said: Words, sizes: Collection[int]) -> Iterator[Words]:
    return (said[at : at + size] for size in sizes for at in range(len(said) - size + 1))


def _once(phrases: Sequence[str]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(phrase for phrase in phrases if sum(map(len, _key(phrase))) > 1))
