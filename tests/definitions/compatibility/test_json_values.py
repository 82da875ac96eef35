"""Types and bounds of schemas, and how they are shown."""

from typing import Any

import pytest

from durabus.definitions.compatibility.json_values import (
    lower_bound,
    path_of,
    shown,
    types_of,
    upper_bound,
    whole_multiple,
)

pytestmark = pytest.mark.once


@pytest.mark.parametrize(
    ("flat", "kind", "low", "high"),
    [
        ({}, "number", "None", "None"),
        ({"minimum": 1, "maximum": 2.5}, "number", "1", "2.5"),
        ({"exclusiveMinimum": 1, "exclusiveMaximum": 2}, "number", "1, itself excluded", "2, itself excluded"),
        ({"minimum": 1, "exclusiveMinimum": 1}, "number", "1, itself excluded", "None"),
        ({"maximum": 1, "exclusiveMaximum": 1}, "number", "None", "1, itself excluded"),
        ({"minimum": 1, "exclusiveMinimum": 0, "maximum": 7, "exclusiveMaximum": 9}, "number", "1", "7"),
        ({"exclusiveMinimum": 1, "exclusiveMaximum": 2.5}, "integer", "2", "2"),
        ({"minimum": 0.5, "maximum": 2.5}, "integer", "1", "2"),
        ({"type": "integer", "format": "uint32", "maximum": 9}, "integer", "0", "9"),
    ],
)
def test_bounds(flat: dict[str, Any], kind: str, low: str, high: str) -> None:
    assert (str(lower_bound(flat, kind)), str(upper_bound(flat, kind))) == (low, high)


def test_which_bound_lets_more_pass() -> None:
    def both(**flat: float) -> Any:  # noqa: ANN401 - a bound that is there
        return lower_bound(flat, "number") or upper_bound(flat, "number")

    assert both(minimum=1) < both(exclusiveMinimum=1) < both(minimum=1.1)
    assert both(exclusiveMaximum=1) < both(maximum=1) < both(exclusiveMaximum=1.1)
    assert not both(maximum=1) < both(maximum=1)


@pytest.mark.parametrize(
    ("value", "unit", "expected"), [(0.3, 0.1, True), (1, 0.5, True), (0.5, 1, False), (3, 2, False)]
)
def test_multiples(value: float, unit: float, expected: bool) -> None:
    assert whole_multiple(value, unit) is expected


def test_types() -> None:
    assert types_of({"type": "string"}) == ["string"]
    assert types_of({"type": ["integer", "number"]}) == ["number"]
    assert types_of({"not": {}}) == []
    assert "object" in types_of({})


def test_paths_and_values() -> None:
    assert path_of("", "a") == "a"
    assert path_of("a[]", "b-c") == "a[].b-c"
    assert path_of("a", "b c") == 'a["b c"]'
    assert shown("ä") == '"ä"'
    assert len(shown("a" * 100)) == 58
