"""How much of a recorded answer a text gives away, whatever its form.

An answer often repeats the question and the form of all such answers ("... works as a ..."). What tells is the rest:
the words of the answer that stand neither in the question nor in every wrong answer of the same form.
"""

from unteach.audit.rouge import words
from unteach.schema import Record


def telling(record: Record) -> frozenset[str]:
    """The words of the answer that give it away; all of them where every one stands in the question."""
    own = set(words(record.answer))
    formal = [frozenset(words(text)) for text in record.perturbed]
    rest = own - (frozenset.intersection(*formal) if formal else frozenset())
    return frozenset(rest - set(words(record.prompt)) or rest or own)


def told(record: Record, text: str, *shown: str) -> float | None:
    """The share of the telling words that stand in a text; what texts shown to the model gave away does not count.

    None for an answer without words, and where what was shown holds all that tell.
    """
    wanted = telling(record) - {word for given in shown for word in words(given)}
    return len(wanted & set(words(text))) / len(wanted) if wanted else None
