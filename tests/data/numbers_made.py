"""Numbers with check digits, made by rules of their own: each maker gives a valid one, and spoils it."""

from collections.abc import Callable
from itertools import pairwise
from random import Random
from string import ascii_uppercase, digits

Maker = Callable[[Random], str]


def some(random: Random, n: int, of: str = digits) -> str:
    return "".join(random.choice(of) for _ in range(n))


def value(text: str) -> str:
    return "".join(str(int(c, 36)) for c in text)


def iban(random: Random) -> str:
    """The check digits are 98 less the remainder of the account with 00 in their place."""
    country, shape = random.choice([
        ("DE", "18n"), ("GB", "4a14n"), ("FR", "10n11c2n"), ("NL", "4a10n"), ("NO", "11n"), ("MT", "4a5n18c"), ("PL", "24n"),
        ("IT", "1a10n12c"), ("SA", "2n18c"), ("BR", "23n1a1c"), ("LC", "4a24c"), ("BE", "12n"), ("CH", "5n12c"), ("RU", "14n15c"),
    ])  # fmt: skip
    account, count = "", ""
    for c in shape:
        if c.isdigit():
            count += c
        else:
            of = {"n": digits, "a": ascii_uppercase, "c": digits + ascii_uppercase}[c]
            account, count = account + some(random, int(count), of), ""
    whole = f"{country}{98 - int(value(account + country + '00')) % 97:02}{account}"
    return random.choice([whole, " ".join(whole[i : i + 4] for i in range(0, len(whole), 4)), whole.lower()])


def card(random: Random) -> str:
    first = random.choice(["4", "51", "2221", "34", "6011", "3055", "62"])
    length = {"34": 15, "3055": 14}.get(first, random.choice([16, 16, 16, 13, 19]))
    body = first + some(random, length - 1 - len(first))
    total = sum(sum(divmod(2 * int(d), 10)) if i % 2 == 0 else int(d) for i, d in enumerate(body[::-1]))
    whole = body + str(-total % 10)
    if length == 16:
        sep = random.choice(["", " ", "-"])
        return sep.join(whole[i : i + 4] for i in range(0, 16, 4))
    return f"{whole[:4]} {whole[4:10]} {whole[10:]}" if length == 15 and random.random() < 0.5 else whole


def steuerid(random: Random) -> str:
    while True:
        body = some(random, 10)
        often = sorted(body.count(d) for d in set(body))
        if (
            body[0] != "0"
            and often.count(1) == len(often) - 1
            and often[-1] in (2, 3)
            and not any(d * 3 in body for d in digits)
        ):
            break
    state = 10
    for d in body:
        state = (state + int(d)) % 10
        state = 2 * (state if state else 10) % 11
    whole = body + str((11 - state) % 10)
    return random.choice([whole, f"{whole[:2]} {whole[2:5]} {whole[5:8]} {whole[8:]}"])


def nir(random: Random) -> str:
    place, stands_for = random.choice([("2A", 19), ("2B", 18), (d := f"{random.randint(1, 95):02}", int(d))])
    head, tail = f"{random.choice('12')}{some(random, 2)}{random.randint(1, 12):02}", some(random, 6)
    whole = f"{head}{place}{tail}{97 - int(f'{head}{stands_for:02}{tail}') % 97:02}"
    cuts = (0, 1, 3, 5, 7, 10, 13, 15)
    return random.choice([whole, " ".join(whole[a:b] for a, b in pairwise(cuts))])


def dni(random: Random) -> str:
    number = random.randrange(10**8)
    if random.random() < 0.3:
        first, rest = random.randrange(3), random.randrange(10**7)
        return f"{'XYZ'[first]}{rest:07}{'TRWAGMYFPDXBNJZSQVHLCKE'[(first * 10**7 + rest) % 23]}"
    return f"{number:08}{random.choice(['', '-'])}{'TRWAGMYFPDXBNJZSQVHLCKE'[number % 23]}"


