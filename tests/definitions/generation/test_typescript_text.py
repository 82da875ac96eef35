"""Pieces of TypeScript as prettier has them; that it agrees with whole files is in test_typescript_package.py."""

import pytest

from durabus.definitions.generation.typescript_text import Raw, comment, literal, property_name, typescript_string

pytestmark = pytest.mark.once


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("plain", '"plain"'),
        ("it's", '"it\'s"'),
        ('say "hello"', "'say \"hello\"'"),
        ("both \" and '", '"both \\" and \'"'),
        ("line\nend\\", '"line\\nend\\\\"'),
        ("\u2028", '"\\u2028"'),
    ],
)
def test_strings(text: str, shown: str) -> None:
    assert typescript_string(text) == shown


def test_property_names() -> None:
    assert [property_name(name) for name in ("a", "$b_1", "user-id", "1st", "größe")] == [
        "a",
        "$b_1",
        '"user-id"',
        '"1st"',
        "größe",
    ]


def test_comments() -> None:
    assert comment("") == []
    assert comment("One\n  line. */", "  ") == ["  /** One line. *\\/ */"]
    assert comment("First.\n\nSecond.") == ["/**", " * First.", " *", " * Second.", " */"]


def test_literals_break_where_they_must() -> None:
    assert literal({"a": [1, 2], "b": None, "c": {}}, "const x = ", ";") == ["const x = { a: [1, 2], b: null, c: {} };"]
    assert literal([{"a": 1, "b": 2}, {"a": 3, "b": 4}], "x = ", ";") == [
        "x = [",
        "  { a: 1, b: 2 },",
        "  { a: 3, b: 4 },",
        "];",
    ]
    assert literal({"text": "y" * 80}, "x = ", ";") == ["x = {", f'  text: "{"y" * 80}",', "};"]
    assert literal({"texts": "y" * 80}, "x = ", ";") == ["x = {", "  texts:", f'    "{"y" * 80}",', "};"]
    assert literal({"n": Raw("z" * 90)}, "x = ", ";") == ["x = {", f"  n: {'z' * 90},", "};"]
    assert literal(list(range(40)), "x = ", ";") == [
        "x = [",
        "  0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16, 17, 18, 19, 20, 21,",
        "  22, 23, 24, 25, 26, 27, 28, 29, 30, 31, 32, 33, 34, 35, 36, 37, 38, 39,",
        "];",
    ]
