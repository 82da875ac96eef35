"""Which version this is, which versions it behaves like, and what it runs on. Imports nothing that takes time."""

import importlib.util
import sys

__all__ = [
    "NATS_VERSION",
    "STREAMING_VERSION",
    "VERSION",
    "alias_version_line",
    "build_kind",
    "loop_kind",
    "python_name",
    "runtime",
    "version_line",
]

VERSION = "0.1.0"
"""The version of Durabus; pyproject.toml reads it from this line."""

STREAMING_VERSION = "0.25.6"
"""The NATS Streaming Server release whose behaviour is reproduced: its last one. Tools read it in `--version` of the
alias, in the first line of the log and in `/streaming/serverz`, and some compare it with a minimum."""

NATS_VERSION = "2.9.10"
"""The nats-server release that the embedded broker is compared with; INFO and the alias' version line tell it, because
clients decide by it which parts of the protocol they may use."""

COMPILED_MODULE = "durabus.wire.parser"
"""One of the hot modules; they are compiled together or not at all, so one of them tells for all."""


def build_kind() -> str:
    """`compiled` when the hot modules are extension modules, else `interpreted`. Does not load them."""
    try:
        spec = importlib.util.find_spec(COMPILED_MODULE)
    except ModuleNotFoundError:
        spec = None
    if spec is None or spec.origin is None or spec.origin.endswith((".py", ".pyc")):
        return "interpreted"
    return "compiled"


def loop_kind() -> str:
    """`uvloop` where it is installed, else `asyncio`: the event loop that the server takes. Does not load it."""
    return "uvloop" if importlib.util.find_spec("uvloop") is not None else "asyncio"


def python_name() -> str:
    """The interpreter and its version, for example `CPython 3.11.7`."""
    names = {"cpython": "CPython", "pypy": "PyPy", "graalpy": "GraalPy"}
    name = names.get(sys.implementation.name, sys.implementation.name)
    return "{} {}.{}.{}".format(name, *sys.version_info[:3])


def runtime() -> str:
    """What runs, for example `compiled, uvloop, CPython 3.11.7`."""
    return f"{build_kind()}, {loop_kind()}, {python_name()}"


def version_line() -> str:
    """What `durabus --version` prints."""
    return f"durabus {VERSION} ({runtime()})"


def alias_version_line() -> str:
    """What `nats-streaming-server --version` prints: the original's form, because scripts parse it."""
    return f"nats-streaming-server version {STREAMING_VERSION}, nats-server: v{NATS_VERSION}"
