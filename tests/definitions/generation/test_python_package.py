"""Whole Python packages: formatted, typed, deterministic, installed, and what they say of the wire."""

import datetime
import os
import subprocess
import sys
from pathlib import Path, PurePosixPath
from types import ModuleType

import msgspec
import pytest

from durabus.definitions.folder import read_folder
from durabus.definitions.generation.plan import GenerationError, Plan, make_plan
from durabus.definitions.generation.python_package import python_files
from durabus.definitions.generation.writing import write
from durabus.events import DecodeError, event_type
from tests.conftest import ROOT
from tests.definitions.golden import FOLDER, golden_texts
from tests.definitions.odd import write_odd_definitions
from tests.definitions.shop_events import sample_events

pytestmark = [pytest.mark.once, pytest.mark.timeout(180)]


def test_as_it_was_when_it_was_last_looked_at(samples: Path) -> None:
    for name, text in golden_texts(samples).items():
        assert (FOLDER / name).read_text(encoding="utf-8") == text, f"{name}: python -m tests.definitions.golden"


def check_format(folder: Path) -> None:
    """Hold the files of a folder against ruff's formatter."""
    options = ["--isolated", "--no-cache", "--line-length", "120"]
    command = [sys.executable, "-m", "ruff", "format", "--check", "--diff", *options, "."]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


def check_rules(folder: Path, ignored: str = "E501") -> None:
    """Hold the files of a folder against many rules of ruff."""
    rules = ["--select", "A,ANN,B,C4,D,E,F,I,N,PIE,PT,RUF,SIM,UP,W"]
    rules += ["--ignore", f"ANN401,D1,D203,D205,D213,D401,D415,E501,{ignored}"]
    command = [sys.executable, "-m", "ruff", "check", "--isolated", "--no-cache", "--line-length", "120", *rules, "."]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


def check_types(scratch: Path, *paths: Path) -> list[str]:
    """What mypy --strict complains about."""
    *files, search_path = paths
    (scratch / "mypy.ini").write_text(
        f"[mypy]\nstrict = true\nmypy_path = {search_path}:{ROOT / 'src'}\n[mypy-durabus.*]\nfollow_imports = silent\n",
        encoding="utf-8",
    )
    cache = scratch / "cache"
    done = subprocess.run(
        [
            sys.executable,
            "-m",
            "mypy",
            "--config-file",
            str(scratch / "mypy.ini"),
            "--cache-dir",
            str(cache),
            *map(str, files),
        ],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode in (0, 1), done.stdout + done.stderr
    return [line for line in done.stdout.splitlines() if ": error:" in line]


def test_ruff_finds_nothing_to_format_or_to_complain_about(python_package: Path) -> None:
    check_format(python_package)
    check_rules(python_package)


def test_odd_definitions(tmp_path: Path) -> None:
    odd = tmp_path / "odd_events"
    (tmp_path / "definitions").mkdir()
    write(odd, python_files(make_plan(read_folder(write_odd_definitions(tmp_path / "definitions")))))
    check_format(odd)
    # A class of another name than the convention wants, and backslashes, are what these definitions are about.
    check_rules(odd, "D301,N801")
    assert check_types(tmp_path, odd, tmp_path) == []
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", "import odd_events"],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(ROOT / "src")},
        check=False,
    )
    assert done.returncode == 0


def test_mypy_strict_finds_nothing_and_knows_the_types(python_package: Path, tmp_path: Path) -> None:
    user = tmp_path / "user.py"
    user.write_text(
        "from shop_events import OrderCancelled, OrderStatus, Ticket\n"
        'ticket = Ticket(id="t", title="x", price=1.5)\n'
        'OrderCancelled(event_id="e", order_id=5, status=OrderStatus.CANCELLED, ticket=ticket)\n',
        encoding="utf-8",
    )
    source = python_package / "src"
    complaints = check_types(tmp_path, user, source / "shop_events", source)
    assert len(complaints) == 1, complaints
    assert "user.py:3: error:" in complaints[0]
    assert '"order_id"' in complaints[0]


