"""A server with the memory store, and an empty database of each kind, for the tests of outbox and inbox."""

from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

import durabus
from durabus.client import Bus
from tests.outbox.harness import KINDS, Service, new_service
from tests.server_process import HOST, running_server


@pytest.fixture(scope="module")
def url() -> Iterator[str]:
    """Where a server listens."""
    with running_server("-mc", "0") as server:
        yield f"nats://{HOST}:{server.port}"


@pytest.fixture(params=KINDS)
def service(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Service]:
    """A service with an empty outbox and inbox, for each kind of database."""
    with new_service(request.param, tmp_path) as made:
        yield made


@pytest.fixture
def sqlite(tmp_path: Path) -> Iterator[Service]:
    """The same, for tests that say nothing of a database."""
    with new_service("sqlite", tmp_path) as made:
        yield made


@pytest.fixture
async def bus(url: str) -> AsyncIterator[Bus]:
    """A bus that is there."""
    async with durabus.connect(url, reconnect_wait_s=0.02, reconnect_wait_max_s=0.2) as made:
        yield made
