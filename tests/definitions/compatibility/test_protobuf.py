"""Protobuf: what is found of each kind of change, and that what is called compatible is read as it was written, by the runtime."""

from typing import Any

import pytest
from google.protobuf import message_factory

from durabus.definitions.compatibility.protobuf import SAME_VALUES, compare_protobuf
from durabus.definitions.model import Definition
from durabus.definitions.protobuf import make_pool, read_protobuf
from tests.definitions.texts import proto

pytestmark = pytest.mark.once

BACKWARD, FORWARD = "backward", "forward"
BOTH = [BACKWARD, FORWARD]
PROTO2 = 'syntax = "proto2";\nimport "durabus/event.proto";\n'
STATUS = "enum Status { NEW = 0; PAID = 1; }"

# What it is called, old, new, what breaks by paths; bodies of the message, or with what stands outside of it.
CASES: list[tuple[str, Any, Any, dict[str, list[str]]]] = [
    ("same", "string a = 1;", "string a = 1;", {}),
    ("added", "string a = 1;", "string a = 1; int32 b = 2;", {}),
    ("removed and reserved", "string a = 1; int32 b = 2;", 'string a = 1; reserved 2; reserved "b";', {}),
    ("removed", "string a = 1; int32 b = 2;", "string a = 1;", {"b": []}),
    ("reserved is taken", "string a = 1; reserved 2;", "string a = 1; int32 b = 2;", {"b": [BACKWARD]}),
    ("renamed", "string a = 1;", "string b = 1;", {"b": []}),
    ("reused", "string a = 1;", "int32 b = 1;", {"b": BOTH}),
    ("moved", "string a = 1;", "string a = 2;", {"a": BOTH}),
    ("swapped", "string a = 1; string b = 2;", "string b = 1; string a = 2;", {"a": BOTH, "b": BOTH}),
    ("taken over", "string a = 1; string b = 2;", "string b = 1; reserved 2;", {"b": BOTH}),
    ("wider", "int32 a = 1;", "int64 a = 1;", {"a": [FORWARD]}),
    ("unsigned", "uint32 a = 1;", "int32 a = 1;", {"a": BOTH}),
    ("zigzag", "int32 a = 1;", "sint32 a = 1;", {"a": BOTH}),
    ("text to bytes", "string a = 1;", "bytes a = 1;", {"a": [FORWARD]}),
    ("message to bytes", ("M a = 1;", "message M { int32 x = 1; }"), "bytes a = 1;", {"a": BOTH}),
    ("enum to number", ("Status a = 1;", STATUS), "int32 a = 1;", {"a": [FORWARD]}),
    ("optional", "int32 a = 1;", "optional int32 a = 1;", {"a": []}),
    ("one to many", "optional int32 a = 1;", "repeated int32 a = 1;", {"a": [FORWARD]}),
    ("one with a silent zero to many", "int32 a = 1;", "repeated int32 a = 1;", {"a": BOTH}),
    ("many to one", ("repeated M a = 1;", "message M { int32 x = 1; }"), ("M a = 1;", "message M { int32 x = 1; }"), {"a": [BACKWARD]}),
    ("map values", "map<string, int32> a = 1;", "map<string, int64> a = 1;", {"a{}": [FORWARD]}),
    ("map keys", "map<string, int32> a = 1;", "map<int32, int32> a = 1;", {"a{}key": BOTH}),
    ("map to list", "map<string, int32> a = 1;", ("repeated M a = 1;", "message M { string key = 1; int32 value = 2; }"), {"a": BOTH}),
    ("into a oneof alone", "string a = 1;", "oneof o { string a = 1; string b = 2; }", {"a": []}),
    ("into a oneof together", "string a = 1; string b = 2;", "oneof o { string a = 1; string b = 2; }", {"": [BACKWARD], "a": [], "b": []}),
    ("out of a oneof", "oneof o { string a = 1; string b = 2; }", "string a = 1; string b = 2;", {"": [FORWARD], "a": [], "b": []}),
    ("enum value added", ("Status a = 1;", STATUS), ("Status a = 1;", "enum Status { NEW = 0; PAID = 1; SENT = 2; }"), {"a": [FORWARD]}),
    ("enum value removed", ("Status a = 1;", STATUS), ("Status a = 1;", "enum Status { NEW = 0; }"), {"a": [BACKWARD]}),
    ("enum value renamed", ("Status a = 1;", STATUS), ("Status a = 1;", "enum Status { NEW = 0; DONE = 1; }"), {"a": []}),
    (
        "enum value moved",
        ("Status a = 1;", STATUS),
        ("Status a = 1;", "enum Status { NEW = 0; PAID = 2; }"),
        {"a": BOTH},
    ),
    ("inside", ("M a = 1;", "message M { int32 x = 1; M next = 2; }"), ("M a = 1;", "message M { string x = 1; M next = 2; }"), {"a.x": BOTH}),
    ("inside a list", ("repeated M a = 1;", "message M { int32 x = 1; }"), ("repeated M a = 1;", "message M { string x = 1; }"), {"a[].x": BOTH}),
    ("another message of the same shape", ("M a = 1;", "message M { int32 x = 1; }"), ("N a = 1;", "message N { int32 x = 1; }"), {}),
    ("a moment", "google.protobuf.Timestamp a = 1;", ("M a = 1;", "message M { int64 seconds = 1; int32 nanos = 2; }"), {"a": BOTH}),
]  # fmt: skip
CASES2: list[tuple[str, Any, Any, dict[str, list[str]]]] = [
    ("required added", "optional int32 a = 1;", "optional int32 a = 1; required int32 b = 2;", {"b": [BACKWARD]}),
    ("required removed", "optional int32 a = 1; required int32 b = 2;", "optional int32 a = 1; reserved 2;", {"b": [FORWARD]}),
    ("required relaxed", "required int32 a = 1;", "optional int32 a = 1;", {"a": [FORWARD]}),
    ("required now", "optional int32 a = 1;", "required int32 a = 1;", {"a": [BACKWARD]}),
    ("default", "optional int32 a = 1 [default = 1];", "optional int32 a = 1 [default = 2];", {"a": []}),
    ("closed enum", ("optional Status a = 1;", STATUS), ("optional Status a = 1;", "enum Status { NEW = 0; PAID = 1; SENT = 2; }"), {"a": [FORWARD]}),
]  # fmt: skip
SCALARS = (
    "double", "float", "int32", "int64", "uint32", "uint64", "sint32", "sint64", "fixed32", "fixed64", "sfixed32", "sfixed64",
    "bool", "string", "bytes",
)  # fmt: skip


