"""The house style as a test: sizes, docstrings, nothing unfinished, a test file per module, documents whose links resolve.

Each rule is a function from a file to complaints, and each has a test that it does complain.
"""

import ast
import os
import re
from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path

import pytest

from tests.conftest import ROOT

pytestmark = pytest.mark.once

FILE_LINES_MAX = 600
FUNCTION_LINES_MAX = 60
# Ratchet: what is above a limit today, with its size. An entry may shrink or go, never grow; new ones are not added.
FILES_ABOVE: dict[str, int] = {}
FUNCTIONS_ABOVE: dict[str, int] = {}

SOURCE_FOLDERS = ("src", "tests", "benchmarks", "examples")
SKIPPED_FOLDERS = {"build", "dist", "node_modules", "__pycache__"}
TEXT_SUFFIXES = {
    "", ".cfg", ".conf", ".css", ".html", ".ini", ".js", ".json", ".lock", ".md", ".mjs", ".proto", ".py", ".pyi",
    ".sh", ".sql", ".toml", ".ts", ".txt", ".yaml", ".yml",
}  # fmt: skip
# Modules that only gather names or only start something have no test of their own.
UNTESTED_NAMES = {"__init__", "__main__"}

UNFINISHED = re.compile(r"\b(TO" + r"DO|FIX" + r"ME|XX" + r"X)\b")
# Where people and machines keep their files; a document or a test that names one works on that machine only.
MACHINE_PATH = re.compile(
    r"(?<![\w.<>{}$/-])/(?:wo" + r"rk|ro" + r"ot|ho" + r"me/\w+|Us" + r"ers/\w+|tm" + r"p/bash_jobs)[/\w.]"
)
REGISTRY = re.compile(
    "|".join((r"\bpy" + r"pi\.org", r"files\.python" + r"hosted\.org", r"registry\.npm" + r"js\.org"))
)
LINK = re.compile(r"(?<!!)\[[^\]]*\]\(([^)\s]+)\)")
HEADING = re.compile(r"^#{1,6}\s+(.+?)\s*$", re.MULTILINE)
CITATION = re.compile(r"protocol\.md\s+(§\d[^\n]*)")
SECTION = re.compile(r"§(\d+(?:\.\d+)?)")


def relative(path: Path) -> str:
    """The path as people write it."""
    return path.relative_to(ROOT).as_posix() if path.is_relative_to(ROOT) else path.name


@cache
def project_files() -> tuple[Path, ...]:
    """Every file of the project that is ours to write."""
    found: list[Path] = []
    for folder, folders, names in os.walk(ROOT):
        hidden = {name for name in folders if name.startswith(".") and name != ".ci"}
        folders[:] = sorted(set(folders) - SKIPPED_FOLDERS - hidden)
        folders[:] = [name for name in folders if not name.endswith(".egg-info")]
        found += [Path(folder) / name for name in sorted(names)]
    return tuple(path for path in found if path.suffix in TEXT_SUFFIXES)


def python_files(*tops: str) -> list[Path]:
    """The Python files below the given folders of the project."""
    return [path for path in project_files() if path.suffix == ".py" and relative(path).split("/")[0] in tops]


def text_of(path: Path) -> str:
    """A file as text."""
    return path.read_text(encoding="utf-8", errors="replace")


def tree_of(path: Path) -> ast.Module:
    """A file as a syntax tree."""
    return ast.parse(text_of(path), relative(path))


def functions(tree: ast.AST, prefix: str = "") -> Iterator[tuple[str, ast.FunctionDef | ast.AsyncFunctionDef, bool]]:
    """Each function below `tree` with its dotted name, and whether it is inside another function."""
    for node in ast.iter_child_nodes(tree):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            yield prefix + node.name, node, isinstance(tree, ast.FunctionDef | ast.AsyncFunctionDef)
            yield from functions(node, f"{prefix}{node.name}.")
        elif isinstance(node, ast.ClassDef):
            yield from functions(node, f"{prefix}{node.name}.")
        else:
            yield from functions(node, prefix)


def long_files(path: Path) -> list[str]:
    """A file has at most FILE_LINES_MAX lines."""
    count, allowed = len(text_of(path).splitlines()), FILES_ABOVE.get(relative(path), FILE_LINES_MAX)
    return (
        [f"{relative(path)} has {count} lines, {allowed} are allowed: what two rooms is it?"] if count > allowed else []
    )


def long_functions(path: Path) -> list[str]:
    """A function has at most FUNCTION_LINES_MAX lines, from `def` to its end."""
    found: list[str] = []
    for name, node, _ in functions(tree_of(path)):
        count = (node.end_lineno or node.lineno) - node.lineno + 1
        allowed = FUNCTIONS_ABOVE.get(f"{relative(path)}:{name}", FUNCTION_LINES_MAX)
        if count > allowed:
            found.append(f"{relative(path)}:{node.lineno} {name} has {count} lines, {allowed} are allowed")
    return found


