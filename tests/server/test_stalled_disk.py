"""A flood of publishes while the disk stalls, on real sockets: memory stays bounded, publishers wait, and nobody is lost."""

import asyncio

from durabus.stores.file.store import FileStore
from durabus.testing.disk import SimulatedDisk
from tests.crash.connection import Connection
from tests.server.in_process import Servers
from tests.stores.file.store_steps import GatedFiles
from tests.streaming.harness import decoded, encoded

PATIENCE_S = 30.0
BYTES_MAX = 4 * 1024 * 1024
SIZE = 10_000
COUNT = 3000


async def test_a_flood_while_the_disk_stalls() -> None:
    files = GatedFiles(SimulatedDisk(), "sync")
    async with Servers() as servers:
        one = servers.make({}, FileStore("simulated", files))
        service = one.server.service
        service._options.undurable_bytes_max = BYTES_MAX
        await one.server.start()
        publisher = await registered(one.server.port, b"publisher")
        other = await registered(one.server.port, b"other")
        acks: list[bytes] = []
        publisher.listen(b"acks", lambda _, payload: acks.append(payload))
        files.gate.clear()
        for number in range(COUNT):
            message = encoded(
                "PubMsg",
                client_id="publisher",
                guid=f"{number}",
                subject="foo",
                data="x" * SIZE,
                connection_id="publisher",
            )
            publisher.publish(b"_STAN.pub.test-cluster.foo", message, b"acks")
        publisher.flush()
        await one.wait_line("The store is behind")
        for _ in range(20):
            await served(other)
            assert service.core.state.undurable_bytes() < BYTES_MAX
        assert acks == []
        files.gate.set()
        async with asyncio.timeout(PATIENCE_S):
            while len(acks) < COUNT:
                await served(publisher)
        assert {decoded("PubAck", ack)["error"] for ack in acks} == {b""}
        assert service.core.state.channels[b"foo"].last == COUNT
        await one.wait_line("The store has caught up")
        await publisher.close()
        await other.close()


async def registered(port: int, client_id: bytes) -> Connection:
    """A connection with a client of this ID."""
    connection = await Connection.open(port)
    connection.listen(client_id + b".hb", lambda reply, _: connection.publish(reply, b""))
    name = client_id.decode()
    request = encoded("ConnectRequest", client_id=name, heartbeat_inbox=f"{name}.hb", connection_id=name, protocol=1)
    answer = await connection.request(b"_STAN.discover.test-cluster", request, b"in." + client_id)
    assert decoded("ConnectResponse", answer)["error"] == b""
    return connection


async def served(connection: Connection) -> None:
    """The server has read what was sent before."""
    done = asyncio.Event()
    connection.ping(done.set)
    connection.flush()
    async with asyncio.timeout(PATIENCE_S):
        await done.wait()
