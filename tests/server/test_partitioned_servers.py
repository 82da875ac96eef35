"""Servers that share a cluster ID and divide its channels, behind real NATS servers."""

import asyncio
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from durabus.config.options import Options, with_settings
from durabus.errors import StartError
from durabus.server.server import core_options
from tests.blackbox.stan_client import FIRST, StanClient, Subscription
from tests.blackbox.wire_client import QUIET, WireClient
from tests.nats_server import NatsServer, running_nats_server
from tests.server.in_process import Servers, channels
from tests.server_process import failed_start, running_server
from tests.wire.wire_format import blob

pytestmark = [pytest.mark.row(162), pytest.mark.usefixtures("interpreter")]

READY = "Streaming Server is ready"


class Client(StanClient):
    """A client that takes the first of several answers, as every client library does, and forgets the others."""

    def delivery_of(self, subscription: Subscription) -> tuple[int, bytes]:
        """The next message of a subscription."""
        while (message := self.receive()).subject != subscription.inbox:
            pass
        self.waiting.appendleft(message)
        got = self.delivery(subscription)
        return got.sequence, got.data


def configuration(folder: Path, *names: str) -> str:
    """A configuration file of a server that owns only these channels."""
    file = folder / f"channels-{len(list(folder.iterdir()))}.conf"
    listed = ", ".join(f'"{name}": {{}}' for name in names)
    file.write_text(f"streaming {{ partitioning: true, store_limits {{ channels {{ {listed} }} }} }}", encoding="utf-8")
    return str(file)


def test_processes_that_divide_the_channels(nats: NatsServer, tmp_path: Path) -> None:
    start_s = time.monotonic()
    with running_server("-ns", nats.url, "-sc", configuration(tmp_path, "foo", "a.>")) as one:
        assert time.monotonic() - start_s >= 1, "it waits for objections"
        with (
            running_server("-ns", nats.url, "-sc", configuration(tmp_path, "bar.*")) as two,
            Client(nats.port) as client,
        ):
            client.connect()
            for channel in (b"foo", b"a.b.c", b"bar.x"):
                subscription = client.subscribe(channel, start=FIRST, durable=b"d")
                client.publish(channel, b"1", b"2")
                assert [client.delivery_of(subscription) for _ in range(2)] == [(1, b"1"), (2, b"2")]
                assert client.unsubscribe(subscription) == b""
            assert client.ping() == b""
            assert client.disconnect() == b""
            for server, names in ((one, ("foo", "a.b.c")), (two, ("bar.x",))):
                created = [line for line in server.lines if "has been created" in line]
                assert [line.split('"')[1] for line in created] == list(names)
        refused = failed_start("-ns", nats.url, "-sc", configuration(tmp_path, "a.b"))
        assert refused.returncode == 1
        assert 'Failed to start: channel "a.b" causes conflict with channels on server "' in refused.stderr


def test_a_server_with_a_broker_of_its_own(tmp_path: Path) -> None:
    """Nobody else is there, and still it waits for objections."""
    with running_server("-sc", configuration(tmp_path, "foo")) as server, Client(server.port) as client:
        client.connect()
        client.publish(b"foo", b"1")
        client.request(b"_STAN.sub.test-cluster", b"\x0a\x01x\x12\x03bar\x28\x01\x30\x01")
        assert client.quiet(), "another server's channel"
        # Another server may come to this one's network, and is told.
        refused = failed_start("-ns", f"nats://127.0.0.1:{server.port}", "-sc", configuration(tmp_path, "*"))
        assert 'channel "foo" causes conflict with channels on server "' in refused.stderr


@pytest.mark.parametrize(
    ("text", "error"),
    [
        ("partitioning: true", "stan: no configured channel"),
        ("partitioning: true, store_limits { channels {} }", "stan: no configured channel"),
        (
            'partitioning: true, store_limits { channels { "two words": {} } }',
            'could not subscribe to publish subject "two',
        ),
        *(
            (f'partitioning: true, store_limits {{ channels {{ "{name}": {{}} }} }}', "invalid channel name")
            for name in (".", ".foo", "foo.", "foo*", "foo.*.", "foo.>.bar", "foo/bar")
        ),
    ],
)
def test_channels_that_cannot_be_owned(tmp_path: Path, text: str, error: str) -> None:
    file = tmp_path / "bus.conf"
    file.write_text(f"streaming {{ {text} }}", encoding="utf-8")
    refused = failed_start("-p", "-1", "-sc", str(file))
    assert refused.returncode == 1
    assert error in refused.stderr


async def test_the_network_takes_only_small_messages(tmp_path: Path) -> None:
    long_name = "n" * 54
    with running_nats_server(tmp_path, "max_payload: 50") as nats:
        async with Servers(nats.url) as servers:
            one = servers.make(channels(long_name))
            with pytest.raises(StartError, match="message payload too small to send channels list"):
                await one.server.start()