def unfinished(path: Path) -> list[str]:
    """No notes to do something later."""
    lines = text_of(path).splitlines()
    return [f"{relative(path)}:{i}: {line.strip()}" for i, line in enumerate(lines, 1) if UNFINISHED.search(line)]


def is_abstract(node: ast.FunctionDef | ast.AsyncFunctionDef, lines: list[str]) -> bool:
    """Whether a function only promises: marked by its decorator, or (ports, whose classes are native) by a comment."""
    if any("abstractmethod" in ast.dump(decorator) for decorator in node.decorator_list):
        return True
    promise = [part for part in node.body if not (isinstance(part, ast.Expr) and isinstance(part.value, ast.Constant))]
    return len(promise) == 1 and lines[promise[0].lineno - 1].rstrip().endswith("# pragma: no cover - abstract")


def unimplemented(path: Path) -> list[str]:
    """`NotImplementedError` is what an abstract method raises, and nothing else does."""
    tree, lines = tree_of(path), text_of(path).splitlines()
    abstract = {inner for _, node, _ in functions(tree) if is_abstract(node, lines) for inner in ast.walk(node)}
    return [
        f"{relative(path)}:{node.lineno} raises NotImplementedError outside of an abstract method"
        for node in ast.walk(tree)
        if isinstance(node, ast.Raise) and "NotImplementedError" in ast.dump(node) and node not in abstract
    ]


def undocumented(path: Path) -> list[str]:
    """A module says what it is; so does every public class and every public function of it."""
    tree = tree_of(path)
    found = [] if ast.get_docstring(tree) else [f"{relative(path)} has no module docstring"]
    for node in ast.walk(tree):
        if isinstance(node, ast.ClassDef) and not node.name.startswith("_") and not ast.get_docstring(node):
            found.append(f"{relative(path)}:{node.lineno} class {node.name} has no docstring")
    for name, node, inner in functions(tree):
        public = not inner and not any(part.startswith("_") for part in name.split("."))
        overload = any("overload" in ast.dump(decorator) for decorator in node.decorator_list)
        if public and not overload and not ast.get_docstring(node):
            found.append(f"{relative(path)}:{node.lineno} {name} has no docstring")
    return found


def module_docstring(path: Path) -> list[str]:
    """A module outside of the package says at least what it is."""
    if path.name == "__init__.py" and not text_of(path).strip():
        return []
    return [] if ast.get_docstring(tree_of(path)) else [f"{relative(path)} has no module docstring"]


def machine_paths(path: Path) -> list[str]:
    """No path of one machine, and no address of a package registry (a lock file can be written without)."""
    found: list[str] = []
    for i, line in enumerate(text_of(path).splitlines(), 1):
        for pattern, what in ((MACHINE_PATH, "a path of one machine"), (REGISTRY, "a registry's address")):
            if pattern.search(line):
                found.append(f"{relative(path)}:{i} names {what}: {line.strip()[:100]}")
    return found


def slug(heading: str) -> str:
    """The anchor of a heading, by the rules of the usual forges."""
    plain = re.sub(r"\[([^\]]*)\]\([^)]*\)", r"\1", heading).replace("`", "").lower()
    return re.sub(r"[^\w\- ]", "", plain).strip().replace(" ", "-")


def prose(path: Path) -> str:
    """A document without its code, in which brackets mean something else."""
    without_blocks = re.sub(r"^( *)(```|~~~).*?^\1\2", "", text_of(path), flags=re.MULTILINE | re.DOTALL)
    return re.sub(r"`[^`\n]*`", "", without_blocks)


def broken_links(path: Path) -> list[str]:
    """A relative link of a document leads to a file of the project, and its anchor to a heading."""
    found: list[str] = []
    for target in LINK.findall(prose(path)):
        if re.match(r"[a-z]+:", target):
            continue
        name, _, anchor = target.partition("#")
        goal = (path.parent / name).resolve() if name else path
        if not goal.exists():
            found.append(f"{relative(path)} links to {target}, which is not there")
        elif anchor and goal.suffix == ".md":
            without_blocks = re.sub(r"^```.*?^```", "", text_of(goal), flags=re.MULTILINE | re.DOTALL)
            if anchor not in {slug(heading) for heading in HEADING.findall(without_blocks)}:
                found.append(f"{relative(path)} links to {target}, but there is no such heading")
    return found


@cache
def protocol_sections() -> frozenset[str]:
    """The numbers that docs/protocol.md gives."""
    text = text_of(ROOT / "docs" / "protocol.md")
    return frozenset(re.findall(r"^#{2,3} (\d+(?:\.\d+)?)\b", text, re.MULTILINE))


