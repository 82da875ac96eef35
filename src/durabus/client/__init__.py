"""The asyncio client: publish, subscribe, and stay connected. Works with this server and with NATS Streaming Server.

async with durabus.connect("nats://localhost:4222", cluster_id="test-cluster", client_id="shop") as bus:
    await bus.publish("orders", b"{}")
    async for message in await bus.subscribe("orders", start=StartPosition.all_available()):
        print(message.sequence, message.data)
"""

from durabus.client.bus import Bus
from durabus.client.connecting import connect
from durabus.client.errors import (
    ClientError,
    ClientIdInUseError,
    ClosedError,
    ConnectError,
    DurableInUseError,
    FlushError,
    NotAuthorizedError,
    PossiblyDuplicatedError,
    PublishError,
    PublishNotSentError,
    PublishRefusedError,
    PublishTooLargeError,
    PublishUnknownError,
    ReplacedError,
    RequestTimeoutError,
    SubscriptionRefusedError,
    UsageError,
    WindowFullError,
)
from durabus.client.events import BusEvent, Connected, Disconnected, Stopped, StoreReset
from durabus.client.intake import Message
from durabus.client.options import StartPosition
from durabus.client.publications import Publication
from durabus.client.subscription import Subscription

__all__ = [
    "Bus",
    "BusEvent",
    "ClientError",
    "ClientIdInUseError",
    "ClosedError",
    "ConnectError",
    "Connected",
    "Disconnected",
    "DurableInUseError",
    "FlushError",
    "Message",
    "NotAuthorizedError",
    "PossiblyDuplicatedError",
    "Publication",
    "PublishError",
    "PublishNotSentError",
    "PublishRefusedError",
    "PublishTooLargeError",
    "PublishUnknownError",
    "ReplacedError",
    "RequestTimeoutError",
    "StartPosition",
    "Stopped",
    "StoreReset",
    "Subscription",
    "SubscriptionRefusedError",
    "UsageError",
    "WindowFullError",
    "connect",
]
