"""Check digits: whether a number with a rule of its own follows it. Letters are upper case, separators gone."""

from datetime import date

DNI = "TRWAGMYFPDXBNJZSQVHLCKE"
_D5 = ("0123456789", "1234067895", "2340178956", "3401289567", "4012395678",
       "5987604321", "6598710432", "7659821043", "8765932104", "9876543210")  # fmt: skip
_SHIFT = (
    "0123456789",
    "1576283094",
    "5803796142",
    "8916043527",
    "9453126870",
    "4286573901",
    "2793806415",
    "7046913258",
)
_ODD = dict(zip("0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ",
                (1, 0, 5, 7, 9, 13, 15, 17, 19, 21, 1, 0, 5, 7, 9, 13, 15, 17, 19, 21, 2, 4, 18, 20, 11, 3, 6, 8, 12, 14, 16,
                 10, 22, 25, 24, 23), strict=True))  # fmt: skip


def luhn(number: str) -> bool:
    """The check digit of payment cards. Luhn 1960, ISO/IEC 7812-1."""
    doubled = (int(d) * (1 + i % 2) for i, d in enumerate(reversed(number)))
    return sum(n - 9 * (n > 9) for n in doubled) % 10 == 0


def card(number: str) -> bool:
    """A payment card: the first digits are those of a network, and the check digit is right."""
    return number[0] in "23456" and luhn(number)


def mod97(account: str) -> bool:
    """The check digits of an international bank account number. ISO 13616, ISO 7064 modulo 97-10."""
    return int("".join(str(int(c, 36)) for c in account[4:] + account[:4])) % 97 == 1


def verhoeff(number: str) -> bool:
    """The check digit of an Aadhaar number, in the dihedral group of ten elements. Verhoeff 1969."""
    value = 0
    for i, digit in enumerate(reversed(number)):
        value = int(_D5[value][int(_SHIFT[i % 8][int(digit)])])
    return value == 0


def steuer_id(number: str) -> bool:
    """A German tax number: ISO 7064 modulo 11,10, and among the first ten digits just one that occurs again.

    It occurs twice or three times, and not three times in a row.
    """
    first = number[:10]
    again = [d for d in set(first) if first.count(d) > 1]
    if number[0] == "0" or len(again) != 1 or first.count(again[0]) > 3 or again[0] * 3 in first:
        return False
    product = 10
    for digit in first:
        product = ((int(digit) + product) % 10 or 10) * 2 % 11
    return (11 - product) % 10 == int(number[10])


def nir(number: str) -> bool:
    """A French social security number: key 97 - n mod 97, with Corsica's 2A and 2B read as 19 and 18."""
    return 97 - int(number[:13].replace("2A", "19").replace("2B", "18")) % 97 == int(number[13:])


def dni(number: str) -> bool:
    """A Spanish identity number (eight digits, or X, Y, Z and seven): the letter is n mod 23."""
    return DNI[int(number[:-1].translate(str.maketrans("XYZ", "012"))) % 23] == number[-1]


def bsn(number: str) -> bool:
    """A Dutch citizen service number: 9a + 8b + ... + 2h - i is a multiple of 11."""
    return int(number) > 0 and sum(w * int(d) for w, d in zip((*range(9, 1, -1), -1), number, strict=True)) % 11 == 0


def cpf(number: str) -> bool:
    """A Brazilian tax number: two check digits modulo 11, and not one digit eleven times."""
    if len(set(number)) == 1:
        return False
    return all(sum((n + 1 - i) * int(number[i]) for i in range(n)) * 10 % 11 % 10 == int(number[n]) for n in (9, 10))


def pesel(number: str) -> bool:
    """A Polish population number: a date with the century in the month, and a check digit modulo 10."""
    year, month, day = int(number[:2]), int(number[2:4]), int(number[4:6])
    century = {0: 1900, 1: 2000, 2: 2100, 3: 2200, 4: 1800}[month // 20]
    return day_exists(century + year, month % 20, day) and (
        sum(w * int(d) for w, d in zip((1, 3, 7, 9, 1, 3, 7, 9, 1, 3, 1), number, strict=True)) % 10 == 0
    )


def resident(number: str) -> bool:
    """A Chinese resident identity number: a date of birth, and ISO 7064 modulo 11-2. GB 11643."""
    total = sum(pow(2, 17 - i, 11) * int(d) for i, d in enumerate(number[:17]))
    return (
        day_exists(int(number[6:10]), int(number[10:12]), int(number[12:14]))
        and "10X98765432"[total % 11] == number[17]
    )


def codice_fiscale(code: str) -> bool:
    """An Italian tax code: the last letter is the sum of the values of those before, modulo 26."""
    total = sum(_ODD[c] if i % 2 == 0 else int(c, 36) - (10 if c.isalpha() else 0) for i, c in enumerate(code[:15]))
    return chr(65 + total % 26) == code[15]


def machine_readable(line: str) -> bool:
    """The second line of a passport: its fields and the whole have check digits with weights 7, 3, 1. ICAO 9303."""
    whole = line[:10] + line[13:20] + line[21:43]
    parts = ((line[:9], line[9]), (line[13:19], line[19]), (line[21:27], line[27]), (whole, line[43]))
    return all(str(weighted(text)) == digit for text, digit in parts)


def weighted(text: str) -> int:
    """The sum of the values with weights 7, 3, 1, modulo 10; a filler counts 0."""
    return sum((7, 3, 1)[i % 3] * (0 if c == "<" else int(c, 36)) for i, c in enumerate(text)) % 10


def day_exists(year: int, month: int, day: int) -> bool:
    """Whether the calendar has this day, not before 1800."""
    try:
        return date(year, month, day).year >= 1800
    except ValueError:
        return False
