"""Which changes of a cluster of NATS servers are told: servers that join, not those that leave."""

from pathlib import Path

import pytest

from tests.external.harness import LoopFactory, connected, run, settings_for, until
from tests.nats_server import NatsServer, running_nats_server


def joining(first: NatsServer) -> str:
    """The configuration of a server that joins `first`."""
    port = first.wait_line("Listening for route connections on").rpartition(":")[2]
    return f'cluster {{ name: a, listen: "127.0.0.1:-1", routes: ["nats-route://127.0.0.1:{port}"] }}'


@pytest.mark.row(162)
def test_servers_that_join_are_told_of(tmp_path: Path, make_loop: LoopFactory) -> None:
    async def scenario() -> None:
        async with connected(settings_for(first.url)) as one:
            told: list[bool] = []
            one.uplink.on_new_servers = lambda: told.append(one.is_in_turn)
            second.start()
            await until(lambda: len(told) == 1, "word of the second server")
            third.start()
            await until(lambda: len(told) == 2, "word of the third server")
            info = one.bus.info
            second.stop()
            await until(lambda: one.bus.info is not info, "word of the one that left")
            second.start()
            await until(lambda: len(told) == 3, "word of its return")
            assert told == [True] * 3, "in a turn, and only of those that came"
            assert one.changes == []

    with running_nats_server(tmp_path, 'cluster { name: a, listen: "127.0.0.1:-1" }') as first:
        second, third = NatsServer(tmp_path, joining(first)), NatsServer(tmp_path, joining(first))
        try:
            run(make_loop, scenario())
        finally:
            second.kill()
            third.kill()


def test_nobody_needs_to_be_told(tmp_path: Path, make_loop: LoopFactory) -> None:
    async def scenario() -> None:
        async with connected(settings_for(first.url)) as one:
            second.start()
            await until(lambda: str(second.port).encode() in one.bus.info, "word of the second server")
            assert one.changes == [] and one.lines == []

    with running_nats_server(tmp_path, 'cluster { name: a, listen: "127.0.0.1:-1" }') as first:
        second = NatsServer(tmp_path, joining(first))
        try:
            run(make_loop, scenario())
        finally:
            second.kill()
