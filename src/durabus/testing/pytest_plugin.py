"""The pytest plugin, which pytest finds by itself: the fixtures `durabus_bus` and `durabus_bus_in_thread`.

Nothing of the server is imported before a test asks for a bus. `@pytest.mark.durabus(...)` above a test, a class or a module
gives the arguments of `durabus.testing.bus`.
"""

import importlib.util
from collections.abc import AsyncIterator, Callable, Iterator
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from durabus.testing.running.bus import RunningBus
    from durabus.testing.running.thread import BusInThread

__all__ = ["durabus_bus", "durabus_bus_in_thread", "pytest_configure"]


def pytest_configure(config: pytest.Config) -> None:
    """Make the marker known."""
    config.addinivalue_line(
        "markers", "durabus(*flags, store=, directory=, controlled_time=): how the bus of the fixture is started"
    )


def _asynchronous() -> Callable[[Any], Any]:
    """What makes a fixture of an async generator: pytest-asyncio, which in its strict mode takes no others, or pytest."""
    if importlib.util.find_spec("pytest_asyncio") is not None:
        import pytest_asyncio

        return pytest_asyncio.fixture
    return pytest.fixture


def _arguments(request: pytest.FixtureRequest) -> tuple[tuple[Any, ...], dict[str, Any]]:
    marker = request.node.get_closest_marker("durabus")
    return (marker.args, marker.kwargs) if marker is not None else ((), {})


@_asynchronous()
async def durabus_bus(request: pytest.FixtureRequest) -> "AsyncIterator[RunningBus]":
    """A real bus on the event loop of this test: `durabus.testing.bus`."""
    from durabus.testing import bus

    flags, options = _arguments(request)
    async with bus(*flags, **options) as running:
        yield running


@pytest.fixture
def durabus_bus_in_thread(request: pytest.FixtureRequest) -> "Iterator[BusInThread]":
    """A real bus in a thread of its own, for tests without asyncio: `durabus.testing.bus_in_thread`."""
    from durabus.testing import bus_in_thread

    flags, options = _arguments(request)
    with bus_in_thread(*flags, **options) as running:
        yield running
