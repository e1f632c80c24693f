"""How many letters two texts differ in."""


def levenshtein(one: str, other: str, most: int) -> int:
    """The fewest letters to put in, take out or exchange that make one text of the other; `most` where it is no less."""
    if abs(len(one) - len(other)) >= most:
        return most
    before = list(range(len(other) + 1))
    for n, letter in enumerate(one, 1):
        now = [n]
        for m, its in enumerate(other, 1):
            now.append(min(before[m] + 1, now[-1] + 1, before[m - 1] + (letter != its)))
        if min(now) >= most:
            return most
        before = now
    return min(before[-1], most)
