"""The AsyncAPI document validates against the official JSON Schema, and its references lead somewhere."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import jsonschema_rs
import pytest

from durabus.definitions.folder import read_folder
from durabus.definitions.generation.asyncapi import asyncapi_document, asyncapi_text
from tests.definitions.odd import write_odd_definitions

pytestmark = [pytest.mark.once, pytest.mark.timeout(180)]


@pytest.fixture(scope="module")
def official(node_tools: Path) -> jsonschema_rs.Validator:
    """The schema that the makers of AsyncAPI publish."""
    path = node_tools / "node_modules" / "@asyncapi" / "specs" / "schemas" / "3.0.0.json"
    return jsonschema_rs.validator_for(json.loads(path.read_text(encoding="utf-8")))


def references(node: object) -> Iterator[str]:
    """Every `$ref` that is a string."""
    if isinstance(node, dict):
        for key, value in node.items():
            if key == "$ref" and isinstance(value, str):
                yield value
            yield from references(value)
    elif isinstance(node, list):
        for one in node:
            yield from references(one)


def target(document: Any, reference: str) -> object:  # noqa: ANN401 - any JSON
    """What a reference leads to; raises KeyError."""
    for part in reference.removeprefix("#/").split("/"):
        document = document[part.replace("~1", "/").replace("~0", "~")]
    return document


def check(document: dict[str, Any], official: jsonschema_rs.Validator) -> None:
    """Hold a document against the schema, and follow its references."""
    assert [f"{error.instance_path}: {error.message}" for error in official.iter_errors(document)] == []
    for reference in references(document):
        assert target(document, reference) is not None


def test_all_three_formats(samples: Path, official: jsonschema_rs.Validator) -> None:
    document = asyncapi_document(read_folder(samples), "Shop", "1.0.0")
    check(document, official)
    assert document["channels"]["orderCreated"] == {
        "address": "order:created",
        "messages": {"OrderCreated": {"$ref": "#/components/messages/OrderCreated"}},
    }
    assert document["operations"]["publishOrderCreated"]["action"] == "send"
    assert document["operations"]["listenToOrderCreated"]["action"] == "receive"
    messages = document["components"]["messages"]
    assert messages["ParcelSent"]["payload"]["schemaFormat"] == "application/vnd.apache.avro+json;version=1.9.0"
    assert messages["PaymentCreated"]["payload"]["schemaFormat"] == "application/vnd.google.protobuf;version=3"
    assert "message PaymentCreated" in messages["PaymentCreated"]["payload"]["schema"]
    assert messages["ParcelSent"]["x-version"] == 3
    ticket = document["components"]["schemas"]["OrderCreated"]["properties"]["ticket"]
    assert ticket == {"$ref": "#/components/schemas/OrderCreated.Ticket"}


def test_odd_definitions(tmp_path: Path, official: jsonschema_rs.Validator) -> None:
    document = asyncapi_document(read_folder(write_odd_definitions(tmp_path)), "Odd", "1")
    check(document, official)
    # Draft 7 ignores what stands beside a reference.
    name = "EventsOfAVeryLongNameThatDoesNotFitWhereNamesUsuallyFit"
    nested = document["components"]["schemas"][name]["properties"]["nested"]
    assert nested == {"default": {"name": "none"}, "allOf": [{"$ref": f"#/components/schemas/{name}.Event"}]}


def test_the_official_schema_sees_a_mistake(samples: Path, official: jsonschema_rs.Validator) -> None:
    document = asyncapi_document(read_folder(samples), "Shop", "1.0.0")
    document["channels"]["orderCreated"]["adress"] = "x"
    assert not official.is_valid(document)


def test_subjects_that_look_alike_are_channels_of_their_own(tmp_path: Path) -> None:
    for name, subject in (("A", "order:created"), ("B", "order.created"), ("C", "order.created")):
        text = {"title": name, "x-subject": subject, "x-version": ord(name), "type": "object", "properties": {}}
        (tmp_path / f"{name}.json").write_text(json.dumps(text), encoding="utf-8")
    channels = asyncapi_document(read_folder(tmp_path), "T", "1")["channels"]
    assert {name: list(channel["messages"]) for name, channel in channels.items()} == {
        "orderCreated": ["B", "C"],
        "orderCreated2": ["A"],
    }


def test_the_same_whatever_the_order(samples: Path) -> None:
    definitions = read_folder(samples)
    assert asyncapi_text(definitions, "T", "1") == asyncapi_text(definitions[::-1], "T", "1")