def text_of(body: Any, head: str | None) -> str:  # noqa: ANN401 - with or without what stands outside
    inside, outside = body if isinstance(body, tuple) else (body, "")
    return proto(inside, outside, head) if head else proto(inside, outside)


@pytest.fixture(scope="module")
def definitions(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Definition]:
    """All of them by one run of protoc, each in a package of its own, so that names do not meet."""
    folder = tmp_path_factory.mktemp("protos")
    texts: dict[str, str] = {}
    for index, (_, old, new, _) in enumerate(CASES + CASES2):
        head = PROTO2 if index >= len(CASES) else None
        texts[f"old{index}"], texts[f"new{index}"] = text_of(old, head), text_of(new, head)
    for kind in SCALARS:
        texts[kind] = text_of(f"optional {kind} a = 1;", None)
    for name, text in texts.items():
        first, rest = text.split("\n", 1)
        (folder / f"{name}.proto").write_text(f"{first}\npackage p_{name};\n{rest}", encoding="utf-8")
    found = read_protobuf(folder, sorted(folder.glob("*.proto")))
    return {definition.path.stem: definition for definition in found}


@pytest.mark.parametrize("index", range(len(CASES + CASES2)), ids=[case[0] for case in CASES + CASES2])
def test_a_change(definitions: dict[str, Definition], index: int) -> None:
    findings = compare_protobuf(definitions[f"old{index}"], definitions[f"new{index}"])
    made: dict[str, list[str]] = {}
    for finding in findings:
        assert finding.reason
        if "the message is p_new" not in finding.reason:  # each has a package of its own here
            made.setdefault(finding.path, []).extend(sorted(direction.value for direction in finding.breaks))
    assert {path: sorted(set(breaks)) for path, breaks in made.items()} == (CASES + CASES2)[index][3]


VALUES: dict[str, list[Any]] = {
    "double": [0.0, 1.5, -1e300],
    "float": [0.0, 1.5, -2.0],
    "bool": [False, True],
    "string": ["", "a", "ä€", "\x80"],
    "bytes": [b"", b"a", b"\xff"],
}
RANGES = {"32": (31, 32), "64": (63, 64)}


def values_of(kind: str) -> list[Any]:
    """The values at which types part."""
    if kind in VALUES:
        return VALUES[kind]
    bits = int(kind[-2:])
    least, most = (0, 2**bits - 1) if kind.startswith(("u", "fixed")) else (-(2 ** (bits - 1)), 2 ** (bits - 1) - 1)
    return [
        value for value in (0, 1, -1, 200, 2**31 - 1, 2**31, -(2**31), 2**32 - 1, most, least) if least <= value <= most
    ]


def is_read(written: Definition, read: Definition, kind: str) -> bool:
    """Whether the runtime reads each value as it was written: the same value, and present."""
    writer, reader = (
        message_factory.GetMessageClass(make_pool(bytes(one.source)).FindMessageTypeByName(one.message))  # type: ignore[call-overload]
        for one in (written, read)
    )
    for value in values_of(kind):
        message = writer(a=value)
        try:
            got: Any = reader.FromString(message.SerializeToString())
        except Exception:  # noqa: BLE001 - refused
            return False
        expected = value.encode() if isinstance(value, str) and isinstance(got.a, bytes) else value
        if not got.HasField("a") or got.a != expected:
            return False
    return True


@pytest.mark.parametrize("kind", SCALARS)
def test_what_is_called_compatible_is_read_by_the_runtime(definitions: dict[str, Definition], kind: str) -> None:
    """For every pair of types: our verdict is what happens to the values at which types part."""
    for other in SCALARS:
        old, new = definitions[kind], definitions[other]
        findings = [finding for finding in compare_protobuf(old, new) if finding.path == "a"]
        broken = {direction.value for finding in findings for direction in finding.breaks}
        assert (BACKWARD not in broken) == is_read(old, new, kind), (kind, other)
        assert (FORWARD not in broken) == is_read(new, old, other), (kind, other)


def test_types_that_read_the_same_values_are_there() -> None:
    assert {*SAME_VALUES} <= {*SCALARS, "enum"}
