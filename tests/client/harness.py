"""Buses for tests: short times, names that nobody else has, and something to wait with."""

import asyncio
import itertools
import os
from collections.abc import Callable
from typing import Any

import pytest

import durabus
from durabus.client import Bus, BusEvent, Message, Subscription
from durabus.client.connecting import Connecting
from tests.server_process import HOST, ServerProcess

__all__ = [
    "PATIENCE_S", "Events", "collect", "connect", "lose", "new_channel", "new_client_id", "ours", "serving", "until",
]  # fmt: skip

PATIENCE_S = 20.0
_numbers = itertools.count(1)
ours = pytest.mark.skipif("DURABUS_TEST_SERVER" in os.environ, reason="this is how Durabus differs")


def new_channel() -> str:
    """A channel of which nobody has heard."""
    return f"channel.{next(_numbers)}"


def new_client_id() -> str:
    """A client ID that nobody has."""
    return f"client-{os.getpid()}-{next(_numbers)}"


def connect(port: int, **options: Any) -> Connecting:  # noqa: ANN401 - those of durabus.connect
    """`durabus.connect` with a client ID of its own, that comes back quickly."""
    options.setdefault("client_id", new_client_id())
    options.setdefault("reconnect_wait_s", 0.02)
    options.setdefault("reconnect_wait_max_s", 0.2)
    options.setdefault("connect_timeout_s", PATIENCE_S)
    return durabus.connect(f"nats://{HOST}:{port}", **options)


async def until(is_so: Callable[[], bool], what: str = "it") -> None:
    """Wait until `is_so`."""
    for _ in range(int(PATIENCE_S / 0.005)):
        if is_so():
            return
        await asyncio.sleep(0.005)
    raise AssertionError(f"{what} did not happen")


async def collect(subscription: Subscription, count: int) -> list[Message]:
    """The next messages, acknowledged."""
    messages: list[Message] = []
    async with asyncio.timeout(PATIENCE_S):
        while len(messages) < count:
            messages.append(await subscription.next())
            messages[-1].ack()
    return messages


def serving(*flags: str, port: int = -1) -> ServerProcess:
    """A server that is ready; the test ends it."""
    server = ServerProcess(*flags, port=port)
    server.wait_ready()
    return server


class Events:
    """What a bus told."""

    def __init__(self) -> None:
        self.all: list[BusEvent] = []

    def __call__(self, event: BusEvent) -> None:
        self.all.append(event)

    def of(self, kind: type[BusEvent]) -> list[BusEvent]:
        """Those of a kind."""
        return [event for event in self.all if isinstance(event, kind)]

    async def wait(self, kind: type[BusEvent], count: int = 1) -> BusEvent:
        """The `count`th of a kind, when it is there."""
        await until(lambda: len(self.of(kind)) >= count, f"{count} {kind.__name__}")
        return self.of(kind)[count - 1]


async def lose(bus: Bus) -> None:
    """Cut the connection of a bus, from its own side."""
    session = bus._session
    assert session is not None
    session.link.abort("a test cut it")
    await until(lambda: not bus.is_connected, "the loss")
