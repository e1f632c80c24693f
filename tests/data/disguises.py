"""Ways to write a phrase so that a reader knows it and a search does not."""

import unicodedata
from codecs import encode
from collections.abc import Callable, Mapping

GREEK_CYRILLIC = str.maketrans("aceiopxyABEHKMOPTX", "асеіорхуΑΒЕНКМОРТХ")
LEET = str.maketrans("aeiostAEIOST", "431057431057")
SIGNS = str.maketrans("asAS", "@$@$")
SMALL_CAPITALS = str.maketrans("abcdefghijklmnoprtuvwz", "ᴀʙᴄᴅᴇꜰɢʜɪᴊᴋʟᴍɴᴏᴘʀᴛᴜᴠᴡᴢ")
Disguise = Callable[[str], str]


def between(text: str, what: str) -> str:
    """With something between any two letters of a word."""
    return " ".join(what.join(word) for word in text.split(" "))


def shifted(text: str, upper: int, lower: int) -> str:
    """ASCII letters in an alphabet that begins elsewhere."""
    return "".join(
        chr(upper + ord(c) - 65) if "A" <= c <= "Z" else chr(lower + ord(c) - 97) if "a" <= c <= "z" else c
        for c in text
    )


def late(disguise: Disguise) -> Disguise:
    """A disguise for all but a phrase's first letter."""
    return lambda text: text[0] + disguise(text[1:])


DISGUISES: Mapping[str, Disguise] = {
    "as it is": str,
    "capitals": str.upper,
    "small letters": str.lower,
    "mixed case": lambda t: "".join(c.upper() if n % 2 else c.lower() for n, c in enumerate(t)),
    "accents": lambda t: t.translate(str.maketrans("aeiounlAEIOU", "áèîöûñłÀÉÏÔÜ")),
    "marks put on": lambda t: "".join(f"{c}\u0301\u0336\u0488" if c.isalpha() else c for c in t),
    "zero-width characters": lambda t: between(t, "\u200b\u200d\u2060"),
    "soft hyphens": lambda t: between(t, "\u00ad"),
    "variation selectors": lambda t: between(t, "\ufe0f\U000e0101"),
    "directions": lambda t: f"{t[0]}\u202d{t[1:-1]}\u202c{t[-1]}",
    "full width": lambda t: "".join(chr(ord(c) + 0xFEE0) if "!" <= c <= "~" else "\u3000" for c in t),
    "mathematical bold": lambda t: shifted(t, 0x1D400, 0x1D41A),
    "script": lambda t: shifted(t, 0x1D4D0, 0x1D4EA),
    "double-struck": lambda t: shifted(t, 0x1D538, 0x1D552) if t.islower() else shifted(t.lower(), 0, 0x1D552),
    "circled": lambda t: shifted(t, 0x24B6, 0x24D0),
    "black squares": lambda t: shifted(t.upper(), 0x1F170, 0),
    "flag letters": lambda t: shifted(t.upper(), 0x1F1E6, 0),
    "small capitals": lambda t: t.lower().translate(SMALL_CAPITALS),
    "Cyrillic and Greek": lambda t: t.translate(GREEK_CYRILLIC),
    "capital I for l": lambda t: t.replace("l", "I"),
    "digits for letters": late(lambda t: t.translate(LEET)),
    "signs for letters": late(lambda t: t.translate(SIGNS)),
    "odd spaces": lambda t: t.replace(" ", " \u2003\u00a0\t "),
    "line breaks": lambda t: t.replace(" ", "\r\n\n"),
    "hyphens between words": lambda t: t.replace(" ", "-"),
    "other signs between words": lambda t: t.replace(" ", "_/**~"),
    "words run together": lambda t: t.replace(" ", ""),
    "dots between letters": lambda t: between(t, "."),
    "emoji between letters": lambda t: between(t, "\U0001f642"),
    "letters spaced out": lambda t: between(t, " ").replace("  ", "   "),
    "a letter a line": lambda t: "\n".join(t.replace(" ", "")),
    "broken in pieces": lambda t: " ".join(w if len(w) < 6 else f"{w[:2]} {w[2:4]} {w[4:]}" for w in t.split(" ")),
    "hyphenated at the line's end": lambda t: f"{t[:-2]}-\n  {t[-2:]}",
    "numeric entities": lambda t: "".join(f"&#{ord(c)};" for c in t),
    "hexadecimal entities": lambda t: "".join(f"&#x{ord(c):x};" for c in t),
    "named entities": lambda t: between(t, "&shy;").replace(" ", "&nbsp;"),
    "percent codes": lambda t: "".join(f"%{b:02X}" for b in t.translate(str.maketrans("aeo", "áéó")).encode()),
    "escape codes": lambda t: "".join(f"\\u{ord(c):04x}" for c in t),
    "tags between letters": lambda t: between(t, "</b><b>"),
    "tags that no screen shows": lambda t: "".join(chr(0xE0000 + ord(c)) for c in t),
    "backwards": lambda t: t[::-1],
    "rotated by 13 letters": lambda t: encode(t, "rot13"),
    "decomposed": lambda t: unicodedata.normalize("NFD", t.translate(str.maketrans("aeo", "áéó"))),
}  # fmt: skip
