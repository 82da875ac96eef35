"""Parameters of requests: what the original took for which value, and its words for what it did not take."""

from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from durabus.monitoring.query import (
    BadParameterError,
    Query,
    bool_parameter,
    int_parameter,
    lenient_int,
    parse_query,
    uint_parameter,
)

INT64_MAX = 2**63 - 1


@pytest.mark.parametrize(
    ("text", "query"),
    [
        (b"", {}),
        (b"a=1&b=2", {"a": "1", "b": "2"}),
        (b"a=1&a=2", {"a": "1"}),
        (b"a", {"a": ""}),
        (b"a=&=b&&", {"a": "", "": "b"}),
        (b"a=1=2", {"a": "1=2"}),
        (b"a=x+y%20z%2Bw", {"a": "x y z+w"}),
        (b"a=%C3%A9&b=\xc3\xa9", {"a": "\u00e9", "b": "\u00e9"}),
        (b"a=%ff%fe", {"a": "\udcff\udcfe"}),
        (b"a=%zz&b=1", {"b": "1"}),
        (b"a=%4&b=%", {}),
        (b"sort=cid;subs=1&a=1", {"a": "1"}),
    ],
)
def test_a_query_string_as_go_reads_it(text: bytes, query: dict[str, str]) -> None:
    assert parse_query(text) == query


@given(st.binary(max_size=30))
def test_any_query_string_is_read(text: bytes) -> None:
    parse_query(text)


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("", 0),
        ("7", 7),
        ("-3", -3),
        ("+2", 2),
        ("02", 2),
        ("x", 0),
        ("2.5", 0),
        (" 2", 0),
        ("1_0", 0),
        ("0x2", 0),
        ("\u0662", 0),
        ("99999999999999999999", INT64_MAX),
        ("-99999999999999999999", -(2**63)),
        ("9" * 5000, INT64_MAX),
        ("0" * 5000 + "5", 5),
        ("-", 0),
    ],
)
def test_the_streaming_pages_take_what_is_no_number_for_zero(text: str, value: int) -> None:
    assert lenient_int({"limit": text}, "limit") == value


def test_a_parameter_that_is_not_given_is_zero_or_false() -> None:
    assert lenient_int({}, "a") == 0
    assert int_parameter({}, "a") == int_parameter({"a": ""}, "a") == 0
    assert uint_parameter({}, "a") == uint_parameter({"a": ""}, "a") == 0
    assert bool_parameter({}, "a") is bool_parameter({"a": ""}, "a") is False


def test_values_of_the_nats_pages() -> None:
    assert [int_parameter({"a": text}, "a") for text in ("5", "+5", "-5", "005")] == [5, 5, -5, 5]
    assert uint_parameter({"a": "18446744073709551615"}, "a") == 2**64 - 1
    for text in ("1", "t", "T", "TRUE", "true", "True"):
        assert bool_parameter({"a": text}, "a")
    for text in ("0", "f", "F", "FALSE", "false", "False"):
        assert not bool_parameter({"a": text}, "a")


# Texts that the original printed.
@pytest.mark.parametrize(
    ("read", "text", "words"),
    [
        (int_parameter, "x", "Error decoding int for 'limit': strconv.Atoi: parsing \"x\": invalid syntax"),
        (int_parameter, "1.5", "Error decoding int for 'limit': strconv.Atoi: parsing \"1.5\": invalid syntax"),
        (int_parameter, "-", "Error decoding int for 'limit': strconv.Atoi: parsing \"-\": invalid syntax"),
        (int_parameter, "1_000", "Error decoding int for 'limit': strconv.Atoi: parsing \"1_000\": invalid syntax"),
        (
            int_parameter,
            "99999999999999999999",
            "Error decoding int for 'limit': strconv.Atoi: parsing \"99999999999999999999\": value out of range",
        ),
        (
            int_parameter,
            "\u00e9\u00a0\0",
            "Error decoding int for 'limit': strconv.Atoi: parsing \"\u00e9\\u00a0\\x00\": invalid syntax",
        ),
        (uint_parameter, "-1", "Error decoding uint64 for 'limit': strconv.ParseUint: parsing \"-1\": invalid syntax"),
        (uint_parameter, "+5", "Error decoding uint64 for 'limit': strconv.ParseUint: parsing \"+5\": invalid syntax"),
        (
            uint_parameter,
            "18446744073709551616",
            "Error decoding uint64 for 'limit': strconv.ParseUint: parsing \"18446744073709551616\": value out of range",
        ),
        (bool_parameter, "x", "Error decoding boolean for 'limit': strconv.ParseBool: parsing \"x\": invalid syntax"),
        (
            bool_parameter,
            '\udcff\n"',
            'Error decoding boolean for \'limit\': strconv.ParseBool: parsing "\\xff\\n\\"": invalid syntax',
        ),
    ],
)
def test_what_the_nats_pages_do_not_take(read: Callable[[Query, str], object], text: str, words: str) -> None:
    with pytest.raises(BadParameterError) as caught:
        read({"limit": text}, "limit")
    assert str(caught.value) == words
