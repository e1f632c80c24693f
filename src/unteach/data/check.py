"""What is wrong with the sets of a request, before anything is trained: overlap, repeats, contradictions."""

from collections.abc import Hashable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from unteach.data.fold import fold
from unteach.data.near import first_near, index
from unteach.data.rows import Rows
from unteach.schema import InputError, Record

SHOWN = 10  # line numbers in a message
_REASON: Mapping[str, str] = {
    "retain": "a row cannot be both forgotten and kept",
    "holdout": "a row held out must not be one of those to forget",
}


@dataclass(frozen=True)
class Finding:
    """One thing found. `lines` are those of the forget source; the message names lines and repeats no content.

    `kind` is `retain-exact`, `retain-normalised`, `retain-near`, the same with `holdout`, `duplicate-exact`,
    `duplicate-normalised` or `conflict`. `fatal` means that the request contradicts itself.
    """

    kind: str
    fatal: bool
    message: str
    lines: tuple[int, ...]


@dataclass(frozen=True)
class _Side:
    """One set as it is compared: content as given, and folded."""

    rows: Rows
    raw: tuple[tuple[str, ...], ...] = field(repr=False)
    folded: tuple[tuple[str, ...], ...] = field(repr=False)

    def lines(self, numbers: Sequence[int]) -> tuple[int, ...]:
        return tuple(self.rows.lines[number] for number in numbers)

    def place(self, numbers: Sequence[int]) -> str:
        """`line 3 of a.jsonl`; the first ten numbers and how many there are more."""
        lines = self.lines(numbers)
        shown = ", ".join(map(str, lines[:SHOWN]))
        more = f" and {len(lines) - SHOWN} more" if len(lines) > SHOWN else ""
        return f"{self.rows.unit}{'s' * (len(lines) > 1)} {shown}{more} of {self.rows.source}"


def check(
    forget: Rows, *, retain: Rows | None = None, holdout: Rows | None = None, near: float = 0.8
) -> tuple[Finding, ...]:
    """Overlap of the forget set with the two other sets, repeats within it, and one question with two answers.

    Rows are the same where all turns and the answer are (`exact`), where they are after `fold` (`normalised`),
    and nearly so where the Jaccard similarity of their word 3-grams is at least `near` (characters for
    scripts without spaces). A row that is to be forgotten and kept is fatal; the rest is for the user to judge.
    """
    if not 0 < near <= 1:
        raise InputError("The similarity of near-duplicates is not in (0, 1]; give a number such as 0.8")
    mine = _side(forget)
    found: list[Finding] = []
    for name, other in (("retain", retain), ("holdout", holdout)):
        if other is not None:
            found += _overlap(mine, _side(other), name, near)
    found += _repeats(mine)
    found += _conflicts(mine)
    return tuple(found)


def refuse(findings: Sequence[Finding]) -> None:
    """Raise `InputError` for the first fatal finding."""
    for finding in findings:
        if finding.fatal:
            raise InputError(f"{finding.message}; remove them from one of the two sets")


def _side(rows: Rows) -> _Side:
    raw = tuple(_content(record) for record in rows.records)
    return _Side(rows, raw, tuple(tuple(fold(part) for part in parts) for parts in raw))


def _content(record: Record) -> tuple[str, ...]:
    """What was said, the answer last; plain text and a conversation of one turn compare equal."""
    turns = tuple(message.content for message in record.messages) or (record.prompt,)
    return (*turns, record.answer)


def _overlap(mine: _Side, theirs: _Side, name: str, near: float) -> Iterator[Finding]:
    """Each row of the forget set is reported once, under the closest kind of sameness it has."""
    fatal = name == "retain"
    same, there = _common(mine.raw, theirs.raw, set())
    if same:
        message = f"the same rows stand at {mine.place(same)} and {theirs.place(there)}, but {_REASON[name]}"
        yield Finding(f"{name}-exact", fatal, message, mine.lines(same))
    alike, there = _common(mine.folded, theirs.folded, set(same))
    if alike:
        where = f"{mine.place(alike)} and {theirs.place(there)}"
        message = f"the same rows, but for case, spacing or punctuation, stand at {where}, but {_REASON[name]}"
        yield Finding(f"{name}-normalised", fatal, message, mine.lines(alike))
    if pairs := _near(mine, theirs, {*same, *alike}, near):
        close, there = [i for i, _ in pairs], [j for _, j in pairs]
        where = f"{mine.place(close)} and, in this order, {theirs.place(there)}"
        message = f"near-duplicates (word 3-grams with a Jaccard similarity of {near:g} or more) stand at {where}"
        yield Finding(f"{name}-near", False, message, mine.lines(close))


def _common(mine: Sequence[Hashable], theirs: Sequence[Hashable], but: set[int]) -> tuple[list[int], list[int]]:
    """Where the two hold the same things, passing over some of mine."""
    shared = {key for i, key in enumerate(mine) if i not in but}.intersection(theirs)
    here = [i for i, key in enumerate(mine) if key in shared and i not in but]
    return here, [j for j, key in enumerate(theirs) if key in shared]


def _near(mine: _Side, theirs: _Side, but: set[int], near: float) -> list[tuple[int, int]]:
    """My rows that have a near one among theirs, each with the first of them."""
    copies: dict[str, list[int]] = {}
    for i, parts in enumerate(mine.folded):
        if i not in but:
            copies.setdefault(" ".join(parts), []).append(i)
    if not copies:
        return []
    first: dict[str, int] = {}
    for j, parts in enumerate(theirs.folded):
        first.setdefault(" ".join(parts), j)
    rows, others = list(copies.values()), list(first.values())
    found = first_near(index(copies, near), list(first))
    return sorted((i, others[theirs_at]) for mine_at, theirs_at in found for i in rows[mine_at])


def _repeats(mine: _Side) -> Iterator[Finding]:
    exact, alike = _seen_before(mine.raw), _seen_before(mine.folded)
    for kind, how, numbers in (
        ("duplicate-exact", "", exact),
        ("duplicate-normalised", ", but for case, spacing or punctuation,", sorted(set(alike) - set(exact))),
    ):
        if numbers:
            message = f"rows that repeat an earlier one{how} stand at {mine.place(numbers)}"
            yield Finding(kind, False, message, mine.lines(numbers))


def _seen_before(keys: Sequence[Hashable]) -> list[int]:
    first: dict[Hashable, int] = {}
    return [i for i, key in enumerate(keys) if first.setdefault(key, i) != i]


def _conflicts(mine: _Side) -> Iterator[Finding]:
    """Text without a prompt asks nothing, so it cannot contradict itself."""
    answers: dict[tuple[str, ...], set[str]] = {}
    for *question, answer in mine.folded:
        answers.setdefault(tuple(question), set()).add(answer)
    torn = {question for question, given in answers.items() if any(question) and len(given) > 1}
    numbers = [i for i, parts in enumerate(mine.folded) if parts[:-1] in torn]
    if numbers:
        message = f"the same question has different answers at {mine.place(numbers)}"
        yield Finding("conflict", False, message, mine.lines(numbers))
