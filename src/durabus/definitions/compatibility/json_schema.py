"""JSON Schema: whether every event that one definition writes is valid for the other.

A writer writes the properties that its definition names, and no others, even where the definition lets others pass; so a
new optional property breaks nobody. Where the answer cannot be worked out (two options of a oneOf that may both fit, a
`not` that changed) it is taken as a break, and the reason says so.
"""

from collections.abc import Mapping
from typing import Any, Final

from durabus.definitions.compatibility.json_values import (
    Bound,
    lower_bound,
    path_of,
    shown,
    types_of,
    upper_bound,
    whole_multiple,
)
from durabus.definitions.compatibility.json_view import SchemaView
from durabus.definitions.compatibility.verdicts import Direction, Finding
from durabus.definitions.json_document import Json, assertions, child
from durabus.definitions.model import Definition, DefinitionError

__all__ = ["compare_json_schema"]

_AT_LEAST: Final = {"string": "minLength", "array": "minItems", "object": "minProperties"}
_AT_MOST: Final = {"string": "maxLength", "array": "maxItems", "object": "maxProperties"}
_OPTIONS: Final = ("anyOf", "oneOf")


def compare_json_schema(old: Definition, new: Definition) -> list[Finding]:
    """What breaks readers of either side."""
    before, after = SchemaView(old), SchemaView(new)
    backward = _Comparison(before, after, Direction.BACKWARD)
    forward = _Comparison(after, before, Direction.FORWARD)
    found = backward.fits(before.root, "#", after.root, "#", "")
    return found + forward.fits(after.root, "#", before.root, "#", "")


