"""A server whose disk fails under it: writes that fail and work again, and a failed fsync, after which nothing is certain."""

import os
import shlex
import signal
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.blackbox.stan_client import FIRST, StanClient, read_fields
from tests.server_process import PATIENCE_S, ServerProcess, running_server

pytestmark = pytest.mark.skipif("DURABUS_TEST_SERVER" in os.environ, reason="the calls of this server are made to fail")

Fault = Callable[[str], None]


@pytest.fixture
def fault(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Fault:
    """Says how the disk of the servers of this test fails from now on; empty: not at all."""
    control = tmp_path / "fault"
    command = [sys.executable, "-m", "tests.blackbox.faulty_disk", str(control), "serve"]
    monkeypatch.setenv("DURABUS_TEST_SERVER", shlex.join(command))

    def tell(words: str) -> None:
        coming = tmp_path / "fault.new"
        coming.write_text(words, encoding="ascii")
        coming.rename(control)

    return tell


def flags_of(tmp_path: Path) -> tuple[str, ...]:
    """Of a server on this disk."""
    return ("-store", "FILE", "-dir", str(tmp_path / "data"))


def burst(client: StanClient, first: int, count: int) -> list[int]:
    """Publish `count` messages, all before the first answer; those that were acknowledged. The others were told an error."""
    for i in range(first, first + count):
        client.send_publish(b"orders", b"%d" % i)
    acknowledged: list[int] = []
    for i in range(first, first + count):
        while (message := client.receive()).subject != client.ack_subject:
            pass
        if not read_fields(message.payload).text(2):
            acknowledged.append(i)
    return acknowledged


def kept(server: ServerProcess) -> list[int]:
    """What is in the channel, in order; its sequences have no gap."""
    with StanClient(server.port, b"reader") as client:
        client.connect()
        client.publish(b"orders", b"end")
        replay = client.subscribe(b"orders", start=FIRST)
        found = [client.delivery(replay)]
        while found[-1].data != b"end":
            found.append(client.delivery(replay))
        assert [one.sequence for one in found] == [*range(1, len(found) + 1)]
        return [int(one.data) for one in found if one.data != b"end"]


@pytest.mark.parametrize(("error", "words"), [("EIO", b"put/output error"), ("ENOSPC", b"o space left on device")])
def test_writes_that_fail_and_work_again(tmp_path: Path, fault: Fault, error: str, words: bytes) -> None:
    with running_server(*flags_of(tmp_path)) as server, StanClient(server.port) as client:
        client.connect()
        acknowledged = burst(client, 0, 100)
        assert len(acknowledged) == 100
        fault(f"write {error}")
        assert words in client.try_publish(b"orders", b"100")
        assert burst(client, 101, 50) == [], "nothing is acknowledged that is not there"
        fault("")
        deadline_s = time.monotonic() + PATIENCE_S
        while client.try_publish(b"orders", b"200"):
            assert time.monotonic() < deadline_s, "it does not go on by itself"
        assert "the store is recovered, serving again" in server.log
        acknowledged += [200, *burst(client, 201, 50)]
        assert len(acknowledged) == 151
        # A refused message may be there if nobody could find out; it never is in the place of another one.
        found = kept(server)
        assert [number for number in found if number in acknowledged] == acknowledged
        server.kill()
    with running_server(*flags_of(tmp_path)) as server:
        assert [number for number in kept(server) if number in acknowledged] == acknowledged


@pytest.mark.parametrize("end", [None, signal.SIGKILL])
def test_after_a_failed_sync_the_server_stops_and_what_it_acknowledged_is_there(
    tmp_path: Path, fault: Fault, end: signal.Signals | None
) -> None:
    acknowledged: list[int] = []
    with running_server(*flags_of(tmp_path)) as server, StanClient(server.port) as client:
        client.connect()
        acknowledged += burst(client, 0, 100)
        fault("sync EIO")
        assert b"put/output error" in client.try_publish(b"orders", b"100")
        if end is not None:
            server.process.send_signal(end)
        code = server.wait_end()
        assert code == (1 if end is None else -signal.SIGKILL)
        if end is None:
            fatal = [line for line in server.lines if "[FTL]" in line]
            assert len(fatal) == 1
            assert "sync" in fatal[0]
    # It is not asked again whether it is synced: what was not known to be so is written once more.
    fault("")
    with running_server(*flags_of(tmp_path)) as server, StanClient(server.port) as client:
        client.connect()
        acknowledged += burst(client, 200, 10)
        assert [number for number in kept(server) if number in acknowledged] == acknowledged


def test_a_disk_that_does_not_work_at_a_start_is_a_start_that_fails(tmp_path: Path, fault: Fault) -> None:
    fault("sync EIO")
    server = ServerProcess(*flags_of(tmp_path))
    try:
        assert server.wait_end() == 1
    finally:
        server.process.kill()
        server.wait_end()
    assert "nput/output error" in server.log
    assert "Traceback" not in server.log
