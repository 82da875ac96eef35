"""A JSON document of a definition, and what JSON Schema means by `$ref` and `allOf` in it."""

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Final, TypeAlias

from durabus.definitions.model import DefinitionError

__all__ = ["Json", "SchemaDocument", "assertions", "child", "parse_json"]

Json: TypeAlias = Any
"""Whatever JSON can say, before it was looked at."""

Schema = Mapping[str, Any]

ANNOTATIONS: Final = frozenset(
    ("$comment", "title", "description", "default", "examples", "deprecated", "readOnly", "writeOnly")
)
"""Keywords that no value can offend."""

_WITHOUT_DEMAND: Final = ANNOTATIONS | {"$schema", "$id", "$defs", "definitions"}
_DRAFTS: Final = {
    "json-schema.org/draft/2020-12/schema": "2020-12",
    "json-schema.org/draft-07/schema": "7",
}
# What a value must be at least, and at most: of two demands the stronger one holds.
_LOWER_BOUNDS: Final = ("minimum", "exclusiveMinimum", "minLength", "minItems", "minProperties", "minContains")
_UPPER_BOUNDS: Final = ("maximum", "exclusiveMaximum", "maxLength", "maxItems", "maxProperties", "maxContains")


def parse_json(path: Path, text: str) -> Json:
    """The value of a JSON text; raises DefinitionError, for a name that an object has twice as well."""

    def make_object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        made: dict[str, Any] = {}
        for name, value in pairs:
            if name in made:
                raise DefinitionError(path, "", f"an object has {name!r} twice; the second would silently win")
            made[name] = value
        return made

    def refuse_constant(name: str) -> float:
        raise DefinitionError(path, "", f"{name} is no JSON")

    try:
        return json.loads(text, object_pairs_hook=make_object, parse_constant=refuse_constant)
    except json.JSONDecodeError as error:
        place = f"line {error.lineno} column {error.colno}"
        raise DefinitionError(path, place, f"broken JSON: {error.msg}") from None
    except RecursionError:
        raise DefinitionError(path, "", "it is nested too deeply") from None


def assertions(schema: Schema) -> set[str]:
    """The keywords of a schema that demand something of a value. What begins with `x-` never does."""
    return {name for name in schema if name not in _WITHOUT_DEMAND and not name.startswith("x-")}


def child(pointer: str, *names: str | int) -> str:
    """A JSON pointer that goes on from `pointer`."""
    return pointer + "".join("/" + str(name).replace("~", "~0").replace("/", "~1") for name in names)


