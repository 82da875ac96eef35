"""A directory that the real NATS Streaming Server wrote, with what it said of it itself, as JSON.

`recorded.json` was made like this, through the original's public interface:

    DURABUS_TEST_SERVER=path/to/nats-streaming-server python -m tests.stores.original_file.recording > recorded.json

With DURABUS_TEST_SERVER set, the tests record once more and hold the reader to that as well.
"""

import base64
import json
import os
import signal
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

from tests.blackbox import stan_client
from tests.blackbox.stan_client import FIRST, StanClient, read_fields
from tests.blackbox.test_30_start import get
from tests.server_process import ServerProcess, running_server

__all__ = ["FLAGS", "RECORDED", "Recording", "can_record", "record", "recorded"]

RECORDED = Path(__file__).with_name("recorded.json")
FLAGS = {
    "plain": [],
    "another polynomial": ["-file_crc_poly", str(0x82F63B78)],
    "encrypted": ["-encrypt", "-encryption_key", "a key for tests"],
}
"""What the recordings differ in."""


@dataclass
class Recording:
    """Files by their names. `channels` has first and last sequence, messages from there on (data, timestamp), subscriptions.

    A subscription is client, queue group, durable name, whether it is offline, last sent, and how many messages are pending.
    """

    flags: list[str]
    files: dict[str, bytes]
    clients: list[str]
    channels: dict[str, dict[str, Any]]

    def write(self, folder: Path) -> Path:
        """Make the directory `folder` of it."""
        for name, content in self.files.items():
            path = folder / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(content)
        return folder

    def as_json(self) -> dict[str, Any]:
        """What `from_json` reads."""
        files = {name: base64.b64encode(content).decode() for name, content in self.files.items()}
        return {"flags": self.flags, "files": files, "clients": self.clients, "channels": self.channels}

    @classmethod
    def from_json(cls, document: dict[str, Any]) -> Self:
        """One of those in `recorded.json`."""
        files = {name: base64.b64decode(content) for name, content in document["files"].items()}
        return cls(document["flags"], files, document["clients"], document["channels"])


def can_record() -> bool:
    """Whether there is an original here."""
    return "DURABUS_TEST_SERVER" in os.environ


def recorded() -> dict[str, Recording]:
    """Those in `recorded.json`, by their names in FLAGS."""
    documents = json.loads(RECORDED.read_text(encoding="ascii"))
    return {name: Recording.from_json(document) for name, document in zip(FLAGS, documents, strict=True)}


def record(flags: list[str]) -> Recording:
    """Let the original live a little with these flags, and take what it leaves behind."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        common = ["-store", "FILE", "-dir", name, "-m", "-1", *flags]
        with running_server(*common, "-file_slice_max_msgs", "4", "-mm", "10") as server:
            clients = [
                StanClient(server.port, client_id).connect() for client_id in (b"alice", b"bob", b"carol", b"gone")
            ]
            # Encrypted, the original cannot read again what is empty.
            live(clients, b"" if "-encrypt" not in flags else b"-")
            server.stop(signal.SIGTERM)
        for client in clients:
            client.wire.close()
        with running_server(*common) as server:
            with StanClient(server.port, b"dave").connect() as client:
                live_on(client)
                channels = observed(server, client)
                found = json.loads(get(server.monitor_port, "/streaming/clientsz")[1])
            server.stop(signal.SIGKILL)
        files = {
            str(path.relative_to(folder)): path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()
        }
    return Recording(flags, files, sorted(one["id"] for one in found["clients"]), channels)


def live(clients: list[StanClient], nothing: bytes) -> None:
    """More messages than are kept, in slices, one with `nothing`; subscriptions of every kind, some of which end."""
    alice, bob, carol, gone = clients
    alice.publish(b"orders", *[b"order %d" % number for number in range(1, 15)])
    durable = bob.subscribe(b"orders", durable=b"audit", start=FIRST, max_in_flight=3)
    assert [got.sequence for got in bob.deliveries(3)] == [5, 6, 7]
    bob.acknowledge(durable, 5, 7)
    assert [got.sequence for got in bob.deliveries(2)] == [8, 9]
    first = carol.subscribe(b"orders", group=b"workers", durable=b"work", start=FIRST, max_in_flight=2)
    assert [got.sequence for got in carol.deliveries(2)] == [5, 6]
    alice.subscribe(b"orders", group=b"workers", durable=b"work", max_in_flight=1)
    assert alice.delivery().sequence == 7
    carol.acknowledge(first, 6)
    assert carol.delivery().sequence == 8
    plain = alice.subscribe(b"news.of.the.day")
    alice.publish(b"news.of.the.day", nothing, b"binary \x00\xff", b"x" * 300)
    assert len(alice.deliveries(3, plain)) == 3
    alice.acknowledge(plain, 1, 2, 3)
    closed = bob.subscribe(b"news.of.the.day", durable=b"closed", start=FIRST)
    bob.deliveries(3, closed)
    bob.acknowledge(closed, 2)
    assert bob.quiet()
    assert bob.close_subscription(closed) == b""
    gone.subscribe(b"empty", durable=b"offline")
    ended = gone.subscribe(b"orders", durable=b"unsubscribed")
    assert gone.unsubscribe(ended) == b""
    assert gone.disconnect() == b""
    for client in (alice, bob, carol):
        assert client.quiet()


def live_on(dave: StanClient) -> None:
    """After a restart, with fewer messages in a slice than before."""
    dave.publish(b"orders", b"after the restart", b"and one more")
    durable = dave.subscribe(b"orders", durable=b"audit", start=FIRST)  # of the same name, by another client
    assert dave.delivery(durable).sequence == 5
    dave.acknowledge(durable, 5)
    assert dave.quiet() or dave.waiting
    dave.waiting.clear()
    assert dave.close_subscription(durable) == b""


def observed(server: ServerProcess, reader: StanClient) -> dict[str, dict[str, Any]]:
    """What the original says of its channels, and what it delivers from them."""
    channels: dict[str, dict[str, Any]] = {}
    told = json.loads(get(server.monitor_port, "/streaming/channelsz?subs=1")[1])
    for channel in told["channels"]:
        subscriptions = [
            [one["client_id"], one.get("queue_name", ""), one.get("durable_name", ""), one["is_offline"], one["last_sent"],
             one["pending_count"]]
            for one in channel.get("subscriptions") or []
        ]  # fmt: skip
        messages: list[list[Any]] = []
        name = channel["name"].encode()
        subscription = reader.subscribe(name, start=FIRST)
        while len(messages) < channel["msgs"]:
            message = reader.receive()
            if message.subject == subscription.inbox:
                fields = read_fields(message.payload)
                messages.append([base64.b64encode(fields.text(4)).decode(), fields.number(5)])
        assert reader.unsubscribe(subscription) == b""
        channels[channel["name"]] = {
            "first": channel["first_seq"],
            "last": channel["last_seq"],
            "messages": messages,
            "subscriptions": sorted(subscriptions),
        }
    return channels


if __name__ == "__main__":
    for _ in range(1000):  # so that no client of a test has an inbox of a recorded one
        next(stan_client._numbers)
    documents = [record(flags).as_json() for flags in FLAGS.values()]
    json.dump(documents, sys.stdout, indent=1)
    sys.stdout.write("\n")
