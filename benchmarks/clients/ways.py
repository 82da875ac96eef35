"""Who takes part: the client libraries, and the ways in which a program publishes and receives with each."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path
from typing import Final, NamedTuple

from benchmarks.workloads import BenchmarkError

HERE: Final = Path(__file__).resolve().parent
ROOT: Final = HERE.parent.parent

DURABUS: Final = "durabus"
NODE: Final = "node-nats-streaming"
OLD_PYTHON: Final = "asyncio-nats-streaming"

_ASK_S: Final = 30.0
_OLD_VERSION: Final = (
    "import sys, nats.aio.client as nats, stan.aio.client as stan, google.protobuf as protobuf;"
    "print(stan.__version__, 'on asyncio-nats-client', nats.__version__ + ', protobuf', protobuf.__version__ + ',',"
    " 'Python', sys.version.split()[0])"
)
_NODE_VERSION: Final = (
    "console.log(require('node-nats-streaming/package.json').version + ' on nats ' +"
    " require('nats/package.json').version + ', Node.js ' + process.versions.node)"
)
_OUR_VERSION: Final = (
    "import sys, durabus.client.intake as hot, durabus.version as version;"
    "print(version.VERSION, 'interpreted' if hot.__file__.endswith('.py') else 'compiled', 'on Python', sys.version.split()[0])"
)


class Way(NamedTuple):
    """One way to use a library, as somebody would who reads its manual."""

    library: str
    name: str
    """What the library's program knows it by."""
    title: str
    publishes: bool
    """Whether it publishes; else it receives, and each message is acknowledged."""


WAYS: Final = (
    Way(DURABUS, "publish_all", "bus.publish_all", True),
    Way(DURABUS, "publish", "await bus.publish, as many tasks as the window", True),
    Way(DURABUS, "publisher", "Publisher.publish_all, typed", True),
    Way(NODE, "publish", "publish with a callback", True),
    Way(OLD_PYTHON, "publish", "await publish with an ack_handler", True),
    Way(DURABUS, "handler", "handler", False),
    Way(DURABUS, "loop", "async for", False),
    Way(DURABUS, "listener", "Listener.on_event, typed", False),
    Way(DURABUS, "listener_loop", "async for over a Listener, typed", False),
    Way(NODE, "receive_manually", "listener, acknowledges by hand", False),
    Way(NODE, "receive", "listener, acknowledged by the library", False),
    Way(OLD_PYTHON, "receive_manually", "callback, acknowledges by hand", False),
    Way(OLD_PYTHON, "receive", "callback, acknowledged by the library", False),
)
"""Every way, in the order of the report."""


class Library(NamedTuple):
    """A client library that takes part."""

    name: str
    version: str
    command: tuple[str, ...]
    """Its program; it gets one more argument, what to do."""
    environment: dict[str, str]


def durabus_library(python: str) -> Library:
    """This project's client, run by `python`; raises BenchmarkError when that has none."""
    version = _ask((python, "-c", _OUR_VERSION), {})
    return Library(DURABUS, version, (python, "-m", "benchmarks.clients.durabus_program"), {})


def node_library(packages: Path) -> Library:
    """`node-nats-streaming`, from the folder in which npm installed it; raises BenchmarkError when it is not there."""
    environment = {"NODE_PATH": str(packages / "node_modules")}
    version = _ask(("node", "-e", _NODE_VERSION), environment)
    return Library(NODE, version, ("node", str(HERE / "node_program.js")), environment)


def old_python_library(python: str) -> Library:
    """`asyncio-nats-streaming`, run by a `python` that is old enough; raises BenchmarkError when it cannot run it."""
    version = _ask((python, "-c", _OLD_VERSION), {})
    return Library(OLD_PYTHON, version, (python, str(HERE / "old_python_program.py")), {})


def _ask(command: tuple[str, ...], environment: dict[str, str]) -> str:
    """What a program says, in one line."""
    if shutil.which(command[0]) is None:
        raise BenchmarkError(f"there is no program {command[0]}")
    done = subprocess.run(
        command,
        cwd=ROOT,
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
        timeout=_ASK_S,
        check=False,
    )
    if done.returncode:
        lines = [line for line in done.stderr.splitlines() if "Error" in line] or ["it fails"]
        raise BenchmarkError(f"{command[0]}: {lines[-1].strip()}")
    return done.stdout.strip()
