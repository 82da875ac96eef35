"""A server with the memory store that the tests of one file share."""

from collections.abc import Iterator

import pytest

from tests.server_process import running_server


@pytest.fixture(scope="module")
def port() -> Iterator[int]:
    """Where a server listens."""
    with running_server("-mc", "0") as server:
        yield server.port
