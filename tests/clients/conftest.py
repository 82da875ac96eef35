"""What the tests with the real Node client share: its packages, a server, and a wire that can be cut."""

from collections.abc import Iterator
from contextlib import ExitStack

import pytest

from tests.clients.node_client import NodeClient
from tests.clients.packages import install_packages
from tests.clients.tcp_proxy import TcpProxy
from tests.server_process import ServerProcess, running_server


class Cast:
    """Makes the clients of a test, and ends them with it."""

    def __init__(self, stack: ExitStack) -> None:
        self._stack = stack

    def __call__(self) -> NodeClient:
        """One more Node process."""
        return self._stack.enter_context(NodeClient())


@pytest.fixture(scope="session")
def packages() -> None:
    """The client library is installed."""
    install_packages()


@pytest.fixture(scope="module")
def server() -> Iterator[ServerProcess]:
    """A server that the tests of one file share."""
    with running_server("-mc", "0", "-SD") as server:
        yield server


@pytest.fixture
def node(packages: None) -> Iterator[Cast]:
    """Call it for a Node process."""
    with ExitStack() as stack:
        yield Cast(stack)


@pytest.fixture
def proxy(server: ServerProcess) -> Iterator[TcpProxy]:
    """A wire to the server."""
    with TcpProxy(server.port) as proxy:
        yield proxy
