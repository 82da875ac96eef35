"""Definitions that are hard to write down well: long names, keywords, quotes, names that others have already."""

import json
from pathlib import Path
from typing import Final

__all__ = ["write_odd_definitions"]

LONG: Final = "aRatherLongNameThatGoesOnAndOnUntilNobodyCanSeeItsEnd"
SENTENCE: Final = (
    'It has "quotes", a back\\slash, */ the end of a comment, \'single\' ones, and """three""" in a row. ' * 3
)

JSON: Final = {
    "title": "EventsOfAVeryLongNameThatDoesNotFitWhereNamesUsuallyFit",
    "description": SENTENCE,
    "x-subject": 'odd."subject"',
    "x-version": 7,
    "x-identity": [LONG, "user-id"],
    "type": "object",
    "properties": {
        "user-id": {"type": "string", "description": '"quoted"'},
        "user_id": {"type": "string"},
        "userId": {"type": "string"},
        "class": {"type": "string"},
        "str": {"type": "string", "default": 'a "b" \'c\' \\ \n é \u2028 "'},
        "datetime": {"type": "string", "format": "date-time", "default": "2026-01-01T00:00:00Z"},
        "uuid": {"type": "string", "format": "uuid", "default": "6f1c3a52-6a0f-4d0e-9d5c-0d7a8f3a2b10"},
        "2nd": {"type": "integer"},
        "größe": {"type": "number", "default": 1},
        "constructor": {"type": "boolean", "default": False},
        "msgspec": {"type": "string", "contentEncoding": "base64", "default": "AP8="},
        LONG: {"type": "integer"},
        f"{LONG}Value": {"enum": [f"{LONG}{number}" for number in range(4)], "description": "Which."},
        "mixed": {"enum": ["a", 1, True, None]},
        "short": {"enum": ["it's", 'say "x"', "plain"], "default": "plain"},
        "either": {
            "type": "array",
            "items": {"oneOf": [{"type": "string"}, {"type": "integer"}, {"$ref": "#/$defs/Event"}, {"type": "null"}]},
        },
        "many": {"oneOf": [{"$ref": f"#/$defs/{LONG[0].upper()}{LONG[1:]}{n}"} for n in range(3)]},
        "defaults": {"type": "object", "additionalProperties": {"type": "integer"}, "default": {"a": 1, "b-c": 2}},
        "list": {"type": "array", "items": {"type": "string"}, "default": [f"item number {n}" for n in range(12)]},
        "numbers": {"type": "array", "items": {"type": "integer"}, "default": list(range(1000, 1040))},
        "nested": {"$ref": "#/$defs/Event", "default": {"name": "none"}},
        "nothing": {"$ref": "#/$defs/Nothing"},
        "deep": {"type": "object", "additionalProperties": {"type": "array", "items": {"type": ["number", "null"]}}},
    },
    "required": [LONG, "user-id", "user_id", "2nd"],
    "$defs": {
        "Event": {"type": "object", "properties": {"name": {"type": "string"}}, "required": ["name"]},
        "Nothing": {"type": "object", "additionalProperties": False},
        **{
            f"{LONG[0].upper()}{LONG[1:]}{n}": {
                "type": "object",
                "properties": {"kind": {"const": f"kind-{n}"}, "value": {"type": "string"}},
                "required": ["kind"],
            }
            for n in range(3)
        },
    },
}

AVRO: Final = {
    "type": "record",
    "name": "Listener",
    "namespace": "odd.avro",
    "doc": SENTENCE,
    "subject": "odd.avro",
    "fields": [
        {"name": "self", "type": "string", "default": "x" * 90},
        {"name": "raw", "type": "bytes", "default": "\u0000\u00ff'\""},
        {"name": "big", "type": "long", "default": 7},
        {"name": "ratio", "type": "double", "default": 2},
        {"name": "day", "type": {"type": "int", "logicalType": "date"}},
        {"name": "flags", "type": {"type": "map", "values": "boolean"}, "default": {}},
        {"name": "sizes", "type": {"type": "array", "items": "int"}, "default": []},
        {
            "name": "inner",
            "type": {
                "type": "record",
                "name": "Publisher",
                "fields": [{"name": "next", "type": ["null", "Publisher"]}],
            },
            "default": {"next": None},
        },
        {
            "name": "mode",
            "type": {"type": "enum", "name": "Mode", "symbols": ["None", "True", "mro", "a_b"]},
            "default": "None",
        },
        {"name": "fixed", "type": {"type": "fixed", "name": "other.Two", "size": 2}},
        {"name": "again", "type": ["null", "other.Two", {"type": "array", "items": "Mode"}], "default": None},
        {"name": "either", "type": ["null", "Mode", "long"], "default": None},
    ],
}

PROTO: Final = """\
syntax = "proto2";
package odd.proto;
import "durabus/event.proto";

message Subjects {
  option (durabus.event) = {subject: "odd.proto"};
  required string import = 1;
  optional int64 with_default = 2 [default = -5];
  optional bytes raw = 3 [default = "\\000\\377'"];
  optional Level level = 4 [default = HIGH];
  repeated uint64 packed_numbers = 5 [packed = true];
  repeated sint64 plain_numbers = 6;
  map<uint64, Inner> by_number = 7;
  optional Inner inner = 8;
  oneof a_choice {
    string text = 9;
    fixed64 number = 10;
  }
  message Inner {
    optional Inner inner = 1;
    optional float ratio = 2 [default = 0.5];
    enum Level { LOW = 1; }
    optional Level level = 3;
  }
  enum Level { LOWER = -1; HIGH = 5; }
}
"""


def write_odd_definitions(folder: Path) -> Path:
    """Write them into a folder, which is returned."""
    (folder / "odd.schema.json").write_text(json.dumps(JSON), encoding="utf-8")
    (folder / "odd.avsc").write_text(json.dumps(AVRO), encoding="utf-8")
    (folder / "odd.proto").write_text(PROTO, encoding="utf-8")
    return folder