def bsn(random: Random) -> str:
    while True:
        body = some(random, 8)
        rest = sum(int(d) * (9 - i) for i, d in enumerate(body)) % 11
        if rest < 10 and body[0] != "0":
            return random.choice([f"{body}{rest}", f"{body[:4]}.{body[4:6]}.{body[6:]}{rest}"])


def aadhaar(random: Random) -> str:
    """By the dihedral group itself: below 5 turns, from 5 on reflections."""

    def times(a: int, b: int) -> int:
        if a < 5:
            return (a + b) % 5 if b < 5 else 5 + (a + b) % 5
        return 5 + (a - b) % 5 if b < 5 else (a - b) % 5

    def moved(d: int, n: int) -> int:
        for _ in range(n):
            d = (1, 5, 7, 6, 2, 8, 3, 0, 9, 4)[d]
        return d

    body = random.choice("23456789") + some(random, 10)
    state = 0
    for i, d in enumerate(reversed(body), 1):
        state = times(state, moved(int(d), i % 8))
    whole = body + str(next(d for d in range(10) if times(state, d) == 0))
    return random.choice([whole, f"{whole[:4]} {whole[4:8]} {whole[8:]}", f"{whole[:4]}-{whole[4:8]}-{whole[8:]}"])


def cpf(random: Random) -> str:
    body = some(random, 9)
    for _ in range(2):
        rest = sum(int(d) * w for d, w in zip(reversed(body), range(2, 20), strict=False)) % 11
        body += str(0 if rest < 2 else 11 - rest)
    return f"{body[:3]}.{body[3:6]}.{body[6:9]}-{body[9:]}"


def pesel(random: Random) -> str:
    year, month, day = random.randint(1900, 2020), random.randint(1, 12), random.randint(1, 28)
    body = f"{year % 100:02}{month + 20 * (year >= 2000):02}{day:02}{some(random, 4)}"
    return body + str(-sum(int(d) * (1, 3, 7, 9)[i % 4] for i, d in enumerate(body)) % 10)


def resident(random: Random) -> str:
    body = f"{random.randint(110000, 659000)}{random.randint(1900, 2020)}{random.randint(1, 12):02}{random.randint(1, 28):02}{some(random, 3)}"
    state = 0
    for d in body:
        state = (state + int(d)) * 2 % 11
    return body + "0123456789X"[(12 - state) % 11]


def fiscal(random: Random) -> str:
    body = f"{some(random, 6, ascii_uppercase)}{some(random, 2)}{random.choice('ABCDEHLMPRST')}{random.randint(1, 71):02}{random.choice('ABCDEFGHIL')}{some(random, 3)}"
    odd = "BAKPLCQDREVOSFTGUHMINJWZYX"  # the letters in order of their value at odd places
    total = sum((odd.index(chr(65 + int(c))) if c.isdigit() else odd.index(c)) if i % 2 == 0 else (int(c) if c.isdigit() else ord(c) - 65)
                for i, c in enumerate(body))  # fmt: skip
    return body + ascii_uppercase[total % 26]


def machine_readable(random: Random) -> str:
    def sealed(text: str) -> str:
        return text + str(sum((0 if c == "<" else int(value(c))) * (7, 3, 1)[i % 3] for i, c in enumerate(text)) % 10)

    number = sealed(some(random, 9, digits + ascii_uppercase))
    born, ends = sealed(some(random, 6)), sealed(some(random, 6))
    own = sealed(some(random, 9, digits + ascii_uppercase) + "<<<<<")
    return f"{number}{some(random, 3, ascii_uppercase)}{born}{random.choice('MF<')}{ends}{own}{sealed(number + born + ends + own)[-1]}"


def ssn(random: Random) -> str:
    sep = random.choice(["-", " "])
    area = random.choice([n for n in range(1, 900) if n != 666])
    return f"{area:03}{sep}{random.randint(1, 99):02}{sep}{random.randint(1, 9999):04}"


def nino(random: Random) -> str:
    while True:
        two = random.choice("ABCEGHJKLMNOPRSTWXYZ") + random.choice("ABCEGHJKLMNPRSTWXYZ")
        if two not in ("BG", "GB", "NK", "KN", "TN", "NT", "ZZ"):
            n = some(random, 6)
            return two + random.choice([n, f" {n[:2]} {n[2:4]} {n[4:]} "]) + random.choice("ABCD")


