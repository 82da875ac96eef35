"""Avro: its rules of schema resolution, by which a reader takes what a writer with another schema wrote.

Stricter than the rules where libraries differ: the full names of types must be the same (or an alias of the reader's), and
logical types are part of the type, since a library that reads milliseconds as microseconds gives no error.
"""

from collections.abc import Mapping
from typing import Any, Final

from durabus.definitions.avro import LOGICAL_TYPES, PRIMITIVES, full_name
from durabus.definitions.compatibility.verdicts import Direction, Finding
from durabus.definitions.json_document import Json
from durabus.definitions.model import Definition

__all__ = ["compare_avro", "is_written_alike"]

# What a reader may make of a value that was written as another type. Avro lets bytes be read as a string as well, but not
# all bytes are text.
_PROMOTIONS: Final = {
    "int": ("long", "float", "double"),
    "long": ("float", "double"),
    "float": ("double",),
    "string": ("bytes",),
}


def compare_avro(old: Definition, new: Definition) -> list[Finding]:
    """What breaks readers of either side."""
    before, after = _Side(old.source), _Side(new.source)
    found = _Resolution(before, after, Direction.BACKWARD).resolve(old.source, "", new.source, "", "")
    return found + _Resolution(after, before, Direction.FORWARD).resolve(new.source, "", old.source, "", "")


def is_written_alike(old: Definition, new: Definition) -> bool:
    """Whether both have the same bytes for the same values, so that who knows only one of them reads what the other wrote."""
    before, after = (_layout(_Side(one.source), one.source, "", ()) for one in (old, new))
    return bool(before == after)


def _layout(side: "_Side", schema: Json, namespace: str, trail: tuple[str, ...]) -> Json:
    """What a schema says of bytes: neither names nor defaults; of a record that contains itself, how far up it is."""
    schema, namespace = side.open(schema, namespace)
    if isinstance(schema, list):
        return [_layout(side, option, namespace, trail) for option in schema]
    if not isinstance(schema, dict):
        return schema
    match schema["type"]:
        case "record":
            name = full_name(schema, namespace)
            if name in trail:
                return len(trail) - trail.index(name)
            inside = name.rpartition(".")[0]
            return ["record", *(_layout(side, field["type"], inside, (*trail, name)) for field in schema["fields"])]
        case "enum":
            return ["enum", *schema["symbols"]]
        case "fixed":
            return ["fixed", schema["size"]]
        case "array" | "map" as kind:
            return [kind, _layout(side, schema["items" if kind == "array" else "values"], namespace, trail)]
        case kind:
            return str(kind)


class _Side:
    """One schema, with its named types by their full names."""

    def __init__(self, schema: Json) -> None:
        self.named: dict[str, tuple[dict[str, Any], str]] = {}  # with the namespace that is around it
        self._collect(schema, "")

    def _collect(self, schema: Json, namespace: str) -> None:
        if isinstance(schema, list):
            for option in schema:
                self._collect(option, namespace)
        if not isinstance(schema, dict):
            return
        kind = schema["type"]
        if kind in ("record", "enum", "fixed"):
            full = full_name(schema, namespace)
            self.named[full] = (schema, namespace)
            for field in schema.get("fields", ()):
                self._collect(field["type"], full.rpartition(".")[0])
        elif kind == "array":
            self._collect(schema["items"], namespace)
        elif kind == "map":
            self._collect(schema["values"], namespace)
        else:
            self._collect(kind, namespace)

    def open(self, schema: Json, namespace: str) -> tuple[Json, str]:
        """A schema that is no name, and the namespace around it; a primitive is its name, unless it has a logical type."""
        while True:
            if isinstance(schema, str) and schema not in PRIMITIVES:
                inside = f"{namespace}.{schema}" if namespace and "." not in schema else schema
                return self.named[inside] if inside in self.named else self.named[schema]
            if not isinstance(schema, dict) or schema["type"] in ("record", "enum", "fixed", "array", "map"):
                return schema, namespace
            if isinstance(schema["type"], str) and schema["type"] in PRIMITIVES:
                return (schema if _logical(schema) else schema["type"]), namespace
            schema = schema["type"]


