"""The full names of the types in an Avro schema."""

from collections.abc import Iterator
from typing import Any, TypeAlias

from durabus.definitions.avro import full_name

__all__ = ["avro_names"]

Schema: TypeAlias = Any  # parsed: text, a list, a dict


def avro_names(schema: Schema, namespace: str = "") -> Iterator[str]:
    """Of records and enumerations, each before those inside it: the order of the types of a Definition."""
    if isinstance(schema, list):
        for one in schema:
            yield from avro_names(one, namespace)
    if not isinstance(schema, dict):
        return
    if schema.get("type") in ("record", "enum", "fixed"):
        full = full_name(schema, namespace)
        if schema["type"] != "fixed":
            yield full
        namespace = full.rpartition(".")[0]
        for field in schema.get("fields", ()):
            yield from avro_names(field["type"], namespace)
    else:
        for key in ("type", "items", "values"):
            yield from avro_names(schema.get(key), namespace)
