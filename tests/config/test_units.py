"""Go's notation of values: known outputs of Go and of the original, and properties."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from durabus.config.units import (
    SIZE_FACTORS,
    UnitError,
    escape_char,
    format_duration,
    parse_bool,
    parse_duration,
    parse_int,
    parse_size,
    quote,
)

INT64 = st.integers(-(2**63), 2**63 - 1)
H, M, S, MS = 3600 * 10**9, 60 * 10**9, 10**9, 10**6


@pytest.mark.parametrize("text", ["1", "t", "T", "TRUE", "true", "True"])
def test_words_for_true(text: str) -> None:
    assert parse_bool(text) is True


@pytest.mark.parametrize("text", ["0", "f", "F", "FALSE", "false", "False"])
def test_words_for_false(text: str) -> None:
    assert parse_bool(text) is False


@pytest.mark.parametrize("text", ["", "yes", "on", "tRUE", " 1", "2"])
def test_other_words_are_no_booleans(text: str) -> None:
    with pytest.raises(UnitError, match=r"^parse error$"):
        parse_bool(text)


@pytest.mark.row(116)
@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("0", 0), ("10", 10), ("-5", -5), ("+5", 5), ("0x10", 16), ("0X1f", 31), ("1_000", 1000), ("010", 8),
        ("0o17", 15), ("0b101", 5), ("0_7", 7), ("0x_1", 1), ("-0x8000000000000000", -(2**63)), ("00", 0),
        ("9223372036854775807", 2**63 - 1), ("0x" + "0" * 5000 + "7", 7),
    ],
)  # fmt: skip
def test_integers_as_go_reads_them(text: str, value: int) -> None:
    assert parse_int(text) == value


@pytest.mark.parametrize(
    "text", ["", "-", "1e3", "1.5", "08", "0x", "_1", "1_", "1__0", "0b2", " 1", "1 ", "abc", "\u0663", "++1"]
)
def test_texts_that_are_no_integers(text: str) -> None:
    with pytest.raises(UnitError, match=r"^parse error$"):
        parse_int(text)


@pytest.mark.parametrize("text", ["9223372036854775808", "-9223372036854775809", "9" * 20, "9" * 5000, "0x" + "f" * 17])
def test_integers_beyond_64_bits(text: str) -> None:
    with pytest.raises(UnitError, match=r"^value out of range$"):
        parse_int(text)


@given(INT64)
def test_an_integer_in_any_base_is_read_back(value: int) -> None:
    for text in (str(value), f"{value:#x}", f"{value:#b}", f"{value:#o}", f"{value:_}"):
        assert parse_int(text) == value


@pytest.mark.row(116)
@pytest.mark.parametrize(
    ("text", "ns"),
    [
        ("0", 0), ("-0", 0), ("+0", 0), ("0s", 0), ("300ms", 300 * MS), ("1.5h", 90 * M), ("2h45m", 2 * H + 45 * M),
        ("1h2m3.5s", H + 2 * M + 3 * S + 500 * MS), ("-1.5h", -90 * M), ("1us", 1000), ("1\u00b5s", 1000),
        ("1\u03bcs", 1000), ("1ns", 1), (".5s", 500 * MS), ("5.s", 5 * S), ("1m1m", 2 * M), ("1s1h", H + S),
        ("0.3333333333333333333h", 20 * M), ("9223372036854775807ns", 2**63 - 1), ("2562047h", 2562047 * H),
        ("-9223372036854775808ns", -(2**63)), ("0.9223372036854775808123h", 3320413933267), ("1.000000000000000000001s", S),
        ("0" * 5000 + "7ns", 7),
    ],
)  # fmt: skip
def test_durations_as_go_reads_them(text: str, ns: int) -> None:
    assert parse_duration(text) == ns


@pytest.mark.parametrize(
    ("text", "error"),
    [
        ("", 'time: invalid duration ""'),
        ("10", 'time: missing unit in duration "10"'),
        ("1d", 'time: unknown unit "d" in duration "1d"'),
        ("3000000h", 'time: invalid duration "3000000h"'),
        ("9223372036854775808ns", 'time: invalid duration "9223372036854775808ns"'),
        ("9" * 5000 + "s", f'time: invalid duration "{"9" * 5000}s"'),
        ("1s-1s", 'time: unknown unit "s-" in duration "1s-1s"'),
        (".s", 'time: invalid duration ".s"'),
        ("-", 'time: invalid duration "-"'),
        ("+-3s", 'time: invalid duration "+-3s"'),
        ("x", 'time: invalid duration "x"'),
        ('1\u00e9"\\\x01', 'time: unknown unit "\\xc3\\xa9\\"\\\\\\x01" in duration "1\\xc3\\xa9\\"\\\\\\x01"'),
        ("1\udcff", 'time: unknown unit "\\xff" in duration "1\\xff"'),
    ],
)
def test_what_go_says_about_bad_durations(text: str, error: str) -> None:
    with pytest.raises(UnitError) as caught:
        parse_duration(text)
    assert str(caught.value) == error


@pytest.mark.parametrize(
    ("ns", "text"),
    [
        (0, "0s"), (1, "1ns"), (1100, "1.1\u00b5s"), (2200 * 1000, "2.2ms"), (3300 * MS, "3.3s"), (4 * M + 5 * S, "4m5s"),
        (4 * M + 5 * S + MS, "4m5.001s"), (H, "1h0m0s"), (2 * M + 3 * S, "2m3s"), (-5 * S, "-5s"), (30 * S, "30s"),
        (123456 * H + M + S + 1, "123456h1m1.000000001s"), (2**63 - 1, "2562047h47m16.854775807s"),
        (-(2**63), "-2562047h47m16.854775808s"), (999_999, "999.999\u00b5s"), (500 * MS, "500ms"),
    ],
)  # fmt: skip
def test_durations_as_go_prints_them(ns: int, text: str) -> None:
    assert format_duration(ns) == text


@given(INT64)
def test_a_printed_duration_is_read_back(ns: int) -> None:
    # Go reads the fraction through a float, so the last digits of very long ones are lost there as well.
    exact = abs(ns) < 10**15
    read = parse_duration(format_duration(ns))
    assert read == ns if exact else abs(read - ns) <= 1


@pytest.mark.row(116)
@pytest.mark.parametrize(
    ("text", "size"),
    [
        ("0", 0), ("250", 250), ("-5", -5), ("-5k", -5000), ("1k", 1000), ("1K", 1000), ("1kb", 1024), ("1KB", 1024),
        ("1ki", 1024), ("1KiB", 1024), ("2k", 2000), ("64MB", 64 * 1024**2), ("1m", 10**6), ("5g", 5 * 10**9),
        ("5GB", 5 * 1024**3), ("3t", 3 * 10**12), ("2pb", 2 * 1024**5), ("7eb", 7 * 1024**6), ("9e", 9 * 10**18),
        ("007", 7), (" 5", 5), ("5k ", 5000), ("0" * 5000 + "1", 1),
    ],
)  # fmt: skip
def test_sizes_as_the_original_reads_them(text: str, size: int) -> None:
    assert parse_size(text, "mb") == size


@pytest.mark.parametrize(
    "text", ["", "10XB", "abc", "0x10", "1_000", "+5", "5b", "5i", "k", "true", "{}", "\u0665", "1.5"]
)
def test_texts_that_are_no_sizes(text: str) -> None:
    with pytest.raises(UnitError) as caught:
        parse_size(text, "mb")
    assert str(caught.value) == f"mb should be a size, got '{text}'"


@pytest.mark.parametrize("text", ["1.5KB", "10 KB"])
def test_sizes_that_the_configuration_language_breaks_off_at(text: str) -> None:
    with pytest.raises(UnitError) as caught:
        parse_size(text, "mb")
    assert str(caught.value) == (
        "Parse error on line 1: 'Expected a top-level value to end with a new line, comment or EOF, but got 'K' instead.'"
    )


@pytest.mark.parametrize("text", ["9223372036854775808", "8eb", "10e", "9" * 5000])
def test_sizes_beyond_64_bits_do_not_wrap_around(text: str) -> None:
    with pytest.raises(UnitError) as caught:
        parse_size(text, "mb")
    assert str(caught.value) == f"integer '{text}' is out of the range"


@given(st.integers(-(2**31), 2**31), st.sampled_from(sorted(SIZE_FACTORS)), st.booleans())
def test_a_size_with_any_suffix_is_read_back(number: int, suffix: str, upper: bool) -> None:
    value = number * SIZE_FACTORS[suffix]
    text = f"{number}{suffix.upper() if upper else suffix}"
    if -(2**63) <= value < 2**63:
        assert parse_size(text, "x") == value
    else:
        with pytest.raises(UnitError):
            parse_size(text, "x")


@given(st.text(), st.sampled_from([parse_bool, parse_int, parse_duration, lambda text: parse_size(text, "x")]))
def test_no_text_is_more_than_an_error(text: str, parse: object) -> None:
    assert callable(parse)
    try:
        value = parse(text)
    except UnitError:
        return
    assert -(2**63) <= value < 2**63


@pytest.mark.parametrize(
    ("text", "quoted"),
    [
        ("maybe", '"maybe"'),
        ('a"b\\c', '"a\\"b\\\\c"'),
        ("\a\b\f\n\r\t\v", '"\\a\\b\\f\\n\\r\\t\\v"'),
        ("\x00\x7f", '"\\x00\\x7f"'),
        ("\u00e9 \U0001f600", '"\u00e9 \U0001f600"'),
        ("\u200b\u2028\u00a0\x85", '"\\u200b\\u2028\\u00a0\\u0085"'),
        ("\U000e0001", '"\\U000e0001"'),
        ("\udcff", '"\\xff"'),
    ],
)
def test_text_is_quoted_as_go_does(text: str, quoted: str) -> None:
    assert quote(text) == quoted


@given(st.text())
def test_quoted_text_is_printable(text: str) -> None:
    assert quote(text).isprintable()
    assert "".join(escape_char(char) for char in text).isprintable()