def test_every_event_survives_its_payload(shop: ModuleType) -> None:
    for subject, event in sample_events(shop).items():
        kind = event_type(type(event))
        assert kind.subject == subject
        assert kind.decode(kind.encode(event)) == event


def test_what_is_on_the_wire(shop: ModuleType) -> None:
    events = sample_events(shop)
    kind = event_type(type(events["order:created"]))
    assert (kind.version, kind.identity, kind.encoding) == (1, ("id", "version"), "json")
    written = msgspec.json.decode(kind.encode(events["order:created"]))
    assert written["userId"] == "ben"
    assert written["from"] == "web"
    assert written["payment"] == {"kind": "card", "lastDigits": "1234"}
    assert "note" not in written, "what may be absent is left out, not null"
    assert written["currency"] == "EUR", "a default is written"
    assert written["discount"] is None, "what must be there is null"
    with pytest.raises(DecodeError, match="timezone"):
        kind.decode(kind.encode(events["order:created"]).replace(b"12:30:15.250000Z", b"12:30:15.250000"))
    cancelled = event_type(shop.OrderCancelled)
    assert cancelled.identity == ("event_id",)
    with pytest.raises(DecodeError, match="unknown field"):
        cancelled.decode(cancelled.encode(events["order:cancelled"])[:-1] + b',"more":1}')


def test_a_folder_without_the_name_of_a_package(plan: Plan) -> None:
    files = python_files(plan)
    assert PurePosixPath("order_created.py") in files
    assert PurePosixPath("pyproject.toml") not in files


def test_the_package_names_what_it_needs(plan: Plan, samples: Path) -> None:
    text = python_files(plan, "Shop.Events-2", "3.4.5")[PurePosixPath("pyproject.toml")]
    assert 'name = "Shop.Events-2"' in text
    assert 'version = "3.4.5"' in text
    assert "durabus[avro,protobuf]" in text
    assert PurePosixPath("src/shop_events_2/__init__.py") in python_files(plan, "Shop.Events-2")
    assert '"durabus>=' in python_files(make_plan(read_folder(samples / "shop")), "a")[PurePosixPath("pyproject.toml")]
    with pytest.raises(GenerationError, match="no name of a Python package"):
        python_files(plan, "shop events")


def test_the_same_whatever_the_order(samples: Path) -> None:
    definitions = read_folder(samples)
    assert python_files(make_plan(definitions)) == python_files(make_plan(definitions[::-1]))


def test_types_that_refer_to_each_other(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "tree.json").write_text(
        """{"title": "TreeGrown", "x-subject": "tree:grown", "type": "object",
        "properties": {"root": {"$ref": "#/$defs/Node"}, "previous": {"$ref": "#"}, "at": {"type": "string", "format": "date"}},
        "required": ["root"], "$defs": {
        "Node": {"type": "object", "properties": {"edges": {"type": "array", "items": {"$ref": "#/$defs/Edge"}}}},
        "Edge": {"type": "object", "properties": {"to": {"$ref": "#/$defs/Node"}}}}}""",
        encoding="utf-8",
    )
    for name, text in python_files(make_plan(read_folder(tmp_path))).items():
        (tmp_path / "trees" / name).parent.mkdir(exist_ok=True)
        (tmp_path / "trees" / name).write_text(text, encoding="utf-8")
    monkeypatch.syspath_prepend(tmp_path)
    from trees import tree_grown as trees  # type: ignore[import-not-found] # it was generated a moment ago

    leaf = trees.Node(edges=[])
    root = trees.Node(edges=[trees.Edge(to=leaf)])
    event = trees.TreeGrown(root=root, previous=trees.TreeGrown(root=leaf), at=datetime.date(2026, 1, 2))
    kind = event_type(trees.TreeGrown)
    assert kind.decode(kind.encode(event)) == event