async def test_a_list_that_is_told_in_pieces(tmp_path: Path) -> None:
    """Found among a hundred names of which a message takes a few."""
    with running_nats_server(tmp_path, "max_payload: 200") as nats:
        async with Servers(nats.url) as servers:
            await servers.start(channels("foo99"))
            many = channels(*(f"foo{number}" for number in range(100)))
            with WireClient(nats.port, QUIET + b"SUB _STAN.part.* 1\r\n") as wire:
                wire.ask()
                with pytest.raises(StartError, match='channel "foo99" causes conflict with channels on server'):
                    await servers.start(many | {"limits.max_channels": 0})
                assert len(wire.message().payload) <= 200


async def test_an_odd_request_does_no_harm(nats: NatsServer) -> None:
    async with Servers(nats.url) as servers:
        one = await servers.start(channels("foo"))
        with WireClient(nats.port, QUIET + b"SUB answer 1\r\n") as wire:
            for payload, reply in ((b"hello", b""), (b"", b"answer"), (b"hello", b"answer")):
                wire.publish(b"_STAN.part.test-cluster", payload, reply)
            for data in (b"\x01\x02\x03\x04\x05", b"\x01"):
                wire.publish(b"_STAN.part.test-cluster", b"\x08\x04" + blob(2, b"other") + blob(3, data), b"answer")
            wire.publish(
                b"_STAN.part.test-cluster", b"\x08\x04" + blob(2, b"other") + blob(3, b"\x03\x00foo"), b"answer"
            )
            answer = await asyncio.to_thread(wire.message)
        assert answer.payload == b"\x08\x04" + blob(2, one.server.server_id.encode()) + blob(3, b"foo")
        assert one.log.count("[ERR] STREAM: Error processing partitioning request: ") == 1, "one line a second at most"


def test_what_the_core_is_told() -> None:
    """Names need not be UTF-8; and limits alone make no partition."""
    options = with_settings(Options(), channels("foo", "a.>", "caf\udce9"))
    assert core_options(options, "instance").partition == [b"foo", b"a.>", b"caf\xe9"]
    whole = with_settings(options, {"streaming.partitioning": False})
    assert core_options(whole, "instance").partition == []


# Networks that change.


@pytest.fixture
def first(tmp_path: Path) -> Iterator[NatsServer]:
    """A NATS server that others may join."""
    with running_nats_server(tmp_path, 'cluster { name: c, listen: "127.0.0.1:-1" }') as server:
        yield server


def joining(first: NatsServer) -> str:
    """The configuration of a NATS server that joins `first`."""
    port = first.wait_line("Listening for route connections on").rpartition(":")[2]
    return f'cluster {{ name: c, listen: "127.0.0.1:-1", routes: ["nats-route://127.0.0.1:{port}"] }}'


async def test_two_networks_that_become_one(first: NatsServer, tmp_path: Path) -> None:
    """Servers that own the same channel could start, and end as soon as they can see each other."""
    with running_nats_server(tmp_path) as second:
        async with Servers() as servers:
            one = await servers.start(channels("foo.*"), url=first.url)
            two = await servers.start(channels("foo.bar"), url=second.url)
            second.configure(joining(first))
            second.kill()
            second.start()
            line = 'Partitioning error: channel "foo.bar" causes conflict with channels on server '
            assert await one.failure() == f'{line}"{two.server.server_id}"'
            assert await two.failure() == f'{line}"{one.server.server_id}"'
            assert (await one.serverz())["state"] == "FAILED"


async def test_a_network_that_changes_without_a_conflict(first: NatsServer, tmp_path: Path) -> None:
    """The question is asked again, and nothing else happens."""
    async with Servers() as servers:
        one = await servers.start(channels("foo"), url=first.url)
        with WireClient(first.port, QUIET + b"SUB _STAN.part.* 1\r\n") as wire:
            wire.ask()
            with running_nats_server(tmp_path, joining(first)) as second:
                assert b"\x03\x00foo" in (await asyncio.to_thread(wire.message)).payload
                await servers.start(channels("bar"), url=second.url)
                with Client(second.port) as client:

                    def work() -> None:
                        client.connect()
                        for channel in (b"foo", b"bar"):
                            client.publish(channel, b"1")

                    await asyncio.to_thread(work)
        assert "Partitioning error" not in one.log
        assert (await one.serverz())["channels"] == 1


def test_a_process_that_comes_into_conflict_ends(nats: NatsServer, tmp_path: Path) -> None:
    """Somebody objects, later than at the start."""
    with WireClient(nats.port, QUIET + b"SUB _STAN.part.* 1\r\n") as wire:
        wire.ask()
        with running_server("-ns", nats.url, "-sc", configuration(tmp_path, "foo")) as server:
            wire.publish(wire.message().reply, b"\x08\x04" + blob(2, b"OTHER") + blob(3, b"foo"))
            assert server.wait_end() == 1
            line = 'Partitioning error: channel "foo" causes conflict with channels on server "OTHER"'
            assert f"[FTL] STREAM: {line}\n" in server.log
