"""Other wordings of a question by rule."""

import re
from collections.abc import Iterator, Sequence
from dataclasses import replace
from itertools import islice

from unteach.data.fold import fold
from unteach.data.wordings.notes import Reworded, counted
from unteach.data.wordings.values import names
from unteach.data.wordings.vocabulary import QUESTION, VERBS, words
from unteach.schema import Record

WHY = "only English questions and requests have templates"
INDIRECT = (
    "Could you tell me {}?", "Tell me {}.", "Do you know {}?", "I would like to know {}.", "Please say {}.",
    "Can you say {}?", "I wonder {}.",
)  # fmt: skip
DIRECT = (
    "Please answer this question: {}", "I have a question: {}", "Here is my question: {}", "Answer me this: {}",
    "I'd like to know: {}", "One thing I want to ask: {}", "Could you help me with this: {}",
)  # fmt: skip
REQUESTED = (
    "Could you {}?", "Please {}.", "I would like you to {}.", "Can you {}?", "Would you {}?", "I want you to {}.",
    "Kindly {}.", "Will you {}?",
)  # fmt: skip
ASKING = (
    "tell describe name list give explain provide summarise summarize share mention state identify write show outline "
    "discuss say elaborate"
)

_WH = f"(?:(?:in|at|on|from|by|for|to|with|of|under) )?(?:{'|'.join(QUESTION.split())})"
_AUXILIARY = "is|are|was|were|has|have|had|can|could|will|would|should|must"
_ASIDE = re.compile(r"(?:(?:can|could|will|would) you )(?:please )?(?P<rest>.+?)[?.!]*", re.IGNORECASE | re.DOTALL)
_ASKED = re.compile(rf"(?P<opens>{_WH}\b[^,.;:?!]*?) (?P<verb>{_AUXILIARY}) (?P<rest>[^?!.;:]+)\?", re.IGNORECASE)
_WHOLE = re.compile(r"(?:the|an?|his|her|their|its) [^,]*", re.IGNORECASE)  # all that follows is what is asked for
_POLAR = re.compile(rf"(?P<verb>{_AUXILIARY}) (?P<rest>[^?!.;:]+)\?", re.IGNORECASE)
_LOOSE = re.compile(r"(?:\b(?:of|in|at|on|from|by|for|to|with|about|like|as|born)|ed|ing)$", re.IGNORECASE)
_WHO = re.compile(rf"who (?!(?:{'|'.join(VERBS.split())})\b)(?P<rest>[^?!;:]+)\?", re.IGNORECASE)
ELSEWHERE = (
    "der die das ist sind wie wo wer wann warum welche welcher welches und von le la les est qui que quel quelle où "
    "comment pourquoi el los las es quién qué cuál dónde cuándo cómo il lo gli chi che dove quando perché o os quem "
    "onde het een wat wie waar hoe"
)
REQUESTS = frozenset(ASKING.split())
_FOREIGN = frozenset(ELSEWHERE.split())


def paraphrased(records: Sequence[Record], k: int = 5) -> Reworded:
    """At most `k` other wordings of each question; those that a row brings are kept and stand first.

    Indirect questions where the grammar is plain ("What is the trade of X?", "Tell me what the trade of X is."),
    and the question itself behind other openings. No content word is lost. They change how a question is put,
    not the words for what it asks: a paraphrase by a person or a model goes further. Questions in other
    languages than English, and texts that are neither a question nor a request, get none.
    """
    made = tuple(replace(r, paraphrases=_filled(r, k)) for r in records)
    return Reworded(made, (counted("other wordings", [len(r.paraphrases) for r in made], k, WHY),))


def wordings(prompt: str) -> Iterator[str]:
    """Every other wording of a question that the rules know, each once, the furthest from it first."""
    text = prompt.strip()
    if not english(text):
        return
    given = (*_indirect(text), *_requests(text), *_direct(text))
    seen = {fold(text)}
    for wording in given:
        if fold(wording) not in seen:
            seen.add(fold(wording))
            yield wording


def english(text: str) -> bool:
    """Whether a text opens as an English question or request, and speaks no other language from there on."""
    every = re.findall(r"(?<!\w)[^\W\d_A-Z][^\W\d_]*", text[:1].lower() + text[1:])
    first = words(text)[:1]
    opens = bool(first) and (first[0] in _OPENERS or re.match(_WH + r"\b", text, re.IGNORECASE) is not None)
    return opens and sum(w in _FOREIGN for w in every) <= sum(w in _ENGLISH for w in every) / 2


def _filled(record: Record, k: int) -> tuple[str, ...]:
    given = {fold(text) for text in record.paraphrases}
    fresh = (text for text in wordings(record.prompt) if fold(text) not in given)
    return (*record.paraphrases, *islice(fresh, max(0, k - len(record.paraphrases))))


def _indirect(text: str) -> Iterator[str]:
    inner = clause(text)
    if inner:
        yield from (frame.format(inner) for frame in INDIRECT[:4])
        yield from (frame.format(_lowered(text)) for frame in DIRECT[:2])
        yield from (frame.format(inner) for frame in INDIRECT[4:])


def clause(text: str) -> str:
    """The question as a clause, its verb behind its subject; empty where it is not plain where that ends."""
    if _WHO.fullmatch(text):
        return _lowered(text).rstrip("?")
    match = _ASKED.fullmatch(text) or _POLAR.fullmatch(text)
    if match is None:
        return ""
    opens = match["opens"] if "opens" in match.groupdict() else "whether"
    if set(words(opens)) & {"do", "does", "did", *_AUXILIARY.split("|")}:
        return ""
    order = _ordered(match["verb"].lower(), match["rest"].strip(), names(text), whole=match.re is _ASKED)
    return f"{_lowered(opens)} {order}" if order else ""


def _ordered(verb: str, rest: str, named: Sequence[str], *, whole: bool) -> str:
    """Subject, verb, rest: the subject is a name, or all that follows a form of `to be`."""
    name = next((n for n in named if re.match(rf"{re.escape(n)}(?!\w)", rest)), "")
    after = rest[len(name) :]
    if name and (not after or re.match(r" [a-z]", after)) and not re.match(r" (?:and|or|of|de|la|et)\b", after):
        return f"{name} {verb}{after}"
    possessive = bool(name) and re.match(r"['’]", after) is not None
    if (
        whole
        and verb in ("is", "are", "was", "were")
        and (possessive or _WHOLE.fullmatch(rest))
        and not _LOOSE.search(rest)
    ):
        return f"{rest} {verb}" if len(rest.split()) <= 8 else ""
    return ""


def _requests(text: str) -> Iterator[str]:
    """What begins with an imperative, or with "can you"."""
    aside = _ASIDE.fullmatch(text)
    rest = aside["rest"] if aside else text.rstrip("?.! ").removeprefix("Please ").removeprefix("please ")
    if words(rest)[:1] and words(rest)[0] in REQUESTS and "?" not in rest:
        yield from (frame.format(_lowered(rest)) for frame in REQUESTED)


def _direct(text: str) -> Iterator[str]:
    yield from (frame.format(_lowered(text)) for frame in DIRECT)


def _lowered(text: str) -> str:
    """A first word that is no name in small letters."""
    return text[:1].lower() + text[1:]


_OPENERS = frozenset(QUESTION.split()) | frozenset(VERBS.split()) | REQUESTS | {"please"}
_ENGLISH = frozenset(f"{QUESTION} {VERBS} the of about me you your and to for from this that".split()) | REQUESTS