class _Comparison:
    """One direction: whether the events of `writer` are valid for `reader`."""

    def __init__(self, writer: SchemaView, reader: SchemaView, direction: Direction) -> None:
        self.writer = writer
        self.reader = reader
        self.direction = direction
        is_backward = direction is Direction.BACKWARD
        self.written, self.reading = ("old", "new") if is_backward else ("new", "old")
        self.trail: set[tuple[str, str]] = set()
        self.circles = 0  # how often something led back to the trail
        self.known: set[tuple[str, str]] = set()  # pairs that fit, whatever they are part of

    def finding(self, path: str, reason: str) -> Finding:
        return Finding(path, reason, frozenset((self.direction,)))

    def changed(self, path: str, what: str, written: object, read: object) -> Finding:
        """The reason in the same words for both directions: as the change is seen by who made it."""
        now, was = (read, written) if self.direction is Direction.BACKWARD else (written, read)
        return self.finding(path, f"{what} {_value(now, 'is')}, {_value(was, 'was')}")

    def fits(self, written: Json, written_at: str, read: Json, read_at: str, path: str) -> list[Finding]:
        """Why events of `written` may not be valid for `read`; empty when they are."""
        written, written_at = self.writer.follow(written, written_at)
        read, read_at = self.reader.follow(read, read_at)
        if _is_anything(read):
            return []
        if _is_anything(written):
            written_at = "#anything"  # wherever: so that what contains itself comes to an end
        pair = written_at, read_at
        if pair in self.known:
            return []
        if pair in self.trail:
            self.circles += 1
            return []  # inside itself: if there is something to find, it is found outside
        circles = self.circles
        self.trail.add(pair)
        one, other = self.writer.flatten(written, written_at), self.reader.flatten(read, read_at)
        found = self._flat(one, written_at, other, read_at, path)
        self.trail.remove(pair)
        if not found and circles == self.circles:
            self.known.add(pair)
        return found

    def _flat(self, one: dict[str, Any], one_at: str, other: dict[str, Any], other_at: str, path: str) -> list[Finding]:
        if self.writer.canonical(one, one_at) == self.reader.canonical(other, other_at):
            return []
        for keyword in _OPTIONS:
            if keyword in one:
                rest = {name: value for name, value in one.items() if name != keyword}
                found: list[Finding] = []
                for index, option in enumerate(one[keyword]):
                    at = child(one_at, keyword, index)
                    if assertions(rest) <= {"type"}:  # it repeats what the options say
                        found += self._against(option, at, other, other_at, path)
                    else:
                        found += self._flat(self._with_rest(option, at, rest), at + "&", other, other_at, path)
                return found
        values = self._values(one)
        if values is not None:
            return self._finite(values, other, path)
        for keyword in _OPTIONS:
            if keyword in other:
                rest = {name: value for name, value in other.items() if name != keyword}
                found = self._flat(one, one_at, rest, other_at + "&", path)
                return found + self._some_option(keyword, one, one_at, other, other_at, path)
        return self._by_type(one, one_at, other, other_at, path)

    def _against(self, option: Json, at: str, other: dict[str, Any], other_at: str, path: str) -> list[Finding]:
        """One option that stands alone; where it leads to itself, there is nothing more to find."""
        option, at = self.writer.follow(option, at)
        if (at, other_at) in self.trail:
            self.circles += 1
            return []
        self.trail.add((at, other_at))
        found = self._flat(self.writer.flatten(option, at), at, other, other_at, path)
        self.trail.remove((at, other_at))
        return found

    def _with_rest(self, option: Json, at: str, rest: dict[str, Any]) -> dict[str, Any]:
        """An option with what stands beside it; alone, which is more than the writer writes, if they cannot be joined."""
        option = {} if option is True else option
        try:
            return self.writer.flatten({"allOf": [option, rest]}, at + "&")
        except DefinitionError:
            return self.writer.flatten(option, at)

    def _values(self, one: dict[str, Any]) -> list[Any] | None:
        """All values there can be, if they are listed."""
        if "const" in one:
            return self.writer.valid_values(one, [one["const"]])
        if "enum" in one:
            return self.writer.valid_values(one, one["enum"])
        kinds = set(types_of(one))
        if kinds <= {"null", "boolean"}:
            return self.writer.valid_values(one, [None, True, False])
        return None

    def _finite(self, values: list[Any], other: dict[str, Any], path: str) -> list[Finding]:
        refused = [value for value in values if value not in self.reader.valid_values(other, [value])]
        if not refused:
            return []
        listed = ", ".join(shown(value) for value in refused)
        return [
            self.finding(path, f"{listed} may be in {self.written} events; the {self.reading} definition refuses it")
        ]

    def _some_option(
        self, keyword: str, one: dict[str, Any], one_at: str, other: dict[str, Any], other_at: str, path: str
    ) -> list[Finding]:
        """Each type of value that is written fits one option; only one, if there may be no more."""
        found: list[Finding] = []
        for kind in types_of(one):
            single = {**one, "type": kind}
            at = f"{one_at}&{kind}"
            attempts: list[list[Finding]] = []
            for index, option in enumerate(other[keyword]):
                target, place = self.reader.follow(option, child(other_at, keyword, index))
                flat = self.reader.flatten(target, place)
                if kind in types_of(flat) or (kind == "integer" and "number" in types_of(flat)):
                    attempts.append(self._flat(single, at, flat, place, path))
            if not attempts:
                found.append(
                    self.finding(
                        path,
                        f"{self.written} events may have {kind} there, which no option of the {self.reading} definition takes",
                    )
                )
            elif all(attempts):
                found += attempts[min(range(len(attempts)), key=lambda index: len(attempts[index]))]
            elif keyword == "oneOf":
                fitting = [
                    index
                    for index, option in enumerate(other[keyword])
                    if not self._are_apart(single, at, option, child(other_at, keyword, index))
                ]
                if len(fitting) > 1:
                    found.append(
                        self.finding(
                            path,
                            f"{kind} of {self.written} events may fit two options of oneOf of the {self.reading} definition, which refuses it",
                        )
                    )
        return found

    # Whether nothing of one schema can be valid for another.

    def _are_apart(self, one: dict[str, Any], one_at: str, option: Json, at: str, depth: int = 4) -> bool:
        option, at = self.reader.follow(option, at)
        other = self.reader.flatten(option, at)
        values = self._values(one)
        if values is not None:
            return not self.reader.valid_values(other, values)
        numbers = {"integer", "number"}  # whole numbers are both
        taken = set(types_of(other))
        kinds = [kind for kind in types_of(one) if kind in taken or (kind in numbers and taken & numbers)]
        if not kinds:
            return True
        if "const" in other or "enum" in other:
            listed = other["enum"] if "enum" in other else [other["const"]]
            return not self.writer.valid_values(one, listed)
        if kinds != ["object"] or depth == 0 or any(keyword in one for keyword in _OPTIONS):
            return False
        written, read = one.get("properties", {}), other.get("properties", {})
        needed, required = other.get("required", []), one.get("required", [])
        if written and any(name not in written for name in needed):
            return True  # it is never written
        if _is_closed(other) and any(name not in read for name in required):
            return True
        for name in written.keys() & read.keys():
            if name in needed or name in required:
                place = child(one_at, "properties", name)
                schema, place = self.writer.follow(written[name], place)
                flat = self.writer.flatten(schema, place)
                if self._are_apart(flat, place, read[name], child(at, "properties", name), depth - 1):
                    return True
        return False

    # Values of one type.

    def _by_type(
        self, one: dict[str, Any], one_at: str, other: dict[str, Any], other_at: str, path: str
    ) -> list[Finding]:
        written, read = types_of(one), types_of(other)
        missing = [kind for kind in written if kind not in read and not (kind == "integer" and "number" in read)]
        if "const" in other or "enum" in other:
            listed = other["enum"] if "enum" in other else [other["const"]]
            values = ", ".join(shown(value) for value in listed)
            return [
                self.finding(
                    path, f"the {self.reading} definition takes only {values}; {self.written} events may have others"
                )
            ]
        found: list[Finding] = []
        if missing:
            found.append(self.changed(path, "the type", " or ".join(written), " or ".join(read)))
        if "not" in other and self.reader.part(other, "not", other_at) != self.writer.part(one, "not", one_at):
            found.append(
                self.finding(
                    path, f"`not` of the {self.reading} definition is another one: it cannot be told what it refuses"
                )
            )
        for kind in written:
            if kind in missing:
                continue
            match kind:
                case "number" | "integer":
                    found += self._numbers(kind, one, other, path)
                case "string":
                    found += self._strings(one, other, path)
                case "array":
                    found += self._arrays(one, one_at, other, other_at, path)
                case "object":
                    found += self._objects(one, one_at, other, other_at, path)
        return found

    def _numbers(self, kind: str, one: dict[str, Any], other: dict[str, Any], path: str) -> list[Finding]:
        found: list[Finding] = []
        low, limit = lower_bound(one, kind), lower_bound(other, kind)
        if limit is not None and (low is None or low < limit):
            found.append(self.changed(path, "the lower bound", low, limit))
        high, limit = upper_bound(one, kind), upper_bound(other, kind)
        if limit is not None and (high is None or limit < high):
            found.append(self.changed(path, "the upper bound", high, limit))
        if "multipleOf" in other:
            written = one.get("multipleOf", 1 if kind == "integer" else None)
            if written is None or not whole_multiple(written, other["multipleOf"]):
                found.append(self.changed(path, "multipleOf", one.get("multipleOf"), other["multipleOf"]))
        return found

    def _sizes(self, kind: str, one: dict[str, Any], other: dict[str, Any], path: str, least: int = 0) -> list[Finding]:
        """How long, or how many; the writer has at least `least` in any case."""
        found: list[Finding] = []
        keyword = _AT_LEAST[kind]
        if max(one.get(keyword, 0), least) < other.get(keyword, 0):
            found.append(self.changed(path, keyword, one.get(keyword), other[keyword]))
        keyword = _AT_MOST[kind]
        limit = other.get(keyword)
        most = one.get(keyword)
        if kind == "object" and one.get("properties"):
            most = min(len(one["properties"]), most if most is not None else len(one["properties"]))
        if limit is not None and (most is None or most > limit):
            found.append(self.changed(path, keyword, one.get(keyword), limit))
        return found

    def _strings(self, one: dict[str, Any], other: dict[str, Any], path: str) -> list[Finding]:
        found = self._sizes("string", one, other, path)
        for keyword in ("pattern", "format", "contentEncoding", "contentMediaType"):
            if keyword in other and one.get(keyword) != other[keyword]:
                found.append(self.changed(path, keyword, one.get(keyword), other[keyword]))
        return found

    def _arrays(
        self, one: dict[str, Any], one_at: str, other: dict[str, Any], other_at: str, path: str
    ) -> list[Finding]:
        found = self._sizes("array", one, other, path)
        if other.get("uniqueItems", False) and not one.get("uniqueItems", False) and one.get("maxItems", 2) > 1:
            found.append(self.changed(path, "uniqueItems", None, True))
        for keyword in ("contains", "minContains", "maxContains"):
            if keyword in other and self.reader.part(other, keyword, other_at) != self.writer.part(
                one, keyword, one_at
            ):
                found.append(
                    self.finding(
                        path,
                        f"`{keyword}` of the {self.reading} definition is another one: it cannot be told what it refuses",
                    )
                )
        places = child(one_at, "items"), child(other_at, "items")
        return found + self.fits(one.get("items", True), places[0], other.get("items", True), places[1], path + "[]")

    def _objects(
        self, one: dict[str, Any], one_at: str, other: dict[str, Any], other_at: str, path: str
    ) -> list[Finding]:
        written: Mapping[str, Json] = one.get("properties", {})
        read: Mapping[str, Json] = other.get("properties", {})
        required = one.get("required", [])
        found = self._sizes("object", one, other, path, len(required))
        for name in other.get("required", []):
            if name not in required:
                lack = "may lack it" if name in written or not _is_record(one) else "do not have it"
                found.append(
                    self.finding(
                        path_of(path, name), f"the {self.reading} definition requires it; {self.written} events {lack}"
                    )
                )
        for name, others in other.get("dependentRequired", {}).items():
            has_same = others == one.get("dependentRequired", {}).get(name)
            if not has_same and (name in written or not _is_record(one)) and not set(others) <= set(required):
                found.append(
                    self.finding(
                        path_of(path, name),
                        f"the {self.reading} definition requires {', '.join(others)} with it; {self.written} events may lack it",
                    )
                )
        extra = _extra(other)
        for name, schema in written.items():
            place = child(one_at, "properties", name)
            there = path_of(path, name)
            if name in read:
                found += self.fits(schema, place, read[name], child(other_at, "properties", name), there)
            elif extra is False:
                found.append(
                    self.finding(
                        there,
                        f"the {self.reading} definition lets no properties pass but its own; {self.written} events may have it",
                    )
                )
            else:
                found += self.fits(schema, place, extra, child(other_at, "additionalProperties"), there)
        found += self._names(one, one_at, other, other_at, path)
        if not _is_record(one):
            place = child(one_at, "additionalProperties")
            for name, schema in read.items():
                found += self.fits(_extra(one), place, schema, child(other_at, "properties", name), path_of(path, name))
            if extra is False:
                found.append(
                    self.finding(
                        path,
                        f"the {self.reading} definition lets no properties pass but its own; {self.written} events may have any",
                    )
                )
            else:
                found += self.fits(_extra(one), place, extra, child(other_at, "additionalProperties"), path + "{}")
        return found

    def _names(
        self, one: dict[str, Any], one_at: str, other: dict[str, Any], other_at: str, path: str
    ) -> list[Finding]:
        """What properties may be called."""
        if "propertyNames" not in other:
            return []
        if _is_record(one):
            names = list(one.get("properties", {}))
            refused = [name for name in names if name not in self.reader.valid_values(other["propertyNames"], [name])]
            return [
                self.finding(path_of(path, name), f"propertyNames of the {self.reading} definition refuses it")
                for name in refused
            ]
        if self.reader.part(other, "propertyNames", other_at) == self.writer.part(one, "propertyNames", one_at):
            return []
        return [
            self.finding(
                path,
                f"`propertyNames` of the {self.reading} definition is another one: it cannot be told what it refuses",
            )
        ]


def _is_anything(schema: Json) -> bool:
    return schema is True or (isinstance(schema, Mapping) and not assertions(schema))


def _extra(flat: Mapping[str, Any]) -> Json:
    """What properties without a name of their own must be."""
    return flat.get("additionalProperties", flat.get("unevaluatedProperties", True))


def _is_closed(flat: Mapping[str, Any]) -> bool:
    return _extra(flat) is False


def _is_record(flat: Mapping[str, Any]) -> bool:
    """Whether its events have the properties that it names, and no others."""
    return bool(flat.get("properties")) or _is_closed(flat)


def _value(value: object, verb: str) -> str:
    if value is None:
        return f"{verb} not set"
    return f"{verb} {value if isinstance(value, str | Bound) else shown(value)}"
