"""The layers of ARCHITECTURE.md as a test: imports go down only, wherever in a file they stand.

Read from the source by its syntax tree, so that imports inside functions, under TYPE_CHECKING and through
`import_module("...")` count like any other.
"""

import ast
from pathlib import Path

import pytest

from tests.conftest import ROOT

pytestmark = pytest.mark.once

PACKAGE = "durabus"

# What each part may import besides itself and besides FOUNDATION. A part is a package or a module right below durabus.
FOUNDATION = ("clock", "errors", "sizes", "version")
LAYERS: dict[str, tuple[str, ...]] = {
    "__init__": ("client",),
    "clock": (),
    "errors": (),
    "sizes": (),
    "version": (),
    "wire": (),
    "broker": ("wire",),
    "streaming": ("broker", "wire"),
    "stores": ("config.options", "config.units", "streaming.records", "streaming.store_port", "wire"),
    "testing": ("broker", "client", "config", "events", "logs", "server", "stores", "streaming", "sync", "wire"),
    "client": ("wire",),
    "sync": ("client",),
    "events": ("client", "sync", "wire"),
    "outbox": ("client", "events.codecs", "events.event", "sync"),
    "definitions": ("events.event", "wire"),
    "config": ("wire",),
    "logs": ("config",),
    "monitoring": ("broker", "config", "streaming", "wire"),
    "server": ("broker", "config", "logs", "monitoring", "stores", "streaming", "wire"),
    "cli": ("config", "definitions", "logs", "server", "stores", "wire"),
    "__main__": ("cli",),
}

# Protocol without I/O: these take bytes, values and a time, and return values. Their shells do the rest.
PURE = ("wire", "broker", "streaming")
SHELLS = ("broker.broker", "broker.transport", "broker.uplink", "streaming.service")
# What the pure part of streaming sees of the layers below: the port to a NATS network, whichever that is, and the wire.
STREAMING_CORE_SEES = ("broker.bus", "wire")
OUTSIDE_WORLD = (
    "asyncio",
    "concurrent",
    "os",
    "queue",
    "random",
    "secrets",
    "select",
    "selectors",
    "signal",
    "socket",
    "ssl",
    "subprocess",
    "threading",
    "time",
    "uuid",
    "uvloop",
)
# Modules of which there is one importer only.
SOLE_IMPORTER = {
    "time": ("clock", "logs", "monitoring.go_json"),  # the latter two to write a moment as local time: CONVERSIONS
    "msgspec": ("definitions.export", "events.codecs", "events.event", "wire.documents"),
    "uvicorn": ("monitoring",),
    "starlette": ("monitoring",),
}
# Classes of the standard library that can be asked for the present moment.
CLOCKS = ("date", "datetime", "time")
# What turns a given moment into another form; without its last argument it would take the present one.
CONVERSIONS = {"gmtime": 1, "localtime": 1, "strftime": 2}


def within(name: str, part: str) -> bool:
    """Whether `name` is `part` or inside it; a `*` at the end of `part` stands for the rest of a name."""
    if part.endswith("*"):
        return name.startswith(part[:-1])
    return name == part or name.startswith(part + ".")


def any_within(name: str, parts: tuple[str, ...]) -> bool:
    """Whether `name` is in one of `parts`."""
    return any(within(name, part) for part in parts)


def is_pure(module: str) -> bool:
    """Whether `module` must do without I/O, clock and chance."""
    return any_within(module, PURE) and not any_within(module, SHELLS)


def module_name(path: Path, top: Path) -> str:
    """The name of a source file below the package: `wire.parser`, `wire` for its `__init__`, `__init__` for the top."""
    parts = path.relative_to(top).with_suffix("").parts
    if parts[-1] == "__init__" and len(parts) > 1:
        parts = parts[:-1]
    return ".".join(parts)


