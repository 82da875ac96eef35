"""COMPATIBILITY.md row by row: each row is shown by a test that carries its number, or says why it is different.

A row's last cell names tests as `tests/…/test_x.py::test_y`; each of them MUST exist and carry `@pytest.mark.row(number)`.
A row without a test begins its last cell with "Different:" or "Refused:" and says why.
"""

import ast
import re
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest

from durabus.config.store_table import STORE_TABLE, StoreOption
from tests.conftest import ROOT

pytestmark = pytest.mark.once

ROWS = range(1, 163)
CLUSTERING = "163-170"
REASON = re.compile(r"(?:Different|Refused)\b.{10,}")
LINE = re.compile(r"^\| (\d+(?:-\d+)?) \| (.+?) \| (.*?) \|$", re.MULTILINE)
TEST_NAME = re.compile(r"`(tests/[\w/]+\.py)::(\w+)`")


def rows_of(document: str) -> list[tuple[str, str]]:
    """The number and the last cell of each row in `document`."""
    return [(number, shown) for number, _, shown in LINE.findall(document)]


def markers_of(source: str) -> Iterator[tuple[str, int]]:
    """The tests of a file with the numbers that they carry, those of their class and of the file included."""
    tree = ast.parse(source)
    common = [
        number
        for node in tree.body
        if isinstance(node, ast.Assign)
        and any(isinstance(name, ast.Name) and name.id == "pytestmark" for name in node.targets)
        for number in numbers_in(node.value)
    ]
    yield from markers_below(tree.body, common)


def markers_below(body: list[ast.stmt], common: list[int]) -> Iterator[tuple[str, int]]:
    """Those of the tests in one body."""
    for node in body:
        if isinstance(node, ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
            numbers = common + [number for item in node.decorator_list for number in numbers_in(item)]
            if isinstance(node, ast.ClassDef):
                yield from markers_below(node.body, numbers)
            else:
                yield from ((node.name, number) for number in numbers)


def numbers_in(expression: ast.expr) -> Iterator[int]:
    """The numbers of every `….row(…)` in an expression."""
    for node in ast.walk(expression):
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr == "row":
            yield from (
                item.value for item in node.args if isinstance(item, ast.Constant) and isinstance(item.value, int)
            )


def complaints(document: str, markers: set[tuple[str, str, int]]) -> Iterator[str]:
    """What is wrong with the rows of `document`, given the `(path, test, number)` that tests carry."""
    rows = rows_of(document)
    wanted = [str(number) for number in ROWS] + [CLUSTERING]
    if [number for number, _ in rows] != wanted:
        yield f"the rows are not 1 to 162 and {CLUSTERING}, once each and in order"
    for number, shown in rows:
        first = int(number.split("-")[0])
        tests = TEST_NAME.findall(shown)
        for path, name in tests:
            if (path, name, first) not in markers:
                yield f"row {number}: {path}::{name} is not there, or does not carry the number"
        if not tests and not REASON.search(shown):
            yield f"row {number}: neither a test nor a reason"
    known = {int(number.split("-")[0]) for number, _ in rows}
    yield from (f"{path}::{name}: there is no row {number}" for path, name, number in markers if number not in known)


@cache
def project_markers() -> frozenset[tuple[str, str, int]]:
    """Every marker of the project's tests."""
    found: set[tuple[str, str, int]] = set()
    for path in sorted((ROOT / "tests").rglob("test_*.py")):
        source = path.read_text(encoding="utf-8")
        found.update((_relative(path), name, number) for name, number in markers_of(source))
    return frozenset(found)


def _relative(path: Path) -> str:
    return path.relative_to(ROOT).as_posix()


def test_every_row_has_its_test_or_its_reason() -> None:
    document = (ROOT / "COMPATIBILITY.md").read_text(encoding="utf-8")
    found = list(complaints(document, set(project_markers())))
    assert not found, "\n".join(found)


def _document(**replaced: str) -> str:
    cells = {str(number): "`tests/a/test_b.py::test_c`" for number in ROWS}
    cells[CLUSTERING] = "Refused: it is not built here"
    cells.update({number.removeprefix("row_"): cell for number, cell in replaced.items()})
    return "\n".join(f"| {number} | behaviour | {cell} |" for number, cell in cells.items() if cell)


ALL_MARKED = {("tests/a/test_b.py", "test_c", number) for number in ROWS}


def test_complete_rows_are_fine() -> None:
    assert list(complaints(_document(), ALL_MARKED)) == []
    assert list(complaints(_document(row_7="Different: for a good reason"), ALL_MARKED)) == []


@pytest.mark.parametrize(
    ("cell", "complaint"),
    [
        ("", "the rows are not 1 to 162"),
        ("?", "row 7: neither a test nor a reason"),
        ("Different:", "row 7: neither a test nor a reason"),
        ("Due with the durable stores", "row 7: neither a test nor a reason"),
        ("`tests/a/test_b.py::test_gone`", "row 7: tests/a/test_b.py::test_gone is not there"),
    ],
)
def test_an_incomplete_row_is_told(cell: str, complaint: str) -> None:
    assert complaint in next(complaints(_document(row_7=cell), ALL_MARKED))


def test_a_test_without_the_number_and_a_number_without_a_row_are_told() -> None:
    found = list(complaints(_document(), ALL_MARKED - {("tests/a/test_b.py", "test_c", 7)}))
    assert found == ["row 7: tests/a/test_b.py::test_c is not there, or does not carry the number"]
    found = list(complaints(_document(), ALL_MARKED | {("tests/a/test_b.py", "test_c", 171)}))
    assert found == ["tests/a/test_b.py::test_c: there is no row 171"]


def test_markers_are_found_on_functions_classes_and_files() -> None:
    source = (
        "pytestmark = [pytest.mark.once, pytest.mark.row(1)]\n"
        "@pytest.mark.row(2, 3)\nasync def test_a(): ...\n"
        "@pytest.mark.row(4)\nclass TestB:\n    @pytest.mark.row(5)\n    def test_b(self): ...\n"
    )
    assert sorted(markers_of(source)) == [
        ("test_a", 1), ("test_a", 2), ("test_a", 3), ("test_b", 1), ("test_b", 4), ("test_b", 5),
    ]  # fmt: skip


def fate(entry: StoreOption) -> str:
    """What becomes of an option of a store, in the word of the document."""
    return "no effect" if entry.ignored else "refused" if entry.refused else "mapped"


def test_the_options_of_the_stores_are_told_with_what_becomes_of_them() -> None:
    document = (ROOT / "COMPATIBILITY.md").read_text(encoding="utf-8")
    table = document[document.index("## Options of the stores") :].split("\n## ")[0]
    told = re.findall(r"^\| `-(\w+)` \| (.+?) \| ([a-z ]+) \| .{10,} \|$", table, re.MULTILINE)
    expected = [("dir", "`dir`, `datastore` (outside of them)", "mapped")]
    for entry in STORE_TABLE:
        keys = ", ".join(f"`{key}`" for key in entry.keys.split()) or "none"
        expected.append((entry.flag, keys, fate(entry)))
    assert told == expected
