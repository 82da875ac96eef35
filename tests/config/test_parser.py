"""The configuration language as a whole: structure, includes, variables, their bounds; any text is a section or an error."""

import re
from collections.abc import Mapping
from pathlib import Path

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from durabus.config.document import Entry, Place, Section, Value, text_of
from durabus.config.options import ConfigError
from durabus.config.parser import FILE_BYTES_MAX, INCLUDES_MAX, parse_file, parse_text

NOWHERE = Place("", 0, 0)
TOP_END = "Expected a top-level value to end with a new line, comment or EOF"
UNREADABLE = "f:1:4: variable reference for 'A' on line 1 could not be parsed: "


def shown(section: Section) -> str:
    return text_of(Entry("", section, NOWHERE))


def parsed(text: str, environment: Mapping[str, str] | None = None) -> str:
    return shown(parse_text(text, "f", environment or {}))


def error_of(text: str, environment: Mapping[str, str] | None = None) -> str:
    with pytest.raises(ConfigError) as caught:
        parse_text(text, "f", environment or {})
    return str(caught.value)


# What the original makes of the same text.
@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("", "map[]"),
        ("  \n# only a comment", "map[]"),
        ("a: 1", "map[a:1]"),
        ("a=1", "map[a:1]"),
        ("a 1", "map[a:1]"),
        ("a = 1\nb: 2\r\nc 3", "map[a:1 b:2 c:3]"),
        ("a: 1, b: 2; c: 3", "map[a:1 b:2 c:3]"),
        ("a\n5", "map[a:5]"),
        ("a: ", "map[a:]"),
        ('{"a": 1, "b": {"c": [1, 2, "x"]}}', "map[a:1 b:map[c:[1 2 x]]]"),
        ('{\n  "a": 1,\n  "b": [\n    2\n  ]\n}\n', "map[a:1 b:[2]]"),
        ("a { b: 1 }", "map[a:map[b:1]]"),
        ("a = { b: 1, c: 2; d: 3\n e: 4 }", "map[a:map[b:1 c:2 d:3 e:4]]"),
        ("a {\n b: 1 # c\n // d\n c:\n  2\n}", "map[a:map[b:1 c:2]]"),
        ("a {b {c: 1}}", "map[a:map[b:map[c:1]]]"),
        ("a {}", "map[a:map[]]"),
        ("a []", "map[a:[]]"),
        ("a [1, 2\n3\n\n4,\n5]", "map[a:[1 2 3 4 5]]"),
        ("a [1 # one\n2 // two\n # end\n]", "map[a:[1 2]]"),
        ("a [1,]", "map[a:[1]]"),
        ("a [[1], {b: [2]}]", "map[a:[[1] map[b:[2]]]]"),
        ("a (\n one\n two\n)\nb: 1", "map[a:\n one\n two\n b:1]"),
        ("a: 1 // c", "map[a:1]"),
        ("a: 1 # c\nb: 2", "map[a:1 b:2]"),
        ("a: 1 }", "map[a:1]"),
        ("a: 1\na: 2", "map[a:2]"),
    ],
)
def test_structure(text: str, value: str) -> None:
    assert parsed(text) == value


def test_a_brace_right_behind_a_key_belongs_to_it() -> None:
    assert parsed("tls{\n5\n}") == "map[tls{:5]"


@pytest.mark.row(127)
@pytest.mark.parametrize(
    ("text", "line", "error"),
    [
        ("a: 1 2", 1, "Expected a top-level value to end with a new line, comment or EOF, but got '2' instead."),
        ("a: 1.5h", 1, "Expected a top-level value to end with a new line, comment or EOF, but got 'h' instead."),
        ("a:\n5", 1, "Expected value but found new line"),
        ("\n\na: -x", 3, "Expected a digit but got 'x'."),
        ("a", 1, "Expected a value, but found the end"),
        ("a {b}", 1, "Expected a value, but found the end"),
        ("a {b }", 1, "Expected a value, but found the end of the map"),
        ("a {b: }", 1, "Expected a value, but found the end of the map"),
        ("a {b: ,c: 1}", 1, 'Unexpected map value terminator ",".'),
        ("a {b: 1 2}", 1, 'Expected a map value terminator "," or a map terminator "}", but got \'2\' instead.'),
        ("a {b: 1", 1, 'Expected a map value terminator "," or a map terminator "}", but got \'EOF\' instead.'),
        ("a {\n", 2, "Unexpected EOF processing map."),
        ("a { ] }", 1, "Unexpected array end ']' processing map."),
        ("a { = 1 }", 1, "Unexpected key separator '='"),
        ("a [1,,2]", 1, "Unexpected array value terminator ','."),
        ("a [,1]", 1, "Unexpected array value terminator ','."),
        ("a [1 2]", 1, 'Expected an array value terminator "," or an array terminator "]", but got \'2\' instead.'),
        ("a [1", 1, 'Expected an array value terminator "," or an array terminator "]", but got \'EOF\' instead.'),
        ("= 5", 1, "Unexpected key separator '='"),
    ],
)
def test_mistakes_are_told_in_the_originals_words(text: str, line: int, error: str) -> None:
    expected = rf"f:{line}:[1-9]\d*: Parse error on line {line}: '{re.escape(error)}'"
    assert re.fullmatch(expected, error_of(text), re.DOTALL)