def imports(path: Path, module: str, modules: set[str]) -> list[tuple[int, str]]:
    """Line and full name of everything a file imports, `from a import b` as `a.b` where that is a module."""
    is_package = path.name == "__init__.py"
    here = [PACKAGE, *module.split(".")] if module != "__init__" else [PACKAGE]
    found: list[tuple[int, str]] = []
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"), str(path))):
        if isinstance(node, ast.Import):
            found += [(node.lineno, alias.name) for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            up = node.level - (1 if is_package else 0)
            origin = [] if node.level == 0 else here[: len(here) - up]
            source = ".".join([*origin, *([node.module] if node.module else [])])
            for alias in node.names:
                deeper = f"{source}.{alias.name}"
                found.append((node.lineno, deeper if deeper.removeprefix(PACKAGE + ".") in modules else source))
        elif isinstance(node, ast.Call) and node.args:
            called = node.func.attr if isinstance(node.func, ast.Attribute) else getattr(node.func, "id", "")
            first = node.args[0]
            if called in ("import_module", "__import__") and isinstance(first, ast.Constant):
                found.append((node.lineno, str(first.value)))
    return found


def own_violation(module: str, target: str) -> str | None:
    """Why `module` may not import `target`, both below durabus; None when it may."""
    part, target_part = module.split(".")[0], target.split(".")[0]
    if part not in LAYERS:
        return f"{part} has no place in the layers yet"
    if is_pure(module) and any_within(target, SHELLS):
        return f"{module} is pure and {target} is not"
    if is_pure(module) and target_part == "clock":
        return f"{module} is pure: it is told the time"
    if part == target_part or (target_part in FOUNDATION and part not in FOUNDATION):
        return None
    if is_pure(module) and part == "streaming" and not any_within(target, STREAMING_CORE_SEES):
        return f"the streaming core sees {' and '.join(STREAMING_CORE_SEES)} only"
    if not any_within(target, LAYERS[part]):
        return f"{part} may import {', '.join(LAYERS[part]) or 'nothing of ours'} only"
    return None


def foreign_violation(module: str, target: str) -> str | None:
    """Why `module` may not import `target` from outside of durabus; None when it may."""
    top = target.split(".")[0]
    if top in OUTSIDE_WORLD and is_pure(module):
        return "it is pure: no I/O, clock or chance of its own"
    importers = SOLE_IMPORTER.get(top)
    if importers is not None and not any_within(module, importers):
        return f"only {', '.join(importers)} imports it"
    return None


def clock_readings(path: Path) -> list[int]:
    """The lines that ask what time it is: `time.time()`, `datetime.now()` and their kin."""
    tree = ast.parse(path.read_text(encoding="utf-8"), str(path))
    converting = {
        id(node.func)
        for node in ast.walk(tree)
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute)
        if len(node.args) >= CONVERSIONS.get(node.func.attr, len(node.args) + 1)
    }
    found: list[int] = []
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and node.module == "time":
            found.append(node.lineno)
        elif isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name | ast.Attribute):
            owner = ast.unparse(node.value).split(".")[-1]
            asks = owner == "time" or node.attr in ("now", "utcnow", "today")
            if owner in CLOCKS and asks and id(node) not in converting:
                found.append(node.lineno)
    return found


def violations(top: Path) -> list[str]:
    """Every import below the package folder `top` that the layers do not allow."""
    files = {module_name(path, top): path for path in sorted(top.rglob("*.py"))}
    found: list[str] = []
    for module, path in files.items():
        for line, name in imports(path, module, set(files)):
            if name == PACKAGE:
                continue
            if name.startswith(PACKAGE + "."):
                reason = own_violation(module, name.removeprefix(PACKAGE + "."))
            else:
                reason = foreign_violation(module, name)
            if reason is not None:
                found.append(f"{path.relative_to(top)}:{line} imports {name}: {reason}")
        readings = clock_readings(path) if module != "clock" else []
        found += [f"{path.relative_to(top)}:{line} reads the clock: only clock does" for line in readings]
    return found


def test_imports_go_down_only() -> None:
    assert "\n".join(violations(ROOT / "src" / PACKAGE)) == ""


def test_every_named_module_exists() -> None:
    top = ROOT / "src" / PACKAGE
    for name in {*LAYERS, *PURE, *SHELLS, *STREAMING_CORE_SEES, *sum(LAYERS.values(), ())}:
        place = name.replace(".", "/")
        assert (top / place).is_dir() or (top / f"{place}.py").exists(), f"{name} is named here but is not there"