class _Resolution:
    """One direction."""

    def __init__(self, writer: _Side, reader: _Side, direction: Direction) -> None:
        self.writer = writer
        self.reader = reader
        self.direction = direction
        self.written, self.reading = ("old", "new") if direction is Direction.BACKWARD else ("new", "old")
        self.trail: set[tuple[str, str]] = set()

    def finding(self, path: str, reason: str) -> Finding:
        return Finding(path, reason, frozenset((self.direction,)))

    def changed(self, path: str, what: str, written: str, read: str) -> Finding:
        """The reason in the same words for both directions."""
        now, was = (read, written) if self.direction is Direction.BACKWARD else (written, read)
        return self.finding(path, f"{what} is {now}, was {was}")

    def resolve(self, written: Json, outside: str, read: Json, around: str, path: str) -> list[Finding]:
        """Why a value of `written` may not be read as `read`; empty when it always is."""
        written, outside = self.writer.open(written, outside)
        read, around = self.reader.open(read, around)
        if isinstance(written, list):
            found: list[Finding] = []
            for option in written:
                found += self._option(option, outside, read, around, path)
            return found
        if isinstance(read, list):
            return self._option(written, outside, read, around, path)
        kinds = _kind(written), _kind(read)
        if kinds[0] != kinds[1]:
            is_promoted = kinds[1] in _PROMOTIONS.get(kinds[0], ()) and not _logical(read)
            if is_promoted and _logical(written) and kinds[0] == "string":
                return []
            if is_promoted and not _logical(written):
                return []
            return [self.changed(path, "the type", _shown(written), _shown(read))]
        match kinds[0]:
            case "record":
                return self._records(written, outside, read, around, path)
            case "enum":
                return self._enums(written, outside, read, around, path)
            case "fixed":
                return self._fixed(written, outside, read, around, path)
            case "array":
                return self.resolve(written["items"], outside, read["items"], around, path + "[]")
            case "map":
                return self.resolve(written["values"], outside, read["values"], around, path + "{}")
        if _logical(written) != _logical(read) and not (kinds[0] == "string" and not _logical(read)):
            return [self.changed(path, "the type", _shown(written), _shown(read))]
        return []

    def _option(self, option: Json, outside: str, read: Json, around: str, path: str) -> list[Finding]:
        """One option of what is written: the reader needs one that takes it."""
        if not isinstance(read, list):
            found = self.resolve(option, outside, read, around, path)
            reason = f"{self.written} events may have {_shown(self.writer.open(option, outside)[0])} there, which the {self.reading} definition does not take"
            is_deeper = any(finding.path != path for finding in found)
            return found if is_deeper or not found else [self.finding(path, reason)]
        attempts = [self.resolve(option, outside, other, around, path) for other in read]
        if not all(attempts):
            return self._first_match(option, outside, read, around, path, attempts)
        written, _ = self.writer.open(option, outside)
        same = [
            attempt
            for attempt, other in zip(attempts, read, strict=True)
            if _shown(self.reader.open(other, around)[0]) == _shown(written)
        ]
        if same:
            return same[0]
        return [
            self.finding(
                path,
                f"{self.written} events may have {_shown(written)} there, which no type of the {self.reading} union takes",
            )
        ]

    def _first_match(
        self, option: Json, outside: str, read: list[Json], around: str, path: str, attempts: list[list[Finding]]
    ) -> list[Finding]:
        """A type of the union takes it. Libraries take the first that looks right: an equal one must not be broken."""
        written, _ = self.writer.open(option, outside)
        for attempt, other in zip(attempts, read, strict=True):
            opened, _ = self.reader.open(other, around)
            looks_right = _names(written) & _names(opened) if _names(written) else _kind(opened) == _kind(written)
            if attempt and looks_right:
                return attempt
        return []

    def _is_named_alike(self, written: Mapping[str, Any], outside: str, read: Mapping[str, Any], around: str) -> bool:
        name, own = full_name(written, outside), full_name(read, around)
        namespace = own.rpartition(".")[0]
        aliases = [
            alias if "." in alias or not namespace else f"{namespace}.{alias}" for alias in read.get("aliases", ())
        ]
        return name == own or name in aliases

    def _names(
        self, written: Mapping[str, Any], outside: str, read: Mapping[str, Any], around: str, path: str
    ) -> list[Finding]:
        if self._is_named_alike(written, outside, read, around):
            return []
        return [
            self.changed(
                path, f"the name of the {written['type']}", full_name(written, outside), full_name(read, around)
            )
        ]

    def _records(
        self, written: Mapping[str, Any], outside: str, read: Mapping[str, Any], around: str, path: str
    ) -> list[Finding]:
        key = full_name(written, outside), full_name(read, around)
        if key in self.trail:
            return []  # inside itself: if there is something to find, it is found outside
        found = self._names(written, outside, read, around, path)
        self.trail.add(key)
        inside, within = key[0].rpartition(".")[0], key[1].rpartition(".")[0]
        fields = {field["name"]: field for field in written["fields"]}
        taken: dict[str, str] = {}
        for field in read["fields"]:
            there = f"{path}.{field['name']}" if path else field["name"]
            known = [name for name in (field["name"], *field.get("aliases", ())) if name in fields]
            if known:
                source = fields[known[0]]
                if known[0] in taken:
                    found.append(
                        self.finding(
                            there, f"the {self.reading} definition reads {known[0]} as {taken[known[0]]} already"
                        )
                    )
                taken[known[0]] = field["name"]
                found += self.resolve(source["type"], inside, field["type"], within, there)
            elif "default" not in field:
                found.append(
                    self.finding(
                        there, f"{self.written} events do not have it, and the {self.reading} definition has no default"
                    )
                )
        self.trail.remove(key)
        return found

    def _enums(
        self, written: Mapping[str, Any], outside: str, read: Mapping[str, Any], around: str, path: str
    ) -> list[Finding]:
        found = self._names(written, outside, read, around, path)
        unknown = [symbol for symbol in written["symbols"] if symbol not in read["symbols"]]
        if unknown and "default" not in read:
            reason = f"{self.written} events may have {', '.join(unknown)}, which the {self.reading} enum does not have, nor a default"
            found.append(self.finding(path, reason))
        return found

    def _fixed(
        self, written: Mapping[str, Any], outside: str, read: Mapping[str, Any], around: str, path: str
    ) -> list[Finding]:
        found = self._names(written, outside, read, around, path)
        if written["size"] != read["size"]:
            found.append(self.changed(path, "the size", str(written["size"]), str(read["size"])))
        return found


def _kind(schema: Json) -> str:
    """Of a schema that is opened."""
    return str(schema["type"]) if isinstance(schema, dict) else str(schema)


def _names(schema: Json) -> set[str]:
    """What a type is called, without namespaces: libraries look no further in a union."""
    if not isinstance(schema, dict) or "name" not in schema:
        return set()
    return {str(name).rpartition(".")[2] for name in (schema["name"], *schema.get("aliases", ()))}


def _logical(schema: Json) -> str:
    """The logical type that programs see; others are what they are made of."""
    if not isinstance(schema, dict) or not isinstance(schema["type"], str):
        return ""
    logical = str(schema.get("logicalType", ""))
    return logical if (schema["type"], logical) in LOGICAL_TYPES else ""


def _shown(schema: Json) -> str:
    """A type in a reason."""
    if isinstance(schema, list):
        return " or ".join(_shown(option) for option in schema)
    if not isinstance(schema, dict):
        return str(schema)
    if "name" in schema:
        return f"{schema['type']} {schema['name']}"
    return _logical(schema) or _kind(schema)
