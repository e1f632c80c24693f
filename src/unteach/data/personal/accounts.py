"""The lengths of international bank account numbers. ISO 13616, as its registry lists the countries."""

from collections.abc import Mapping

LENGTHS: Mapping[int, str] = {
    15: "NO",
    16: "BE",
    18: "DK FI FK FO GL NL SD",
    19: "MK SI",
    20: "AT BA EE KZ LT LU MN XK",
    21: "CH HR LI LV",
    22: "BG BH CR DE GB GE IE ME RS VA",
    23: "AE GI IL IQ OM SO TL",
    24: "AD CZ DJ ES MD PK RO SA SE SK TN VG",
    25: "LY PT ST",
    26: "IS TR",
    27: "BI FR GR IT MC MR SM",
    28: "AL AZ BY CY DO GT HU LB NI PL SV",
    29: "BR EG PS QA UA",
    30: "JO KW MU YE",
    31: "MT SC",
    32: "LC",
    33: "RU",
}


def _shape(length: int) -> str:
    """Groups of four, or none: two letters and two digits are the first."""
    groups, rest = divmod(length - 4, 4)
    return r"\d\d" + r"[ -]?[A-Z0-9]{4}" * groups + (rf"[ -]?[A-Z0-9]{{{rest}}}" if rest else "")


ACCOUNT = "|".join(rf"(?:{'|'.join(names.split())}){_shape(length)}" for length, names in LENGTHS.items())
