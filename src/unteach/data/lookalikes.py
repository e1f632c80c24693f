"""What a character may be read as: the letters that it looks like, a border between words, or nothing.

Characters are taken without case, accents and compatibility forms (full-width, mathematical, circled, superscript; the
Unicode Standard, annex 15), letters of other scripts as the Latin letters that they are drawn like (Unicode technical
standard 39 calls them confusables). Who writes a digit or a sign for a letter takes a liberty; such a reading is one
more, beside the plain one. `lookalikes` are found by eye: the table is the project's own, and no such table is whole.
"""

import re
import unicodedata
from functools import lru_cache
from typing import NamedTuple

from unteach.data.fold import UNSPACED
from unteach.data.shadow import Shadow

JOINT, HYPHEN, SPACE, BREAK, EDGE = ".", "-", " ", "\n", "\x1f"  # an edge is a border that takes no room
GAPS = frozenset((JOINT, HYPHEN, SPACE, BREAK, EDGE))


class Reading(NamedTuple):
    """Letters and gaps, or nothing, that a character stands for; `free` where that takes a liberty."""

    units: str
    free: bool = False


Readings = tuple[Reading, ...]

LOOKS = {  # Latin letters, and case-folded letters of other scripts and of phonetic writing that look like them
    "a": "ɑαаᴀꭺɐⲁꓮ", "b": "ʙβвьᏼⲃꓐɓƃ", "c": "ᴄϲсꮯⲥꓚɔ", "d": "ᴅԁꭰꓓɖɗđð", "e": "ᴇεеєꭼⲉꓰǝəɛɇ", "f": "ꜰғꓝƒɟϝ",
    "g": "ɡɢԍցꮐꓖɠǥ", "h": "ʜηһнհꮋⲏꓧɦħɥ", "i": "ɪιıіꭵⲓꓲɩᴉӏ", "j": "ᴊϳјյꭻꓙȷʝ", "k": "ᴋκкꮶⲕꓗƙʞқ", "l": "ʟꮮꓡłƚɭլⳑ",
    "m": "ᴍμмꮇⲙꓟɱɯ", "n": "ɴνпոⲛꓠɲŋᥒ", "o": "ᴏοоօⲟꓳøɵө", "p": "ᴘρрꮲⲣꓑƥþ", "q": "ꞯԛզɋ", "r": "ʀгꭱꓣɹɾяꮁ", "s": "ꜱѕꮪꓢʂ",
    "t": "ᴛτтꭲⲧꓔƭŧʇ", "u": "ᴜսꓴʉц", "v": "ᴠѵꮩꓦʋʌ", "w": "ᴡωԝшաꮃꓪʍ", "x": "χхⲭꓫ", "y": "ʏυуүγⲩꓬƴʎ", "z": "ᴢζꮓꓜʐƶ",
    "ae": "æӕ", "oe": "œ",
}  # fmt: skip
SMALL = {
    "η": "n",
    "ν": "v",
    "υ": "u",
    "μ": "u",
    "σ": "o",
    "в": "v",
    "и": "u",
    "п": "p",
    "ǫ": "q",
}  # what small letters also are
SIGNS = {  # digits and signs that are written for letters
    "0": "o", "1": "il", "2": "z", "3": "e", "4": "a", "5": "s", "6": "gb", "7": "t", "8": "b", "9": "g",
    "@": "a", "$": "s", "!": "il", "|": "il", "+": "t", "€": "e", "£": "l", "¥": "y", "¢": "c", "§": "s", "×": "x",
}  # fmt: skip
SWAPPED = {"I": "l1", "i": "1", "l": "1", "O": "0", "o": "0"}  # letters that are written for others, and for digits
ENCLOSED = (0x1F150, 0x1F170, 0x1F1E6)  # where white letters in black shapes, and those of flags, begin
UNSEEN = frozenset(
    (
        0x034F,
        0x115F,
        0x1160,
        0x17B4,
        0x17B5,
        0x3164,
        0xFFA0,
        *range(0x180B, 0x1810),
        *range(0xFE00, 0xFE10),
        *range(0xE0100, 0xE01F0),
    )
)  # which show nothing, besides the format characters
TAGS = range(0xE0020, 0xE007F)  # ASCII that no screen shows
BREAKS = frozenset("\n\r\v\f\x85\u2028\u2029")

_LATIN = {character.casefold(): letter for letter, some in LOOKS.items() for character in some}
_APART = re.compile(f"[{UNSPACED}]")  # characters that are words by themselves


@lru_cache(maxsize=1 << 14)
def readings(character: str) -> Readings:
    """All that a character may be read as, the plainest first."""
    code = ord(character)
    if code in TAGS:
        shown = readings(chr(code - TAGS.start + 0x20))
        return (Reading(""), *(Reading(f"{EDGE}{units}{EDGE}", free) for units, free in shown))
    if code in UNSEEN or (unicodedata.category(character) in ("Cf", "Cc", "Me") and not character.isspace()):
        return (Reading(""),)
    if character.isspace() or code == 0x2800:
        return (Reading(BREAK if character in BREAKS else SPACE),)
    if unicodedata.category(character) == "Pd" or code == 0x2212:
        return (Reading(HYPHEN),)
    for start in ENCLOSED:
        if start <= code < start + 26:
            return (Reading(chr(ord("a") + code - start)), Reading(JOINT))
    return _lettered(character)


def _lettered(character: str) -> Readings:
    """The readings of a letter, a digit, a mark or a sign."""
    whole = character if character.casefold() in _LATIN else unicodedata.normalize("NFKD", character)
    bare = "".join(c for c in whole if not _accent(c))
    liberties = SIGNS.get(bare, "") + SWAPPED.get(bare, "")
    letters = "".join(_letter(c) for c in bare.casefold() if not _accent(c))
    plain = [letters or ("" if not bare else JOINT)]
    if also := SMALL.get(character) or (SMALL.get(bare) if bare.islower() else None):
        plain.append(also)
    if unicodedata.decomposition(character).startswith(("<super>", "<sub>", "<circle>")):
        plain.append(JOINT)  # a footnote's number is no part of the word before it
    return (*map(Reading, plain), *(Reading(c, free=True) for c in liberties))


def _letter(character: str) -> str:
    """A case-folded letter or digit as the one it looks like; nothing for a sign."""
    if not character.isalnum() and unicodedata.category(character)[0] != "M":
        return ""
    plain = str(unicodedata.decimal(character)) if character.isdecimal() else _LATIN.get(character, character)
    return f"{EDGE}{plain}{EDGE}" if _APART.match(character) else plain


def _accent(character: str) -> bool:
    """Whether a mark only stands on, under or through a letter; signs for vowels and voicing make another letter."""
    return unicodedata.combining(character) == 1 or unicodedata.combining(character) > 9


def plainly(text: str) -> Shadow:
    """A text by the plainest readings, and the way back to the places that they stand in; gaps are one space each."""
    made, source = list[str](), list[tuple[int, int]]()
    for place, character in enumerate(text):
        for unit in readings(character)[0].units:
            if unit == EDGE:
                continue
            shown = SPACE if unit in GAPS else unit
            if shown != SPACE or (made and made[-1] != SPACE):
                made.append(shown)
                source.append((place, place + 1))
    return Shadow("".join(made), source)