def wrong_citations(path: Path) -> list[str]:
    """Every `docs/protocol.md §N.N` of the source names a section that is there."""
    return [
        f"{relative(path)} cites docs/protocol.md §{number}, which is not there"
        for citation in CITATION.findall(text_of(path))
        for number in SECTION.findall(citation)
        if number not in protocol_sections()
    ]


def complaints(rule: Callable[[Path], list[str]], paths: list[Path]) -> str:
    """What a rule has to say about files, one line each."""
    return "\n".join(complaint for path in paths for complaint in rule(path))


@pytest.mark.parametrize("rule", [long_files, long_functions, unfinished, unimplemented, wrong_citations])
def test_all_code(rule: Callable[[Path], list[str]]) -> None:
    assert complaints(rule, [*python_files(*SOURCE_FOLDERS), ROOT / "setup.py"]) == ""


def test_the_package_is_documented() -> None:
    assert complaints(undocumented, python_files("src")) == ""


def test_every_module_says_what_it_is() -> None:
    assert complaints(module_docstring, python_files("tests", "benchmarks", "examples")) == ""


def test_no_file_depends_on_a_machine() -> None:
    assert complaints(machine_paths, list(project_files())) == ""


def test_links_of_documents_resolve() -> None:
    assert complaints(broken_links, [path for path in project_files() if path.suffix == ".md"]) == ""


def test_every_module_has_a_test_file() -> None:
    missing: list[str] = []
    for path in python_files("src"):
        if path.stem in UNTESTED_NAMES:
            continue
        place = path.relative_to(ROOT / "src" / "durabus")
        test = ROOT / "tests" / place.parent / f"test_{place.stem}.py"
        if not test.exists():
            missing.append(f"{relative(path)} has no {relative(test)}")
    assert "\n".join(missing) == ""


def test_exceptions_are_still_needed() -> None:
    for name, size in FILES_ABOVE.items():
        assert size == len(text_of(ROOT / name).splitlines()) > FILE_LINES_MAX, f"{name}: lower or remove its entry"
    for name, size in FUNCTIONS_ABOVE.items():
        path, _, function = name.partition(":")
        sizes = {n: (f.end_lineno or 0) - f.lineno + 1 for n, f, _ in functions(tree_of(ROOT / path))}
        assert size == sizes.get(function, 0) > FUNCTION_LINES_MAX, f"{name}: lower or remove its entry"


@pytest.mark.parametrize(
    ("rule", "bad", "good"),
    [
        (long_files, "\n" * 601, "\n" * 600),
        (long_functions, "class A:\n def f():\n" + "  pass\n" * 60, "def f():\n" + " pass\n" * 59),
        (long_functions, "if x:\n async def f():\n" + "  pass\n" * 60, "def f():\n pass\n"),
        (unfinished, "a = 1  # TO" + "DO: more", "todo = 'XX" + "XX'"),
        (unimplemented, "def f():\n raise NotImplementedError", "@abstractmethod\ndef f():\n raise NotImplementedError()"),
        (
            unimplemented,
            "def f():\n a = 1\n raise NotImplementedError  # pragma: no cover - abstract",
            "class A:\n def f():\n  'F.'\n  raise NotImplementedError  # pragma: no cover - abstract",
        ),
        (undocumented, "a = 1", '"""What this is."""\ndef _helper(): ...'),
        (undocumented, '"""Module."""\nclass A:\n "x"\n def f(self): pass', '"""M."""\nclass _A:\n def f(self): pass'),
        (undocumented, '"""Module."""\nclass A: ...', '"""Module."""\ndef f():\n "F."\n def inner(): ...'),
        (module_docstring, "import os", '"""What this is."""'),
        (machine_paths, "open('/wo" + "rk/main/x')", "open('/proc/self/statm'); a = '<dir>/wo" + "rk/x'; url = 'a/ro" + "ot/b'"),
        (machine_paths, "see ~: /ho" + "me/jane/x", "/nats-streaming-server -m 8222"),
        (machine_paths, "https://registry.npm" + "js.org/x", "https://example.org/x"),
        (broken_links, "[a](nowhere.md)", "[a](https://example.org/x) `[a](b.md)`\n```\n[x](y.md)\n```"),
        (broken_links, "# One two\n[a](#two)", "# One `two`: three\n[a](#one-two-three)"),
        (wrong_citations, "# docs/protocol.md" + " §1.1 and §99.1", "# docs/protocol.md §1.1"),
    ],
)  # fmt: skip
def test_each_rule_complains(tmp_path: Path, rule: Callable[[Path], list[str]], bad: str, good: str) -> None:
    path = tmp_path / "sample.md"
    path.write_text(bad, encoding="utf-8")
    assert len(rule(path)) == 1
    path.write_text(good, encoding="utf-8")
    assert rule(path) == []