@pytest.mark.parametrize(
    ("path", "source", "complaint"),
    [
        ("wire/parser.py", "from durabus.broker import session", "wire may import nothing of ours only"),
        ("wire/parser.py", "from ..broker.session import Session", "wire may import nothing of ours only"),
        ("wire/parser.py", "def late():\n    import asyncio", "it is pure"),
        ("wire/__init__.py", "from ..errors import X\nfrom .. import broker", "wire may import"),
        ("streaming/core.py", "from durabus.clock import Clock", "it is told the time"),
        ("broker/session.py", "import durabus.streaming.core", "broker may import wire only"),
        ("broker/sublist.py", "from random import choice", "it is pure"),
        (
            "broker/broker.py",
            "from importlib import import_module\nimport_module('durabus.server')",
            "broker may import",
        ),
        ("streaming/core.py", "from durabus.broker import session", "the streaming core sees broker.bus and wire only"),
        ("streaming/handle_connect.py", "import time", "it is pure"),
        ("streaming/window.py", "from durabus.streaming.service import Service", "streaming.service is not"),
        ("streaming/service.py", "from durabus.stores.memory import MemoryStore", "streaming may import"),
        (
            "stores/memory.py",
            "from durabus.streaming import core",
            "stores may import config.options, config.units, streaming.records",
        ),
        ("broker/broker.py", "import time", "only clock, logs, monitoring.go_json imports it"),
        ("broker/broker.py", "from datetime import datetime\nat = datetime.now(tz)", "only clock does"),
        ("logs.py", "import time\nat = time.localtime()", "only clock does"),
        ("logs.py", "import time\nat = time.monotonic_ns()", "only clock does"),
        ("logs.py", "from time import sleep", "only clock does"),
        ("config/options.py", "if TYPE_CHECKING:\n    import msgspec", "wire.documents imports it"),
        ("newcomer/thing.py", "from durabus import wire", "newcomer has no place in the layers yet"),
    ],
)
def test_the_checker_sees_a_violation(tmp_path: Path, path: str, source: str, complaint: str) -> None:
    for package in ("wire", "broker", "streaming", "stores", "config", "server", "newcomer"):
        (tmp_path / package).mkdir()
        (tmp_path / package / "__init__.py").touch()
    for module in (
        "clock",
        "errors",
        "broker/session",
        "broker/bus",
        "streaming/core",
        "streaming/service",
        "stores/memory",
    ):
        (tmp_path / f"{module}.py").touch()
    (tmp_path / path).write_text(source, encoding="utf-8")
    found = violations(tmp_path)
    assert len(found) == 1, found
    assert found[0].startswith(path)
    assert complaint in found[0]


def test_the_checker_accepts_what_is_allowed(tmp_path: Path) -> None:
    for package in ("wire", "broker", "streaming", "stores"):
        (tmp_path / package).mkdir()
        (tmp_path / package / "__init__.py").touch()
    (tmp_path / "clock.py").write_text("import time", encoding="utf-8")
    (tmp_path / "logs.py").write_text("import time\nat = time.strftime('%Y', time.localtime(1))", encoding="utf-8")
    (tmp_path / "wire" / "documents.py").write_text("import msgspec", encoding="utf-8")
    (tmp_path / "broker" / "broker.py").write_text("import asyncio\nfrom durabus.wire import parser", encoding="utf-8")
    (tmp_path / "broker" / "bus.py").touch()
    (tmp_path / "streaming" / "core.py").write_text("from durabus.broker.bus import Bus", encoding="utf-8")
    (tmp_path / "streaming" / "records.py").write_text("from . import core\nimport durabus.errors", encoding="utf-8")
    (tmp_path / "streaming" / "service.py").write_text("import asyncio\nfrom ..broker import broker", encoding="utf-8")
    (tmp_path / "stores" / "memory.py").write_text("from durabus.streaming import records", encoding="utf-8")
    assert violations(tmp_path) == []
