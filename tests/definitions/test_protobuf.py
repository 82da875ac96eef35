"""Reading Protobuf: what each field becomes, and protoc's own words where it is broken."""

from pathlib import Path

import pytest
from google.protobuf.descriptor_pb2 import FileDescriptorSet

from durabus.definitions.folder import read_folder
from durabus.definitions.model import (
    ArrayType,
    DefinitionError,
    Enumeration,
    Field,
    Format,
    MapType,
    Record,
    Reference,
    Scalar,
    Symbol,
)
from durabus.definitions.protobuf import INCLUDE, TYPE_NAMES, make_pool
from tests.definitions.texts import proto, read_text

pytestmark = pytest.mark.once

WHOLE = """\
syntax = "proto3";
package shop.v1;
import "durabus/event.proto";
import "google/protobuf/timestamp.proto";
import "common/money.proto";

// A ticket is
// for sale.
message TicketCreated {
  option (durabus.event) = {subject: "ticket:created" version: 2 identity: "id"};
  string id = 1;  // its id
  google.protobuf.Timestamp at = 2;
  optional int32 seats = 3;
  enum Status {
    NEW = 0;
    SOLD = 5;  // gone
  }
  Status status = 4;
  repeated Line lines = 5;
  map<int64, common.Money> prices = 6;
  oneof seller { string name = 7; uint64 number = 8; }
  message Line { sint32 count = 1; TicketCreated whole = 2; }
}

message Unused { string a = 1; }

message TicketGone {
  option (durabus.event) = {subject: "ticket:gone"};
  TicketCreated.Status status = 1;
}
"""
MONEY = 'syntax = "proto3";\npackage common;\n// An amount\nmessage Money { int64 cents = 1; }\n'


def test_a_folder_with_imports(tmp_path: Path) -> None:
    (tmp_path / "common").mkdir()
    (tmp_path / "common" / "money.proto").write_text(MONEY, encoding="utf-8")
    (tmp_path / "ticket.proto").write_text(WHOLE, encoding="utf-8")
    created, gone = read_folder(tmp_path)
    assert (created.name, created.message, created.subject, created.version) == (
        "TicketCreated",
        "shop.v1.TicketCreated",
        "ticket:created",
        2,
    )
    assert (created.identity, created.format, created.path) == (("id",), Format.PROTOBUF, tmp_path / "ticket.proto")
    status = Enumeration("TicketCreatedStatus", (Symbol("NEW", 0), Symbol("SOLD", 5, "gone")))
    assert created.types == (
        Record(
            "TicketCreated",
            (
                Field("id", Scalar.STRING, True, "its id", number=1),
                Field("at", Scalar.TIMESTAMP, False, number=2),
                Field("seats", Scalar.INT32, False, number=3),
                Field("status", Reference("TicketCreatedStatus"), True, number=4),
                Field("lines", ArrayType(Reference("TicketCreatedLine")), True, number=5),
                Field("prices", MapType(Reference("Money"), Scalar.INT64), True, number=6),
                Field("name", Scalar.STRING, False, number=7, oneof="seller"),
                Field("number", Scalar.UINT64, False, number=8, oneof="seller"),
            ),
            "A ticket is\nfor sale.",
        ),
        status,
        Record(
            "TicketCreatedLine",
            (Field("count", Scalar.INT32, True, number=1), Field("whole", Reference("TicketCreated"), False, number=2)),
        ),
        Record("Money", (Field("cents", Scalar.INT64, True, number=1),), "An amount"),
    )
    assert (gone.name, gone.version, gone.types[1]) == ("TicketGone", 1, status)


def test_the_source_has_what_programs_need_and_no_more(tmp_path: Path) -> None:
    definition = read_text(tmp_path, "a.proto", proto("google.protobuf.Timestamp at = 1; // words"))
    assert isinstance(definition.source, bytes)
    files = FileDescriptorSet.FromString(definition.source).file
    assert [file.name for file in files] == ["google/protobuf/timestamp.proto", "a.proto"]
    assert not any(file.HasField("source_code_info") for file in files)
    assert not files[1].message_type[0].HasField("options")
    assert make_pool(definition.source).FindMessageTypeByName("TicketCreated").fields_by_name["at"].number == 1


def test_required_fields_and_defaults_of_proto2(tmp_path: Path) -> None:
    head = 'syntax = "proto2";\nimport "durabus/event.proto";\n'
    body = 'required string a = 1; optional int32 b = 2 [default = 7]; optional bytes c = 3 [default = "\\377"];'
    definition = read_text(tmp_path, "a.proto", proto(body, head=head))
    assert definition.record.fields == (
        Field("a", Scalar.STRING, True, number=1),
        Field("b", Scalar.INT32, False, "", True, 7, number=2),
        Field("c", Scalar.BYTES, False, "", True, "\u00ff", number=3),
    )


@pytest.mark.parametrize("kind", [name for name in TYPE_NAMES.values() if name not in ("group", "message", "enum")])
def test_every_scalar_is_known(tmp_path: Path, kind: str) -> None:
    field = read_text(tmp_path, "a.proto", proto(f"{kind} a = 1;")).record.fields[0]
    assert isinstance(field.type, Scalar)
    assert kind[-2:] not in ("32", "64") or field.type.value.endswith(kind[-2:])


@pytest.mark.parametrize(
    ("text", "complaints"),
    [
        (proto("oops a = 1;"), ["a.proto:7:1", '"oops" is not defined']),
        (proto("string a = 1; string b = 1;"), ["a.proto:", "already been used"]),
        (proto("google.protobuf.StringValue a = 1;", 'import "google/protobuf/wrappers.proto";'), ["write `optional`"]),
        (proto("google.protobuf.Any a = 1;", 'import "google/protobuf/any.proto";'), ["a message of your own"]),
        (proto("string a = 1;").replace("ticket:created", ""), ["the subject is missing"]),
        ('syntax = "proto3"; message A { string a = 1; }', ["no message has the option (durabus.event)"]),
    ],
)
def test_what_is_refused(tmp_path: Path, text: str, complaints: list[str]) -> None:
    with pytest.raises(DefinitionError) as caught:
        read_text(tmp_path, "a.proto", text)
    for complaint in complaints:
        assert complaint in str(caught.value)


def test_a_copy_of_our_option_in_the_folder_is_let_be(tmp_path: Path) -> None:
    (tmp_path / "durabus").mkdir()
    (tmp_path / "durabus" / "event.proto").write_bytes((INCLUDE / "durabus" / "event.proto").read_bytes())
    (tmp_path / "ticket.proto").write_text(proto("string a = 1;"), encoding="utf-8")
    assert [definition.name for definition in read_folder(tmp_path)] == ["TicketCreated"]