@pytest.mark.row(127)
@pytest.mark.parametrize(
    ("text", "line", "column"), [("a [1 2]", 1, 6), ("x: 1\n  b {c: 1 2}", 2, 11), ("a: 1 2", 1, 6), ("= 5", 1, 1)]
)
def test_a_mistake_has_line_and_column(text: str, line: int, column: int) -> None:
    assert error_of(text).startswith(f"f:{line}:{column}: Parse error on line {line}: '")


def test_every_entry_knows_its_place() -> None:
    section = parse_text("a: 1\nb {\n  c: [5,\n 6]\n}", "f", {})
    inner = section.find("b")
    assert inner is not None
    assert inner.place == Place("f", 2, 1)
    assert isinstance(inner.value, Section)
    array = inner.value.find("c")
    assert array is not None
    assert array.place == Place("f", 3, 3)
    assert isinstance(array.value, tuple)
    assert [item.place for item in array.value] == [Place("f", 3, 7), Place("f", 4, 2)]


# Variables.


@pytest.mark.parametrize(
    ("text", "environment", "value"),
    [
        ("a: 7\nb: $a", {}, "map[a:7 b:7]"),
        ("a: 7\nb { c: $a }", {}, "map[a:7 b:map[c:7]]"),
        ("a: 7\nb { a: 8, c: $a }", {}, "map[a:7 b:map[a:8 c:8]]"),
        ("a: 7\nb { a: 8 }\nc: $a", {}, "map[a:7 b:map[a:8] c:7]"),
        ("a {x: 1}\nb: $a", {}, "map[a:map[x:1] b:map[x:1]]"),
        ("a: 7\nb: [$a, [$a]]", {}, "map[a:7 b:[7 [7]]]"),
        ("b: $A", {"A": "5k"}, "map[b:5000]"),
        ("b: $A", {"A": "yes"}, "map[b:true]"),
        ("b: $A", {"A": "'5'"}, "map[b:5]"),
        ("b: $A", {"A": "[1, {x: y}]"}, "map[b:[1 map[x:y]]]"),
        ("b: $A", {"A": ""}, "map[b:]"),
        ("b: $A", {"A": "1\nc: 2"}, "map[b:1]"),
        ("b: $A", {"A": "$B", "B": "7"}, "map[b:7]"),
        ("A: 1\nb: $A", {"A": "2"}, "map[A:1 b:1]"),
        ('b: "$A"', {"A": "2"}, "map[b:$A]"),
    ],
)
def test_variables(text: str, environment: dict[str, str], value: str) -> None:
    assert parsed(text, environment) == value


@pytest.mark.parametrize(
    ("text", "environment", "error"),
    [
        ("\nb: $A", {}, "f:2:4: variable reference for 'A' on line 2 can not be found"),
        ("b: $a\na: 1", {}, "f:1:4: variable reference for 'a' on line 1 can not be found"),
        ("A: 1\nb: $a", {}, "f:2:4: variable reference for 'a' on line 2 can not be found"),
        (
            "b: $A",
            {"A": "x y"},
            f"{UNREADABLE}environment:1:3: Parse error on line 1: '{TOP_END}, but got 'y' instead.'",
        ),
        ("b: $A", {"A": "$A"}, "environment variables refer to each other more than 16 deep"),
        (
            "b: $A",
            {"A": "{include x\n}"},
            f"{UNREADABLE}environment:1:2: an environment variable cannot include a file",
        ),
    ],
)
def test_variables_that_stand_for_nothing(text: str, environment: dict[str, str], error: str) -> None:
    assert error_of(text, environment) == error


