"""Messages as protobufjs is told them."""

from pathlib import Path

import pytest

from durabus.definitions.folder import read_folder
from durabus.definitions.generation.plan import GenerationError
from durabus.definitions.generation.protobufjs import protobufjs_root

pytestmark = pytest.mark.once


def root(folder: Path, body: str, syntax: str = 'syntax = "proto3";') -> dict[str, object]:
    """What is made of one message M."""
    option = 'option (durabus.event) = {subject: "m"};'
    text = f'{syntax}\npackage a.b;\nimport "durabus/event.proto";\nmessage M {{ {option} {body} }}'
    (folder / "m.proto").write_text(text, encoding="utf-8")
    (definition,) = read_folder(folder)
    assert isinstance(definition.source, bytes)
    made = protobufjs_root(definition.source)
    for name in ("nested", "a", "nested", "b", "nested", "M"):
        inner = made[name]
        assert isinstance(inner, dict)
        made = inner
    return made


def test_fields(tmp_path: Path) -> None:
    body = """
    string some_name = 1; optional int32 maybe = 2; repeated M more = 3; map<int32, bytes> by_number = 4;
    oneof which { bool yes = 5; double no = 6; } repeated int32 loose = 7 [packed = false]; enum E { A = 0; } E e = 8;
    """
    assert root(tmp_path, body) == {
        "edition": "proto3",
        "oneofs": {"whichCase": {"oneof": ["yes", "no"]}, "_maybe": {"oneof": ["maybe"]}},
        "fields": {
            "someName": {"type": "string", "id": 1},
            "maybe": {"type": "int32", "id": 2, "options": {"proto3_optional": True}},
            "more": {"rule": "repeated", "type": ".a.b.M", "id": 3},
            "byNumber": {"keyType": "int32", "type": "bytes", "id": 4},
            "yes": {"type": "bool", "id": 5},
            "no": {"type": "double", "id": 6},
            "loose": {"rule": "repeated", "type": "int32", "id": 7, "options": {"packed": False}},
            "e": {"type": ".a.b.M.E", "id": 8},
        },
        "nested": {"E": {"values": {"A": 0}}},
    }


def test_what_cannot_be_made(tmp_path: Path) -> None:
    with pytest.raises(GenerationError, match="flags is a map with bool as keys"):
        root(tmp_path, "map<bool, string> flags = 1;")
    with pytest.raises(GenerationError, match=r"m\.proto has an edition"):
        root(tmp_path, "string a = 1;", 'edition = "2023";')
