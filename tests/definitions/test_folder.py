"""A folder of definitions: all three formats, in the order of their files, and what makes it unreadable."""

import json
from pathlib import Path
from typing import Any

import pytest

from durabus.definitions.folder import read_definitions, read_file, read_folder
from durabus.definitions.model import DefinitionError, Format
from tests.definitions.texts import proto, record, schema

pytestmark = pytest.mark.once

FIELD = {"name": "id", "type": "string"}


def write(folder: Path, **files: Any) -> None:  # noqa: ANN401 - text, or what JSON can say
    for name, content in files.items():
        path = folder / name.replace("__", "/").replace("_JSON", ".json").replace("_AVSC", ".avsc").replace(
            "_PROTO", ".proto"
        )
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(content if isinstance(content, str) else json.dumps(content), encoding="utf-8")


def test_three_formats_in_the_order_of_their_files(tmp_path: Path) -> None:
    write(
        tmp_path,
        c_JSON=schema({}, title="One") | {"x-subject": "one"},
        a__b_AVSC=record(FIELD, name="Two", subject="two"),
        b_PROTO=proto("string a = 1;"),
        node_modules__x_JSON="{}",
        readme_txt="nothing",
    )
    found = read_folder(tmp_path)
    assert [(definition.name, definition.format) for definition in found] == [
        ("Two", Format.AVRO),
        ("TicketCreated", Format.PROTOBUF),
        ("One", Format.JSON_SCHEMA),
    ]
    assert read_definitions(tmp_path) == found
    assert read_definitions(tmp_path / "c.json") == read_file(tmp_path / "c.json") == found[2:]


@pytest.mark.parametrize(
    ("files", "complaint"),
    [
        ({}, "there are no definitions in it"),
        ({"a_JSON": "{"}, "a.json: line 1 column 2: broken JSON"),
        ({"a_JSON": {"title": "A", "type": "object", "properties": {"a": True}}}, "a.json: A: the subject is missing"),
        ({"a_AVSC": record(FIELD, subject="")}, "the subject is missing"),
        ({"a_JSON": schema({}), "b_AVSC": record(FIELD)}, "there is an event of this name in"),
        (
            {"a_JSON": schema({}), "b_AVSC": record(FIELD, name="Other")},
            "'ticket:created' version 1 is TicketCreated in",
        ),
    ],
)
def test_what_makes_it_unreadable(tmp_path: Path, files: dict[str, Any], complaint: str) -> None:
    write(tmp_path, **files)
    with pytest.raises(DefinitionError) as caught:
        read_folder(tmp_path)
    assert complaint in str(caught.value)
    assert str(caught.value).startswith(str(tmp_path))


def test_two_versions_of_a_subject_may_be_there(tmp_path: Path) -> None:
    write(tmp_path, a_JSON=schema({}), b_JSON=schema({}, title="TicketCreated2", **{"x-version": 2}))
    assert [definition.version for definition in read_folder(tmp_path)] == [1, 2]


def test_paths_that_are_no_definitions(tmp_path: Path) -> None:
    write(tmp_path, a_txt="")
    for path, complaint in (("none", "no such folder"), ("a_txt", "no folder")):
        with pytest.raises(DefinitionError, match=complaint):
            read_folder(tmp_path / path)
    with pytest.raises(DefinitionError, match=r"\.json, \.proto, \.avsc"):
        read_file(tmp_path / "a_txt")
    with pytest.raises(DefinitionError, match="no such file"):
        read_file(tmp_path / "none.json")
    (tmp_path / "b.json").write_bytes(b'{"\xff": 1}')
    with pytest.raises(DefinitionError, match="byte 2: it is no UTF-8"):
        read_file(tmp_path / "b.json")
