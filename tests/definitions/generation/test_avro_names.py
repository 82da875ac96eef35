"""Full names of the types of a schema."""

import json
from pathlib import Path

import pytest

from durabus.definitions.avro import read_avro
from durabus.definitions.generation.avro_names import avro_names

pytestmark = pytest.mark.once


def test_in_the_order_of_the_types_of_a_definition(samples: Path) -> None:
    path = samples / "warehouse" / "parcel_sent.avsc"
    definition = read_avro(path, json.loads(path.read_text(encoding="utf-8")))
    names = list(avro_names(definition.source))
    assert names == [f"warehouse.{one.name}" for one in definition.types]


def test_namespaces() -> None:
    inner = {"type": "enum", "name": "x.E", "symbols": ["A"]}
    record = {"type": "record", "name": "B", "namespace": "y", "fields": [{"name": "e", "type": ["null", inner]}]}
    other = {"type": "map", "values": {"type": "record", "name": "C", "fields": [{"name": "b", "type": record}]}}
    outer = {"type": "record", "name": "n.A", "fields": [{"name": "c", "type": other}]}
    assert list(avro_names(outer)) == ["n.A", "n.C", "y.B", "x.E"]
