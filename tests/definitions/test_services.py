"""A Python service and a Node service exchange all three formats, both with code that was generated from one folder."""

import asyncio
import json
import subprocess
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

import durabus
from durabus.client import Bus, StartPosition
from durabus.events import Listener, Publisher, event_type
from tests.definitions.shop_events import BEYOND_DOUBLE, sample_events
from tests.server_process import HOST, PATIENCE_S, ServerProcess, running_server

pytestmark = [pytest.mark.once, pytest.mark.timeout(180)]

# What the Node service says of a field that JSON does not have: see `show` in node/service.ts.
MOMENT = {"Date": "2026-11-24T12:30:15.250Z"}
BYTES = {"bytes": [0, 255, 254]}


class NodeService:
    """The process, and what it says."""

    def __init__(self, folder: Path, port: int) -> None:
        command = ["node", "build/service.js", f"nats://{HOST}:{port}"]
        self.process = subprocess.Popen(
            command, cwd=folder, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
        )

    async def hear(self) -> dict[str, Any]:
        """The next line that it says."""
        assert self.process.stdout is not None
        line = await asyncio.wait_for(asyncio.to_thread(self.process.stdout.readline), PATIENCE_S)
        assert line.startswith("{"), f"the service said {line!r}"
        said: dict[str, Any] = json.loads(line)
        return said

    def repeat(self) -> None:
        """Have it publish what it has heard."""
        assert self.process.stdin is not None
        self.process.stdin.write("repeat\n")
        self.process.stdin.flush()

    def end(self) -> None:
        """End the process."""
        self.process.kill()
        self.process.communicate(timeout=PATIENCE_S)


@pytest.fixture
def server() -> Iterator[ServerProcess]:
    with running_server("-mc", "0") as server:
        yield server


@pytest.fixture
def service(server: ServerProcess, node_service: Path) -> Iterator[NodeService]:
    service = NodeService(node_service, server.port)
    try:
        yield service
    finally:
        service.end()


@pytest.fixture
async def bus(server: ServerProcess) -> AsyncIterator[Bus]:
    async with durabus.connect(f"nats://{HOST}:{server.port}", client_id="python-service") as bus:
        yield bus


async def test_both_services_understand_each_other(service: NodeService, bus: Bus, shop: ModuleType) -> None:
    events = sample_events(shop)
    assert await service.hear() == {"listening": len(events)}

    heard: dict[str, Any] = {}
    for event in events.values():
        await Publisher(bus, type(event)).publish(event)
        said = await service.hear()
        heard[said["heard"]] = said["data"]
    assert heard.keys() == events.keys()
    check_order(heard["order:created"])
    check_parcel(heard["parcel:sent"])
    check_payment(heard["payment:created"])
    assert heard["order:cancelled"]["ticket"] == {"id": "t1", "title": "Ænima, “live”", "price": 12.5}

    service.repeat()
    for subject, event in events.items():
        listener: Listener[Any] = Listener(bus, event_class=type(event), start=StartPosition.all_available())
        async with asyncio.timeout(PATIENCE_S):
            async for received, message in listener:
                assert received == event, subject
                if message.sequence == 2:  # what the Node service published of what it had heard
                    break


def check_order(data: dict[str, Any]) -> None:
    """JSON."""
    assert data["id"] == "6f1c3a52-6a0f-4d0e-9d5c-0d7a8f3a2b10"
    assert data["expiresAt"] == MOMENT
    assert data["deliveryDate"] == "2026-12-24"
    assert data["receipt"] == BYTES
    assert data["payment"] == {"kind": "card", "lastDigits": "1234"}
    assert data["counts"] == {"seen": {"bigint": str(BEYOND_DOUBLE)}, "negative": {"bigint": str(-(2**63))}}
    assert data["trace"] == {"bigint": str(2**63 - 1)}
    assert data["currency"] == "EUR"
    assert data["tags"] == ["new", "web"]
    assert data["extra"] == {"anything": [1, "two", None, True]}
    assert data["discount"] is None
    assert "note" not in data


def check_parcel(data: dict[str, Any]) -> None:
    """Avro."""
    assert data["sent_at"] == MOMENT
    assert data["scanned_at"] == MOMENT
    assert data["due"] == "2026-12-24"
    assert data["barcode"] == {"bigint": str(BEYOND_DOUBLE)}
    assert data["label"] == BYTES
    assert data["speed"] == "FAST"
    assert data["items"] == [{"sku": "a", "amount": 1, "price": None}, {"sku": "b", "amount": 2, "price": 1.5}]
    assert data["target"] == {"lines": ["first", "second"]}
    assert data["mark"] == {"bigint": str(BEYOND_DOUBLE)}


def check_payment(data: dict[str, Any]) -> None:
    """Protobuf."""
    assert data["amountCents"] == {"bigint": str(-BEYOND_DOUBLE)}
    assert data["reference"] == {"bigint": str(2**64 - 1)}
    assert data["method"] == 1
    assert data["paidAt"] == MOMENT
    assert data["note"] == ""
    assert data["lines"] == [{"text": "ticket", "cents": {"bigint": str(BEYOND_DOUBLE)}, "count": -3}]
    assert data["remarks"] == {"-5": "minus five", "7": "seven"}
    assert data["signature"] == BYTES
    assert data["card"] == {"lastDigits": "1234", "expiryMonth": 12}
    assert data["retries"] == 0
    assert "voucher" not in data
    assert data["tried"] == [2, 0]


async def test_what_does_not_decode_is_told_and_kept_and_does_not_block(
    service: NodeService, bus: Bus, shop: ModuleType
) -> None:
    await service.hear()
    for subject, event in sample_events(shop).items():
        whole = event_type(type(event)).encode(event)
        await bus.publish(subject, whole[:-1])
        said = await service.hear()
        assert said["undecodable"] == subject
        await bus.publish(subject, whole)
        assert (await service.hear())["heard"] == subject
        kept = await bus.subscribe(f"{subject}.dead-letters", start=StartPosition.all_available())
        assert (await asyncio.wait_for(kept.next(), PATIENCE_S)).data == whole[:-1]


async def test_what_fails_in_a_handler_is_delivered_again(service: NodeService, bus: Bus, shop: ModuleType) -> None:
    await service.hear()
    refused = shop.OrderStatus.CANCELLED
    order = sample_events(shop)["order:created"]
    wrong = type(order)(
        **{name: getattr(order, name) for name in order.__struct_fields__ if name != "status"}, status=refused
    )
    await Publisher(bus, type(order)).publish(wrong)
    assert service.process.stdout is not None
    times = 0
    while times < 2:  # the service says it on standard error, once per delivery
        line = await asyncio.wait_for(asyncio.to_thread(service.process.stdout.readline), PATIENCE_S)
        times += line.startswith("node-service: order:created #1: Error: an order that is cancelled")
