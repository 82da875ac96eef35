"""The port to a NATS network: what is abstract says so, and anybody may implement it in plain Python."""

from collections.abc import Callable

import pytest

from durabus.broker.bus import Bus, InterestWatcher, Receiver
from durabus.broker.router import Router
from durabus.wire.operations import Publish

CALLS: dict[str, Callable[[Bus], object]] = {
    "subscribe": lambda bus: bus.subscribe(b"foo", Receiver()),
    "unsubscribe": lambda bus: bus.unsubscribe(b"foo"),
    "publish": lambda bus: bus.publish(b"foo", b"", b"x"),
    "publish_run": lambda bus: bus.publish_run(b"foo", b"", [b"x"]),
    "is_congested": lambda bus: bus.is_congested(b"foo"),
    "is_open": lambda bus: bus.is_open(),
    "has_interest": lambda bus: bus.has_interest(b"foo"),
    "watch": lambda bus: bus.watch(b"foo", InterestWatcher()),
    "unwatch": lambda bus: bus.unwatch(b"foo", InterestWatcher()),
}


class LoopbackBus(Bus):
    """The smallest bus: one receiver, which gets everything."""

    def __init__(self) -> None:
        self.receiver: Receiver | None = None

    def subscribe(self, subject: bytes, receiver: Receiver) -> None:
        self.receiver = receiver

    def publish_run(self, subject: bytes, head: bytes, payloads: list[bytes]) -> bool:
        if self.receiver is None:
            return False
        self.receiver.on_publish(Publish(subject, b"", 0, [head + payload for payload in payloads]))
        return True


class Upper(Receiver):
    """A receiver written outside of the package."""

    def __init__(self) -> None:
        self.heard: list[bytes] = []

    def on_publish(self, publish: Publish) -> None:
        self.heard += [payload.upper() for payload in publish.payloads]


def test_every_part_of_the_port_is_called_here() -> None:
    assert set(CALLS) == {name for name in vars(Bus) if not name.startswith("_")}


@pytest.mark.parametrize("name", CALLS)
def test_the_port_itself_does_nothing(name: str) -> None:
    with pytest.raises(NotImplementedError):
        CALLS[name](Bus())


@pytest.mark.parametrize("name", CALLS)
def test_the_router_implements_all_of_it(name: str) -> None:
    assert isinstance(Router(), Bus)
    CALLS[name](Router())


def test_receivers_and_watchers_are_abstract() -> None:
    with pytest.raises(NotImplementedError):
        Receiver().on_publish(Publish(b"foo", b"", 0, [b"x"]))
    with pytest.raises(NotImplementedError):
        InterestWatcher().on_interest(b"foo", True)


def test_another_bus_behind_the_same_interface() -> None:
    bus: Bus = LoopbackBus()
    receiver = Upper()
    assert not bus.publish_run(b"foo", b"", [b"lost"])
    bus.subscribe(b"foo", receiver)
    assert bus.publish_run(b"foo", b"no. ", [b"one", b"two"])
    assert receiver.heard == [b"NO. ONE", b"NO. TWO"]
