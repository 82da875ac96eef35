"""Versions and what runs, told without loading it."""

import importlib.machinery
import importlib.util
import re
import subprocess
import sys

import pytest

from durabus import version


def test_the_version_line() -> None:
    assert re.fullmatch(
        r"durabus 0\.1\.0 \((compiled|interpreted), (uvloop|asyncio), CPython 3\.\d+\.\d+\)", version.version_line()
    )


def test_the_alias_tells_the_originals_form() -> None:
    assert re.fullmatch(
        r"nats-streaming-server version \d+\.\d+\.\d+, nats-server: v\d+\.\d+\.\d+", version.alias_version_line()
    )
    assert version.alias_version_line() == "nats-streaming-server version 0.25.6, nats-server: v2.9.10"


@pytest.mark.parametrize(
    ("origin", "kind"),
    [
        ("durabus/wire/parser.cpython-311-x86_64-linux-gnu.so", "compiled"),
        ("durabus\\wire\\parser.cp311-win_amd64.pyd", "compiled"),
        ("durabus/wire/parser.py", "interpreted"),
        ("durabus/wire/parser.pyc", "interpreted"),
        (None, "interpreted"),
    ],
)
def test_the_build_is_told_by_the_suffix(monkeypatch: pytest.MonkeyPatch, origin: str | None, kind: str) -> None:
    spec = importlib.machinery.ModuleSpec("durabus.wire.parser", None, origin=origin)
    monkeypatch.setattr(importlib.util, "find_spec", lambda _: spec)
    assert version.build_kind() == kind


def test_a_package_without_its_hot_modules_is_interpreted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(version, "COMPILED_MODULE", "durabus.nope.parser")
    assert version.build_kind() == "interpreted"


def test_the_build_told_is_the_one_that_is_imported() -> None:
    from durabus.wire import parser

    assert parser.__file__ is not None
    assert version.build_kind() == ("interpreted" if parser.__file__.endswith(".py") else "compiled")


def test_the_loop_is_uvloop_where_it_is_installed(monkeypatch: pytest.MonkeyPatch) -> None:
    found = importlib.util.find_spec
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None if name == "uvloop" else found(name))
    assert version.loop_kind() == "asyncio"
    monkeypatch.setattr(importlib.util, "find_spec", lambda _: found("os"))
    assert version.loop_kind() == "uvloop"


def test_telling_it_loads_nothing() -> None:
    script = (
        "import sys; from durabus.version import version_line; version_line(); "
        "print([name for name in ('uvloop', 'asyncio', 'durabus.wire.parser') if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
