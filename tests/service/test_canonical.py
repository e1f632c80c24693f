"""One value, one form of bytes."""

import json
import math

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from unteach.schema import InputError
from unteach.service.canonical import Rejected, canonical, parse

LEAVES = (
    st.none()
    | st.booleans()
    | st.integers(-(2**53) + 1, 2**53 - 1)
    | st.text()
    | st.floats(allow_nan=False, allow_infinity=False)
)
VALUES = st.recursive(LEAVES, lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner), max_leaves=12)


@settings(max_examples=60, deadline=None)
@given(VALUES)
def test_what_is_written_is_read_back_and_means_the_same_to_other_readers(value: object) -> None:
    data = canonical(value)
    assert parse(data, "it") == value
    assert json.loads(data, parse_int=float) == value  # as readers whose numbers are all of one kind


@pytest.mark.parametrize(
    ("value", "text"),
    [  # numbers of RFC 8785, appendix B, and the order of its section 3.2.3
        (5e-324, "5e-324"),
        (1.7976931348623157e308, "1.7976931348623157e+308"),
        (9007199254740992.0, "9007199254740992"),
        (295147905179352830000.0, "295147905179352830000"),
        (1e23, "1e+23"),
        (9.999999999999997e22, "9.999999999999997e+22"),
        (0.000001, "0.000001"),
        (333333333.3333332, "333333333.3333332"),
        (-0.0, "0"),
        (
            {"\u20ac": 1, "\r": 2, "\U0001f600": 3, "1": 4, "\ufb33": 5},
            '{"\\r":2,"1":4,"\u20ac":1,"\U0001f600":3,"\ufb33":5}',
        ),
    ],
)
def test_numbers_and_keys_are_as_the_standard_has_them(value: object, text: str) -> None:
    assert canonical(value) == text.encode()
    assert parse(text.encode(), "it") == value


@pytest.mark.parametrize(
    "data",
    [
        *(b"", b" 1", b"1 ", b"1\n", b"1.0", b"1e0", b"-0", b"01", b"1e999", b"NaN", b"Infinity", b"9007199254740993"),
        *(b'{"a":1,"a":1}', b'{"b":1,"a":2}', b'{"a": 1}', b"[1,]", b'"\\u0041"', b'"\\ud800"', b'"\\/"', b'"\xff"'),
        *(b"\xef\xbb\xbf1", b"[" * 100_000, b"9" * 10_000, b"null null", b"\x00"),
    ],
)
def test_any_other_form_is_rejected(data: bytes) -> None:
    with pytest.raises(Rejected, match=r"^it is "):
        parse(data, "it")


@pytest.mark.parametrize("value", [math.nan, math.inf, 2**53, "\ud800", {1: 2}, {"a": object()}, {1, 2}])
def test_what_json_cannot_say_is_refused(value: object) -> None:
    with pytest.raises(InputError):
        canonical(value)
