"""Which words of a text carry its content."""

from unteach.data.fold import fold

QUESTION = "what who whom whose which where when why how"
VERBS = "am is are was were be been being do does did has have had can could will would shall should may might must"
SMALL = (
    "a an the this that these those it its he him his she her hers they them their we us our you your i me my mine "
    "of in on at to for from by with about as into and or but if so than then not no yes there here also only just "
    "one s t please"
)
FUNCTION = frozenset(f"{QUESTION} {VERBS} {SMALL}".split())
STEM = 5  # letters; what begins alike is taken for one word: geology, geologist


def words(text: str) -> list[str]:
    """The words of a text, folded."""
    return fold(text).split()


def content(text: str) -> frozenset[str]:
    """The words of a text that are no function words."""
    return frozenset(words(text)) - FUNCTION


def akin(first: str, second: str, but: frozenset[str] = frozenset()) -> bool:
    """Whether two texts share a content word, or one that begins alike: they could mean the same."""
    return bool({w[:STEM] for w in content(first) - but} & {w[:STEM] for w in content(second) - but})
