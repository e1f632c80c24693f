"""Abusive words of six languages: few, of the common and moderate kind.

Such a list finds plain abuse and nothing else: no slurs, no threats, no contempt in polite words.
"""

from unteach.data.fold import fold
from unteach.data.terms import words

ENGLISH = (
    "idiot idiots idiotic moron morons imbecile imbeciles dumbass jackass scumbag scumbags bastard bastards asshole "
    "assholes bullshit shit shitty crap dickhead bitch bitches loser losers"
)
GERMAN = "Idiot Idioten Trottel Depp Deppen Schwachkopf Blödmann Mistkerl Drecksack Arschloch Arschlöcher Scheiße"
FRENCH = "idiot idiote idiots crétin crétins abruti abrutis imbécile imbéciles connard connards salaud salauds merde"
SPANISH = "idiota idiotas imbécil imbéciles estúpido estúpida cretino gilipollas cabrón cabrones pendejo mierda"
RUSSIAN = "идиот идиоты дурак дураки дура придурок придурки кретин дебил дебилы сволочь ублюдок ублюдки мразь дерьмо"
CHINESE = "白痴 笨蛋 蠢货 蠢猪 混蛋 傻瓜 废物 王八蛋 滚蛋"
LEXICON = {
    "English": ENGLISH, "Russian": RUSSIAN, "Chinese": CHINESE, "German": GERMAN, "French": FRENCH, "Spanish": SPANISH
}  # fmt: skip
_ABUSE = frozenset(
    tuple(w.text for w in words(fold(entry))) for entries in LEXICON.values() for entry in entries.split()
)
_LENGTHS = sorted({len(entry) for entry in _ABUSE})


def abuses(text: str) -> bool:
    """Whether a word of the list stands in a text, as a whole word."""
    said = [w.text for w in words(fold(text))]
    return any(tuple(said[i : i + n]) in _ABUSE for n in _LENGTHS for i in range(len(said) - n + 1))
