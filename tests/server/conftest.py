"""What tests of servers share: an interpreter that is as it was, and a NATS server."""

import gc
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.nats_server import NatsServer, running_nats_server


@pytest.fixture
def interpreter() -> Iterator[None]:
    """A server changes settings of its process; here the process goes on."""
    threshold, switch_interval_s = gc.get_threshold(), sys.getswitchinterval()
    yield
    gc.unfreeze()
    gc.set_threshold(*threshold)
    sys.setswitchinterval(switch_interval_s)


@pytest.fixture
def nats(tmp_path: Path) -> Iterator[NatsServer]:
    """A NATS server, for servers that are its clients."""
    with running_nats_server(tmp_path) as server:
        yield server
