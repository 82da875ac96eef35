"""JSON, times and uptimes: known outputs of Go, and JSON that Python's own decoder reads back."""

import json
import math
import os
import time
from collections.abc import Iterator, Mapping

import pytest
from hypothesis import given
from hypothesis import strategies as st

from durabus.monitoring.go_json import (
    PAUSE,
    JsonRows,
    JsonValue,
    Pause,
    encode_json,
    encode_steps,
    format_time,
    format_uptime,
    text_of,
)
from durabus.monitoring.steps import finish

S, M, H, D = 10**9, 60 * 10**9, 3600 * 10**9, 86400 * 10**9


@pytest.fixture
def zone(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """The process in another time zone."""
    monkeypatch.setenv("TZ", request.param)
    time.tzset()
    yield
    monkeypatch.undo()
    time.tzset()


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (None, "null"),
        (True, "true"),
        (0, "0"),
        (-5, "-5"),
        (2.0, "2"),
        (0.5, "0.5"),
        (0.0, "0"),
        (0.00005, "0.00005"),
        (0.000001, "0.000001"),
        (1.5e-07, "1.5e-7"),
        (-1e-12, "-1e-12"),
        (123456789012345.25, "123456789012345.25"),
        (1e20, "100000000000000000000"),
        (1e21, "1e+21"),
        (0.4267241379310345, "0.4267241379310345"),
        ("", '""'),
        ([], "[]"),
        ({}, "{}"),
        ([1], "[\n  1\n]"),
        ({"a": 1, "b": [1, {"c": ""}]}, '{\n  "a": 1,\n  "b": [\n    1,\n    {\n      "c": ""\n    }\n  ]\n}'),
        ('x<y>&"\\/', '"x\\u003cy\\u003e\\u0026\\"\\\\/"'),
        ("\n\r\t\b\f\x00\x1f\x7f", '"\\n\\r\\t\\u0008\\u000c\\u0000\\u001f\x7f"'),
        ("\u2028\u2029 \u00e9 \U0001f600", '"\\u2028\\u2029 \u00e9 \U0001f600"'),
        ("\udcff\udcfe", '"\\ufffd\\ufffd"'),
        ({"one.>": 1}, '{\n  "one.\\u003e": 1\n}'),
    ],
)
def test_json_as_go_writes_it(value: JsonValue, text: str) -> None:
    assert encode_json(value) == text.encode()


VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=12,
)


@given(VALUES)
def test_what_is_written_is_read(value: JsonValue) -> None:
    assert json.loads(encode_json(value)) == value


def lazily(value: JsonValue) -> JsonRows:
    """The same with every list made while it is written."""
    if isinstance(value, Mapping):
        return {key: lazily(item) for key, item in value.items()}
    if isinstance(value, list):
        return map(lazily, value)
    return value


@given(VALUES)
def test_in_steps_the_text_is_the_same(value: JsonValue) -> None:
    assert finish(encode_steps(lazily(value))) == encode_json(value)


def test_a_long_list_is_written_in_steps() -> None:
    rows: list[JsonValue] = [{"a": number, "b": "x"} for number in range(1000)]
    steps = encode_steps({"rows": iter(rows)})
    assert sum(1 for _ in steps) > 5
    assert finish(encode_steps({"rows": iter(rows)})) == encode_json({"rows": rows})


def test_whoever_makes_rows_may_pause() -> None:
    def rows() -> Iterator[JsonRows | Pause]:
        yield PAUSE
        yield 1
        yield PAUSE
        yield PAUSE
        yield 2
        yield PAUSE

    assert finish(encode_steps(rows())) == encode_json([1, 2])
    assert sum(1 for _ in encode_steps(rows())) == 4
    assert finish(encode_steps(iter([PAUSE]))) == b"[]"


def test_names_are_text_byte_for_byte() -> None:
    assert (
        encode_json(text_of(b"\xff\xfe \xc3\xa9 \xed\xa0\x80"))
        == '"\\ufffd\\ufffd \u00e9 \\ufffd\\ufffd\\ufffd"'.encode()
    )


@pytest.mark.parametrize("zone", ["UTC"], indirect=True)
@pytest.mark.usefixtures("zone")
@pytest.mark.parametrize(
    ("ns", "text"),
    [
        (1795432486_931757337, "2026-11-23T11:14:46.931757337Z"),
        (1795452734_508627380, "2026-11-23T16:52:14.50862738Z"),
        (1795452734_000000000, "2026-11-23T16:52:14Z"),
        (1795452734_100000000, "2026-11-23T16:52:14.1Z"),
        (1, "1970-01-01T00:00:00.000000001Z"),
    ],
)
def test_times_in_utc(ns: int, text: str) -> None:
    assert format_time(ns) == text


@pytest.mark.parametrize(
    ("zone", "text"),
    [
        ("America/New_York", "2026-11-23T11:57:02.963957545-05:00"),
        ("Asia/Kolkata", "2026-11-23T22:27:02.963957545+05:30"),
        ("America/St_Johns", "2026-11-23T13:27:02.963957545-03:30"),
    ],
    indirect=["zone"],
)
@pytest.mark.usefixtures("zone")
def test_times_elsewhere(text: str) -> None:
    if not os.path.isdir("/usr/share/zoneinfo"):  # noqa: PTH112
        pytest.skip("no time zones on this system")
    assert format_time(1795453022_963957545) == text
    assert format_time(1795453022_963957545, utc=True) == "2026-11-23T16:57:02.963957545Z"


@pytest.mark.row(132)
@pytest.mark.parametrize(
    ("ns", "text"),
    [
        (0, "0s"),
        (S - 1, "0s"),
        (77 * S + 5, "1m17s"),
        (H + 2 * M + 3 * S, "1h2m3s"),
        (2 * D + 3 * H + 4 * M + 5 * S, "2d3h4m5s"),
        (365 * D, "1y0d0h0m0s"),
        (367 * D + S, "1y2d0h0m1s"),
    ],
)
def test_uptimes(ns: int, text: str) -> None:
    assert format_uptime(ns) == text


@given(st.integers(0, 2**63))
def test_an_uptime_says_all_its_seconds(ns: int) -> None:
    units = {"y": 365 * 86400, "d": 86400, "h": 3600, "m": 60, "s": 1}
    total, number = 0, ""
    for char in format_uptime(ns):
        if char.isdigit():
            number += char
        else:
            total, number = total + int(number) * units[char], ""
    assert total == math.floor(ns // S)
