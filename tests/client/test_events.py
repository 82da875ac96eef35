"""What happens to a bus, in words."""

from durabus.client.errors import ReplacedError
from durabus.client.events import Connected, Disconnected, Stopped, StoreReset


def test_words() -> None:
    assert str(Connected("nats://bus:4222", False, True)) == "connected to nats://bus:4222"
    assert str(Connected("nats://bus:4222", True, True)) == "connected again to nats://bus:4222"
    assert "did not know this client" in str(Connected("nats://bus:4222", True, False))
    assert str(Disconnected("3 pings were not answered")) == "disconnected: 3 pings were not answered"
    assert "'orders' begins anew, its last message here was 7" in str(StoreReset("orders", 7))
    assert str(Stopped(ReplacedError("gone"))).startswith("stopped: gone; ")
