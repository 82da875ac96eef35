"""Definitions for tests, written in few words."""

import json
from pathlib import Path
from typing import Any

from durabus.definitions.folder import read_file
from durabus.definitions.json_document import Json
from durabus.definitions.model import Definition

PROTO_HEAD = 'syntax = "proto3";\nimport "durabus/event.proto";\nimport "google/protobuf/timestamp.proto";\n'


def schema(properties: dict[str, Any], *required: str, **more: Json) -> dict[str, Any]:
    """An event in JSON Schema."""
    return {
        "title": "TicketCreated",
        "x-subject": "ticket:created",
        "type": "object",
        "properties": properties,
        "required": list(required),
        **more,
    }


def record(*fields: dict[str, Any], **more: Json) -> dict[str, Any]:
    """An event in Avro."""
    return {"type": "record", "name": "TicketCreated", "subject": "ticket:created", "fields": list(fields), **more}


def proto(body: str, outside: str = "", head: str = PROTO_HEAD) -> str:
    """An event in Protobuf."""
    option = 'option (durabus.event) = {subject: "ticket:created"};'
    return f"{head}{outside}\nmessage TicketCreated {{\n{option}\n{body}\n}}\n"


def read_text(folder: Path, name: str, text: str | dict[str, Any]) -> Definition:
    """The one definition in a file that is written for it."""
    path = folder / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text if isinstance(text, str) else json.dumps(text), encoding="utf-8")
    (found,) = read_file(path)
    return found