@pytest.mark.parametrize(
    "text",
    [
        "password: $s3cret",
        "authorization { users: [{user: a, password: $s3cret}] }",
        "password: s3 s3cret",
        "a { token: s3\\s3cret }",
        'pass: "\\s3cret"',
        "authorization { password: 33333333333333333333 }",
        "auth: [s3 s3cret]",
        "auth { x: s3cret s3cret }",
        "ns: $s3cret",
    ],
)
def test_no_error_tells_a_secret(text: str) -> None:
    error = error_of(text, {})
    assert "s3" not in error and "'s'" not in error and "333" not in error


def test_nor_does_one_about_the_environment() -> None:
    error = error_of("password: $A", {"A": "$s3cret"})
    assert "s3" not in error
    assert "the value of password on line 1 could not be parsed" in error


# Includes.


def write(folder: Path, **files: str) -> str:
    for name, text in files.items():
        (folder / f"{name}.conf").write_text(text, encoding="utf-8")
    return str(folder / "a.conf")


def test_includes_are_as_if_their_keys_stood_there(tmp_path: Path) -> None:
    (tmp_path / "more").mkdir()
    (tmp_path / "more" / "c.conf").write_text("w: 4\ninclude d.conf", encoding="utf-8")
    (tmp_path / "more" / "d.conf").write_text("v: 5", encoding="utf-8")
    name = write(tmp_path, a='x: 1\ninclude b.conf\nm { include "more/c.conf"; u: 6 }', b="x: 2\ny: 3")
    assert shown(parse_file(name, {})) == "map[m:map[u:6 v:5 w:4] x:2 y:3]"


def test_an_included_entry_knows_its_file(tmp_path: Path) -> None:
    entry = parse_file(write(tmp_path, a="include b.conf", b="\nx: 1"), {}).find("x")
    assert entry is not None
    assert entry.place == Place(str(tmp_path / "b.conf"), 2, 1)


def test_an_included_file_sees_its_own_keys_only(tmp_path: Path) -> None:
    name = write(tmp_path, a="x: 1\ninclude b.conf", b="y: $x")
    with pytest.raises(ConfigError, match="variable reference for 'x' on line 1 can not be found"):
        parse_file(name, {})
    name = write(tmp_path, a="include b.conf\nz: $y", b="y: $E")
    assert shown(parse_file(name, {"E": "5"})) == "map[y:5 z:5]"


def test_a_name_that_begins_with_a_slash_is_looked_for_in_the_same_folder(tmp_path: Path) -> None:
    assert shown(parse_file(write(tmp_path, a="include /b.conf", b="y: 1"), {})) == "map[y:1]"


def test_an_include_that_is_not_there(tmp_path: Path) -> None:
    name = write(tmp_path, a="\ninclude nope.conf")
    missing = tmp_path / "nope.conf"
    with pytest.raises(ConfigError) as caught:
        parse_file(name, {})
    assert str(caught.value) == (
        f"{name}:2:1: error parsing include file 'nope.conf', "
        f"error opening config file: open {missing}: no such file or directory"
    )


def test_a_mistake_in_an_include_names_both_files(tmp_path: Path) -> None:
    name = write(tmp_path, a="include b.conf", b="x: 1 2")
    with pytest.raises(ConfigError) as caught:
        parse_file(name, {})
    assert str(caught.value).startswith(
        f"{name}:1:1: error parsing include file 'b.conf', {tmp_path}/b.conf:1:6: Parse error on line 1: "
    )


def test_files_that_include_each_other(tmp_path: Path) -> None:
    name = write(tmp_path, a="include b.conf", b="include a.conf")
    with pytest.raises(ConfigError, match=r"a\.conf includes itself$"):
        parse_file(name, {})
    (tmp_path / "link.conf").symlink_to("a.conf")
    with pytest.raises(ConfigError, match=r"includes itself$"):
        parse_file(write(tmp_path, a="include link.conf"), {})


def test_a_link_that_leads_in_a_circle(tmp_path: Path) -> None:
    (tmp_path / "a.conf").symlink_to("a.conf")
    with pytest.raises(ConfigError, match=r"error opening config file: open .*: too many levels of symbolic links"):
        parse_file(str(tmp_path / "a.conf"), {})


