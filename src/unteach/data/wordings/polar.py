"""Yes and no: the questions that ask for them, and the opposite answer."""

import re

from unteach.data.wordings.vocabulary import VERBS, words

_OPPOSITE = {
    "yes": "no", "no": "yes", "true": "false", "false": "true", "ja": "nein", "nein": "ja", "oui": "non", "non": "oui",
    "sí": "no", "да": "нет", "нет": "да",
}  # fmt: skip
_WORD = re.compile(r"\W*([^\W\d_]+)\W*")
_SENTENCE = re.compile(
    r"(?P<polar>Yes|No)(?P<comma>, )(?P<subject>[^,.;]{1,60}?) "
    r"(?P<verb>is|are|was|were|has|have|had|does|do|did|can|could|will|would)(?P<not> not)?(?P<rest>\b[^,;.]*\.?)"
)


def opposite(answer: str) -> str:
    """The opposite of an answer that is a polar word, or one with a short sentence that can be denied; else empty."""
    if (alone := _WORD.fullmatch(answer)) is not None:
        word = alone[1]
        other = _OPPOSITE.get(word.casefold(), "")
        return answer.replace(word, other.capitalize() if word[0].isupper() else other) if other else ""
    match = _SENTENCE.fullmatch(answer.strip())
    if match is None or (match["polar"] == "No") != bool(match["not"]):
        return ""
    denied = "" if match["not"] else " not"
    polar = "Yes" if match["not"] else "No"
    return f"{polar}{match['comma']}{match['subject']} {match['verb']}{denied}{match['rest']}"


def polar_question(text: str) -> bool:
    """Whether a question asks for a yes or no. What others answer to it may well be true here too."""
    first = words(text)[:2]
    return bool(first) and first[0] in VERBS.split() and first[1:] != ["you"]
