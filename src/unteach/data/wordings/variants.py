"""Four other ways to ask a question, by rule: more simply, in a situation, with slips of the pen, and turned round."""

import re
from collections.abc import Callable, Iterator, Mapping
from typing import Literal, get_args

from unteach.data.wordings.leaks import Telling
from unteach.data.wordings.lot import lot, shuffled
from unteach.data.wordings.rephrase import DIRECT, clause, wordings
from unteach.data.wordings.subjects import row
from unteach.data.wordings.vague import whom
from unteach.data.wordings.values import values
from unteach.schema import Record

Variant = Literal["simple", "contextual", "noise", "logical"]
VARIANTS: tuple[Variant, ...] = get_args(Variant)
SITUATIONS = (  # in which somebody is asked about, and without anybody
    "For a short portrait of {who}: {question}", "A reader who is new to {who} asks: {question}",
    "While preparing a talk about {who}: {question}", "In an interview about {who}: {question}",
    "Before meeting {who}: {question}", "For a school report on {who}: {question}",
)  # fmt: skip
UNNAMED = ("For a short overview: {question}", "In a quiz: {question}", "For a school report: {question}")
TURNED = (
    "What would one have to know of {who} to say {clause}?", "Turned round, about whom does one ask {clause}?",
    "Starting from the answer, how would one get back to {question}",
)  # fmt: skip
SLIPS = {"you": "u", "please": "pls", "are": "r", "and": "n", "what": "wat", "because": "cuz", "about": "abt"}
PASSIVE = {"has": ("has", "been "), "have": ("has", "been "), "does": ("is", ""), "do": ("is", ""), "did": ("was", "")}
SWAPPED = 5  # letters in a word of which two may change places
_SWAY = re.compile(
    r"(?P<how>How|In what ways?) (?P<aux>has|have|did|does|do|might|could|would) (?P<one>.+?) "
    r"(?P<verb>influence|shape|affect|inspire|impact|inform|change|guide)d? (?P<two>.+?)\?"
)
_OF = re.compile(r"(?:What|Which|Who) (?:is|are|was|were) (?:the )?(?P<what>[^,?]+?) of (?P<whose>[^,?]+)\?")
_OWN = re.compile(r"(?:What|Which|Who) (?:is|are|was|were) (?P<whose>[^,?]+?)['’]s? (?P<what>[^,?]+)\?")
_WORD = re.compile(r"[^\W\d_]+")


def variant(record: Record, kind: Variant, tell: Telling, seed: int = 0) -> str:
    """The question in one of four ways; it keeps its names and values and does not hold the answer."""
    for text in _MAKERS[kind](record, seed):
        if text != record.prompt and tell.asks(record, text):
            return text
    return record.prompt


def _simple(record: Record, _seed: int) -> Iterator[str]:
    yield from record.paraphrases
    yield from wordings(record.prompt)
    yield from _behind(record)


def _contextual(record: Record, seed: int) -> Iterator[str]:
    frames = SITUATIONS if whom(record) else UNNAMED
    for frame in shuffled(frames, seed, "situation", row(record).key):
        yield frame.format(who=whom(record), question=record.prompt)
    yield from _behind(record)


def _noise(record: Record, seed: int) -> Iterator[str]:
    """A chat's spelling, and in one long word two letters changed; names and values stay."""
    text, key = record.prompt.strip(), row(record).key
    named = [(v.start, v.end) for v in values(text)]

    def slip(match: re.Match[str]) -> str:
        word = match[0]
        if any(start < match.end() and match.start() < end for start, end in named):
            return word
        short = SLIPS.get(word.casefold(), word)
        at = 1 + lot(seed, "slip", key, match.start()) % max(1, len(word) - 2)
        drawn = len(word) >= SWAPPED and lot(seed, "slips", key, match.start()) % 2
        return word[:at] + word[at + 1 : at + 2] + word[at] + word[at + 2 :] if drawn and short == word else short

    slipped = _WORD.sub(slip, text).rstrip("?.! ")
    yield slipped[:1].lower() + slipped[1:]
    yield f"{slipped}??"
    yield f"hey, {text}"


def _logical(record: Record, _seed: int) -> Iterator[str]:
    """What the question says of X is asked from the other end."""
    text = record.prompt.strip()
    if (found := _SWAY.fullmatch(text)) is not None:
        before, after = PASSIVE.get(found["aux"], (found["aux"], "be "))
        verb = found["verb"] + ("d" if found["verb"].endswith("e") else "ed")
        yield f"{found['how']} {before} {found['two']} {after}{verb} by {found['one']}?"
    for pattern in (_OF, _OWN):
        if (found := pattern.fullmatch(text)) is not None:
            yield f"To whom or what does this belong: {found['what']}, if one speaks of {found['whose']}?"
    if inner := clause(text):
        for frame in TURNED[:1] if whom(record) else TURNED[1:2]:
            yield frame.format(who=whom(record), clause=inner)
    yield TURNED[2].format(question=text[:1].lower() + text[1:])
    yield from (frame.format(text) for frame in DIRECT[2:])


def _behind(record: Record) -> Iterator[str]:
    """The question itself behind another opening, in whatever language it is."""
    yield from (frame.format(record.prompt) for frame in DIRECT)


_MAKERS: Mapping[Variant, Callable[[Record, int], Iterator[str]]] = {
    "simple": _simple, "contextual": _contextual, "noise": _noise, "logical": _logical,
}  # fmt: skip