def test_includes_are_bounded_in_depth_and_number(tmp_path: Path) -> None:
    for index in range(40):
        (tmp_path / f"{index}.conf").write_text(f"include '{index + 1}.conf'", encoding="utf-8")
    with pytest.raises(ConfigError, match="files include each other more than 16 deep"):
        parse_file(str(tmp_path / "0.conf"), {})
    for index in range(10):
        (tmp_path / f"{index}.conf").write_text(f"include '{index + 1}.conf'\n" * 2, encoding="utf-8")
    (tmp_path / "10.conf").write_text("x: 1", encoding="utf-8")
    with pytest.raises(ConfigError, match=f"more than {INCLUDES_MAX} includes"):
        parse_file(str(tmp_path / "0.conf"), {})


# Files.


@pytest.mark.row(127)
@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("{}/nope.conf", "open {}/nope.conf: no such file or directory"),
        ("{}", "read {}: is a directory"),
        ("{}/a\0b", "open {}/a\\x00b: invalid argument"),
    ],
)
def test_files_that_cannot_be_opened(tmp_path: Path, name: str, reason: str) -> None:
    with pytest.raises(ConfigError) as caught:
        parse_file(name.format(tmp_path), {})
    assert str(caught.value) == f"error opening config file: {reason.format(tmp_path)}"


@pytest.mark.row(127)
def test_a_file_that_may_not_be_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(Path, "open", refuse)
    with pytest.raises(ConfigError, match=r"^error opening config file: open a\.conf: permission denied$"):
        parse_file("a.conf", {})


def test_a_file_that_is_too_large(tmp_path: Path) -> None:
    path = tmp_path / "a.conf"
    with path.open("wb") as file:
        file.truncate(FILE_BYTES_MAX + 1)
    with pytest.raises(ConfigError, match=f"has more than {FILE_BYTES_MAX} bytes$"):
        parse_file(str(path), {})


def test_bytes_that_are_not_utf8_are_kept(tmp_path: Path) -> None:
    path = tmp_path / "a.conf"
    path.write_bytes(b"\xef\xbb\xbfx: 'a\xff'")
    entry = parse_file(str(path), {}).find("x")
    assert entry is not None
    assert str(entry.value).encode("utf-8", "surrogateescape") == b"a\xff"


# Any text.


def test_nesting_is_bounded() -> None:
    assert error_of("a " + "[" * 65) == "f:1:67: Parse error on line 1: 'Maps and arrays are nested more than 64 deep'"
    assert "nested more than 64 deep" in error_of("a {" * 65)
    assert "nested more than 64 deep" in error_of("a " + "[" * 1_000_000)
    assert parsed("a " + "[" * 64 + "]" * 64)


def test_a_large_file_takes_no_time() -> None:
    assert len(parse_text("".join(f"key{i} = value{i}\n" for i in range(50_000)), "f", {}).entries) == 50_000


def depth(value: Value) -> int:
    items = list(value) if isinstance(value, Section | tuple) else []
    return 1 + max((depth(item.value) for item in items), default=0)


PIECES = st.sampled_from(
    [
        *"ab:= \n\r{}[],;'\"\\()#1-.\0\t\u00e9\udcff",
        *("x41", "//", "$a", "$E", "5k", "include ", "true", "2016-05-04T18:53:41Z", "password"),
    ]
)


@given(st.one_of(st.text(), st.lists(PIECES, max_size=40).map("".join)))
@example("a: [\n1\n]\nb: {c: $a}")
def test_any_text_is_a_section_or_an_error(text: str) -> None:
    try:
        section = parse_text(text, "f", {"E": "[$F, $F]", "F": text})
    except ConfigError:
        return
    assert depth(section) < 2000
    shown(section)


@given(
    st.dictionaries(
        st.text(st.characters(categories=["L", "Nd"]), min_size=1), st.text("abc \n\t\"\\{}[]$#'é"), max_size=8
    )
)
def test_quoted_text_comes_back(values: dict[str, str]) -> None:
    escapes = {"\n": "\\n", "\t": "\\t", '"': '\\"', "\\": "\\\\"}
    lines = []
    for key, value in values.items():
        quoted = "".join(escapes.get(char, char) for char in value)
        lines.append(f'"{key}": "{quoted}"\n')
    section = parse_text("".join(lines), "f", {})
    assert {entry.key: entry.value for entry in section} == values
