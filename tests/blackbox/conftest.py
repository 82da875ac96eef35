"""The servers of the black-box tests: one per file for what is independent of flags, own ones for the rest."""

from collections.abc import Iterator

import pytest

from tests.server_process import ServerProcess, running_server


@pytest.fixture(scope="module")
def server() -> Iterator[ServerProcess]:
    """A server that the tests of one file share; they use subjects, channels and client IDs of their own."""
    with running_server("-mc", "0", "-SD", "-D") as server:
        yield server