class SchemaDocument:
    """A document of JSON Schema, draft 2020-12 or 7."""

    def __init__(self, path: Path, root: Schema) -> None:
        """Take a parsed document; raises DefinitionError when it is of another draft."""
        self.path = path
        self.root = root
        declared = root.get("$schema", "https://json-schema.org/draft/2020-12/schema")
        address = str(declared).removeprefix("https://").removeprefix("http://").removesuffix("#")
        if address not in _DRAFTS:
            raise DefinitionError(path, "#/$schema", f"{declared!r} is not read; draft 2020-12 and draft 7 are")
        self.draft = _DRAFTS[address]

    def error(self, pointer: str, reason: str) -> DefinitionError:
        """A complaint about one place."""
        return DefinitionError(self.path, pointer, reason)

    def target(self, reference: object, pointer: str) -> tuple[Any, str]:
        """The schema that a `$ref` names, and its pointer."""
        if not isinstance(reference, str) or not (reference == "#" or reference.startswith("#/")):
            raise self.error(
                pointer,
                f"$ref {reference!r} leads out of this file; put what it names into $defs and refer to #/$defs/…",
            )
        found: Any = self.root
        for part in reference.split("/")[1:]:
            name = part.replace("~1", "/").replace("~0", "~")
            if isinstance(found, dict) and name in found:
                found = found[name]
            elif isinstance(found, list) and name.isdigit() and int(name) < len(found):
                found = found[int(name)]
            else:
                raise self.error(pointer, f"$ref {reference!r} names nothing")
        return found, reference

    def follow(self, schema: Json, pointer: str) -> tuple[Any, str]:
        """Where the references of a schema end that says nothing else (but annotations); raises on a circle."""
        seen: set[str] = set()
        while isinstance(schema, dict):
            reference = schema.get("$ref")
            rest = assertions(schema) - {"$ref"}
            if reference is None and rest == {"allOf"} and len(schema["allOf"]) == 1:
                schema, pointer = schema["allOf"][0], child(pointer, "allOf", 0)
                continue
            if reference is None or (rest and self.draft != "7"):
                break
            if rest:
                raise self.error(
                    pointer, f"draft 7 ignores {', '.join(sorted(rest))} beside $ref; put both into an allOf"
                )
            if reference in seen:
                raise self.error(pointer, f"$ref {reference!r} leads to itself")
            seen.add(reference)
            schema, pointer = self.target(reference, pointer)
        return schema, pointer

    def flatten(self, schema: Json, pointer: str) -> dict[str, Any]:
        """One schema that says what `schema` says with its `$ref` and `allOf`; the schemas inside it stay as they are."""
        return self._flatten(schema, pointer, ())

    def _flatten(self, schema: Json, pointer: str, trail: tuple[str, ...]) -> dict[str, Any]:
        if isinstance(schema, bool):
            return {} if schema else {"not": {}}
        if pointer in trail:
            raise self.error(pointer, "it leads to itself through $ref and allOf")
        trail = (*trail, pointer)
        own = {name: value for name, value in schema.items() if name not in ("$ref", "allOf")}
        parts: list[dict[str, Any]] = []
        if "$ref" in schema:
            if assertions(own) and self.draft == "7":
                raise self.error(pointer, "draft 7 ignores what is beside $ref; put both into an allOf")
            parts.append(self._flatten(*self.target(schema["$ref"], pointer), trail))
        for index, part in enumerate(schema.get("allOf", ())):
            parts.append(self._flatten(part, child(pointer, "allOf", index), trail))
        self._refuse_closed_parts(own, parts, pointer)
        merged = own
        for part in parts:
            merged = self._merge(merged, part, pointer)
        return merged

    def _refuse_closed_parts(self, own: Schema, parts: list[dict[str, Any]], pointer: str) -> None:
        """A part that lets no other properties pass refuses those of the other parts, which nobody means."""
        for part in (own, *parts):
            closed = part.get("additionalProperties", True) not in (True, {})
            if part is not own:
                closed = closed or part.get("unevaluatedProperties", True) not in (True, {})
            if closed and any(other.get("properties") for other in (own, *parts) if other is not part):
                raise self.error(
                    pointer,
                    "a part of it (allOf, $ref) lets no properties pass but its own, not those of the other parts; "
                    "write unevaluatedProperties: false beside the allOf instead",
                )

    def _merge(self, one: Schema, other: Schema, pointer: str) -> dict[str, Any]:
        """What holds when both hold."""
        merged = {**{name: value for name, value in other.items() if name in assertions(other)}, **one}
        for name in assertions(one) & assertions(other):
            first, second = one[name], other[name]
            if first == second:
                continue
            join = _JOINS.get(name)
            if join is None:
                raise self.error(pointer, f"parts of it (allOf, $ref) say different things of {name}")
            merged[name] = join(first, second)
        if "description" in other:
            merged.setdefault("description", other["description"])
        return merged


def _join_properties(one: Schema, other: Schema) -> dict[str, Any]:
    joined = {**one, **{name: value for name, value in other.items() if name not in one}}
    for name in one.keys() & other.keys():
        if one[name] != other[name]:
            joined[name] = {"allOf": [one[name], other[name]]}
    return joined


def _as_list(value: Json) -> list[Any]:
    return value if isinstance(value, list) else [value]


def _join_types(one: Json, other: Json) -> list[str]:
    first, second = _as_list(one), _as_list(other)
    both = [name for name in first if name in second]
    if "integer" not in both and ("integer" in first or "integer" in second) and ("number" in (*first, *second)):
        both.append("integer")
    return both


def _join_values(one: list[Any], other: list[Any]) -> list[Any]:
    return [value for value in one if any(value == another and type(value) is type(another) for another in other)]


_JOINS: Final[dict[str, Callable[[Any, Any], Any]]] = {
    "properties": _join_properties,
    "required": lambda one, other: [*one, *(name for name in other if name not in one)],
    "type": _join_types,
    "enum": _join_values,
    "items": lambda one, other: {"allOf": [one, other]},
    "uniqueItems": lambda one, other: one or other,
    **dict.fromkeys(_LOWER_BOUNDS, max),
    **dict.fromkeys(_UPPER_BOUNDS, min),
}