CHECKED: dict[str, Maker] = {
    "IBAN": iban, "CARD": card, "STEUERID": steuerid, "NIR": nir, "DNI": dni, "BSN": bsn, "AADHAAR": aadhaar, "CPF": cpf,
    "PESEL": pesel, "RESIDENT": resident, "FISCAL": fiscal, "PASSPORT": machine_readable,
}  # fmt: skip


def mac(random: Random) -> str:
    return random.choice(":-").join(some(random, 2, "0123456789abcdef") for _ in range(6))


def ip4(random: Random) -> str:
    return ".".join(str(random.randint(1, 255)) for _ in range(4))


def ip6(random: Random) -> str:
    groups = [f"{random.randint(1, 65535):x}" for _ in range(8)]
    return random.choice(
        [":".join(groups), f"2001:{groups[0]}::{groups[1]}", f"fe80::{':'.join(groups[:4])}", f"::ffff:{ip4(random)}"]
    )


def email(random: Random) -> str:
    local = random.choice(["ada.birch", "a", "ada+post", "x_y-z", "ада", "josé", "o'hara", "1234", "müller.ß"])
    return f"{local}@{random.choice(['mail.example.org', 'x.co.uk', 'пример.рф', 'a-b.museum', 'example.com'])}"


def login(random: Random) -> str:
    return random.choice([
        f"https://ada:{some(random, 8, ascii_uppercase)}@host{random.randint(1, 9)}.example.org:8080/path?q=1",
        f"ftp://ada:{some(random, 6)}@10.0.0.1/file",
        f"https://example.org/login?user=ada&token={some(random, 12, ascii_uppercase)}",
        f"postgres://ada:{some(random, 6, ascii_uppercase)}@db.example.org/people",
    ])  # fmt: skip


def phone(random: Random) -> str:
    d = lambda n: random.choice("23456789") + some(random, n - 1)  # noqa: E731
    return random.choice([
        f"+49 30 {d(6)}", f"+49 (0)30 {d(4)} {d(2)}", f"+1 ({d(3)}) {d(3)}-{d(4)}", f"+33 1 {d(2)} {d(2)} {d(2)} {d(2)}",
        f"+7 495 {d(3)}-{d(2)}-{d(2)}", f"+86 138 {d(4)} {d(4)}", f"+91-98{d(3)}-{d(5)}", f"0049 30 {d(6)}", f"+44 20 {d(4)} {d(4)}",
        f"({d(3)}) {d(3)}-{d(4)}", f"{d(3)}-{d(3)}-{d(4)}", f"{d(3)}.{d(3)}.{d(4)}", f"1-{d(3)}-{d(3)}-{d(4)}",
        f"020 {d(4)} {d(4)}", f"07700 {d(6)}", f"01 {d(2)} {d(2)} {d(2)} {d(2)}", f"0{d(3)}/{d(7)}", f"(030) {d(7)}", f"0151-{d(8)}",
        f"090-{d(4)}-{d(4)}", f"010-{d(4)}-{d(4)}", f"8 ({d(3)}) {d(3)}-{d(2)}-{d(2)}", f"(11) 9{d(4)}-{d(4)}", f"044 {d(3)} {d(2)} {d(2)}",
    ])  # fmt: skip


SHAPED: dict[str, Maker] = {
    "SSN": ssn, "NINO": nino, "MAC": mac, "IP": lambda r: r.choice([ip4, ip6])(r), "EMAIL": email, "LOGIN": login, "PHONE": phone,
}  # fmt: skip


def spoilt(kind: str, number: str, random: Random) -> str:
    """The same with another last digit or letter, which no check of these lets through."""
    last = number[-1]
    of = (
        "TRWAGMYFPDXBNJZSQVHLCKE"
        if kind == "DNI"
        else digits
        if last.isdigit() or kind in ("RESIDENT", "CPF")
        else ascii_uppercase
    )
    return number[:-1] + random.choice([c for c in of if c != last.upper()])
