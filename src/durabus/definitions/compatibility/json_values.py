"""Small facts about schemas without `$ref`: types, bounds, and how findings show values and places."""

import json
import math
import re
from collections.abc import Mapping
from dataclasses import dataclass
from fractions import Fraction
from typing import Any, Final

__all__ = ["Bound", "lower_bound", "path_of", "shown", "types_of", "upper_bound", "whole_multiple"]

_ALL_TYPES: Final = ("null", "boolean", "number", "string", "array", "object")
_PLAIN_NAME: Final = re.compile(r"[A-Za-z_$][\w$-]*")
# What the formats of integers let pass, as programs keep them.
_RANGES: Final = {
    "int32": (-(2**31), 2**31 - 1),
    "int64": (-(2**63), 2**63 - 1),
    "uint32": (0, 2**32 - 1),
    "uint64": (0, 2**64 - 1),
}


@dataclass(frozen=True, slots=True)
class Bound:
    """A number that values may reach, or only come near to. As a lower bound `a < b` says that a lets more pass."""

    value: Fraction
    is_exclusive: bool

    def __lt__(self, other: "Bound") -> bool:
        return (self.value, self.is_exclusive) < (other.value, other.is_exclusive)

    def __str__(self) -> str:
        number = str(self.value) if self.value.denominator == 1 else str(float(self.value))
        return f"{number}, itself excluded" if self.is_exclusive else number


def types_of(flat: Mapping[str, Any]) -> list[str]:
    """The types of values that a schema lets pass; `number` includes `integer`."""
    if flat.get("not") == {}:
        return []
    declared = flat.get("type", _ALL_TYPES)
    kinds = [declared] if isinstance(declared, str) else list(declared)
    if "number" in kinds and "integer" in kinds:
        kinds.remove("integer")
    return kinds


def lower_bound(flat: Mapping[str, Any], kind: str) -> Bound | None:
    """The greatest of what numbers must be at least."""
    bounds = _bounds(flat, kind, "minimum", "exclusiveMinimum", 0)
    return max(bounds, key=lambda bound: (bound.value, bound.is_exclusive)) if bounds else None


def upper_bound(flat: Mapping[str, Any], kind: str) -> Bound | None:
    """The least of what numbers may be at most; here `a < b` says that b lets more pass."""
    bounds = _bounds(flat, kind, "maximum", "exclusiveMaximum", 1)
    # An excluded bound lets less pass, so it is the smaller one: that is how it is compared.
    turned = [Bound(bound.value, not bound.is_exclusive) for bound in bounds]
    if not turned:
        return None
    least = min(turned, key=lambda bound: (bound.value, bound.is_exclusive))
    return _UpperBound(least.value, not least.is_exclusive)


@dataclass(frozen=True, slots=True)
class _UpperBound(Bound):
    """Of two with one value the excluded one is the smaller."""

    def __lt__(self, other: Bound) -> bool:
        return (self.value, not self.is_exclusive) < (other.value, not other.is_exclusive)


def _bounds(flat: Mapping[str, Any], kind: str, inclusive: str, exclusive: str, side: int) -> list[Bound]:
    found: list[Bound] = []
    if inclusive in flat:
        found.append(Bound(_whole(_fraction(flat[inclusive]), kind, side, excluded=False), is_exclusive=False))
    if exclusive in flat:
        edge = _whole(_fraction(flat[exclusive]), kind, side, excluded=True)
        found.append(Bound(edge, is_exclusive=kind != "integer"))
    if kind == "integer" and flat.get("type") == "integer" and flat.get("format") in _RANGES:
        found.append(Bound(Fraction(_RANGES[flat["format"]][side]), is_exclusive=False))
    return found


def _whole(value: Fraction, kind: str, side: int, *, excluded: bool) -> Fraction:
    """The integer that a bound of integers comes to."""
    if kind != "integer":
        return value
    if side == 0:
        return Fraction(math.floor(value) + 1 if excluded else math.ceil(value))
    return Fraction(math.ceil(value) - 1 if excluded else math.floor(value))


def _fraction(value: float) -> Fraction:
    return Fraction(str(value))  # 0.1 as it is written, not as it is kept


def whole_multiple(value: float, unit: float) -> bool:
    """Whether `value`, and so each multiple of it, is a multiple of `unit`."""
    return (_fraction(value) / _fraction(unit)).denominator == 1


def path_of(path: str, name: str) -> str:
    """The path of a property."""
    if not _PLAIN_NAME.fullmatch(name):
        return f"{path}[{json.dumps(name)}]"
    return f"{path}.{name}" if path else name


def shown(value: object) -> str:
    """A JSON value in a reason."""
    text = json.dumps(value, ensure_ascii=False)
    return text if len(text) <= 60 else text[:57] + "…"
