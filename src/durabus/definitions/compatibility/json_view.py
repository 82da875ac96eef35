"""A definition in JSON Schema as comparisons see it: what its parts say, and which values are valid for them."""

import hashlib
import json
from collections.abc import Iterable, Mapping
from typing import Any, Final

from durabus.definitions.json_document import Json, SchemaDocument, assertions, child
from durabus.definitions.libraries import import_library
from durabus.definitions.model import Definition

__all__ = ["SchemaView"]

_ROOT: Final = "urn:durabus:definition"
_ONE_SCHEMA: Final = ("items", "additionalProperties", "unevaluatedProperties", "not", "contains", "propertyNames")
_SCHEMAS: Final = ("anyOf", "oneOf", "allOf")


class SchemaView(SchemaDocument):
    """One side of a comparison."""

    def __init__(self, definition: Definition) -> None:
        """Take a definition that was read from JSON Schema."""
        assert isinstance(definition.source, dict)
        super().__init__(definition.path, definition.source)
        self.circles = 0  # how often something led back to where it came from
        self.known: dict[str, str] = {}  # canonical forms that are the same wherever they are
        self.registry = import_library("jsonschema_rs").Registry([(_ROOT, _without(self.root, "$id"))])

    def valid_values(self, flat: Json, values: Iterable[Any]) -> list[Any]:
        """Those of `values` that are valid for a schema of this document."""
        schema = {
            "$schema": self.root.get("$schema", "https://json-schema.org/draft/2020-12/schema"),
            "allOf": [_absolute(flat)],
        }
        validator = import_library("jsonschema_rs").validator_for(
            schema, registry=self.registry, validate_formats=True, offline=True
        )
        return [value for value in values if validator.is_valid(value)]

    def part(self, flat: Mapping[str, Any], keyword: str, pointer: str) -> str | None:
        """What one keyword says, so that it can be compared; None without it."""
        return self.canonical({keyword: flat[keyword]}, pointer + "&") if keyword in flat else None

    def canonical(self, schema: Json, pointer: str, trail: tuple[str, ...] = ()) -> str:
        """The digest of a schema without names, words and order: two that are equal say the same.

        A pointer with `&` is that of a schema that was made out of parts, and stands nowhere.
        """
        schema, pointer = self.follow(schema, pointer)
        if pointer in self.known:
            return self.known[pointer]
        if pointer in trail:
            self.circles += 1
            return f"inside {len(trail) - trail.index(pointer)}"
        circles = self.circles
        trail = (*trail, pointer)
        flat = self.flatten(schema, pointer)
        made: dict[str, Any] = {}
        for name in sorted(assertions(flat)):
            value = flat[name]
            if name == "properties":
                made[name] = {
                    one: self.canonical(value[one], child(pointer, name, one), trail) for one in sorted(value)
                }
            elif name in _ONE_SCHEMA:
                made[name] = self.canonical(value, child(pointer, name), trail)
            elif name in _SCHEMAS:
                made[name] = [self.canonical(one, child(pointer, name, at), trail) for at, one in enumerate(value)]
            elif name in ("required", "type", "enum") and isinstance(value, list):
                made[name] = sorted(value, key=repr)
            else:
                made[name] = value
        digest = hashlib.sha256(json.dumps(made, sort_keys=True).encode()).hexdigest()
        if circles == self.circles and "&" not in pointer:
            self.known[pointer] = digest
        return digest


def _without(schema: Json, *names: str) -> Json:
    if not isinstance(schema, Mapping):
        return schema
    return {name: value for name, value in schema.items() if name not in names}


def _absolute(schema: Json) -> Json:
    """A schema whose references still lead into its document when it is taken out of it."""
    if isinstance(schema, list):
        return [_absolute(one) for one in schema]
    if not isinstance(schema, dict):
        return schema
    return {
        name: _ROOT + value if name == "$ref" and isinstance(value, str) else _absolute(value)
        for name, value in schema.items()
    }
