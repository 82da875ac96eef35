"""A server that keeps what it acknowledged on the disk: stopped, killed, started again, and on a disk that is full."""

import json
import os
import resource
import signal
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.blackbox.stan_client import FIRST, StanClient
from tests.blackbox.test_30_start import get
from tests.server_process import HOST, PATIENCE_S, ServerProcess, failed_start, running_server

ours = pytest.mark.skipif("DURABUS_TEST_SERVER" in os.environ, reason="this is how Durabus differs")
MIB = 1 << 20


@contextmanager
def file_server(directory: Path, *flags: str, port: int = -1) -> Iterator[ServerProcess]:
    """A server that keeps its data in `directory`."""
    with running_server("-store", "FILE", "-dir", str(directory), *flags, port=port) as server:
        yield server


# What is there after a stop.


def test_the_lines_of_a_start(tmp_path: Path) -> None:
    directory = tmp_path / "not" / "there" / "yet"
    for found in ("No recovered state", "Recovered 0 channel(s)"):
        with file_server(directory, "-T=false") as server:
            expected = [
                "[INF] STREAM: Recovering the state...",
                f"[INF] STREAM: {found}",
                "[INF] STREAM: Message store is FILE",
                f"[INF] STREAM: Store location: {directory}",
                "[INF] STREAM: ---------- Store Limits ----------",
            ]
            start = next(i for i, line in enumerate(server.lines) if line.endswith(expected[0]))
            assert [line.split("] ", 1)[1] for line in server.lines[start : start + 5]] == expected
            assert "[INF] STREAM: A message is acknowledged when it is on the disk, synced" in server.log
            assert "[WRN]" not in server.log
            assert "[ERR]" not in server.log


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL])
def test_everything_is_there_again(tmp_path: Path, number: signal.Signals) -> None:
    sent = [b"%d" % i * 100 for i in range(300)]
    with file_server(tmp_path) as server:
        with StanClient(server.port, b"there") as client, StanClient(server.port, b"away") as gone:
            client.connect()
            gone.connect()
            client.publish(b"orders", *sent)
            client.publish(b"other.channel", b"x")
            subscription = gone.subscribe(b"orders", durable=b"position", start=FIRST, max_in_flight=10)
            assert [got.sequence for got in gone.deliveries(10, subscription)] == [*range(1, 11)]
            gone.acknowledge(subscription, 1, 2, 3, 5)
            gone.deliveries(4, subscription)
            assert gone.disconnect() == b""
        assert server.stop(number) == (143 if number == signal.SIGTERM else -signal.SIGKILL)
    with file_server(tmp_path) as server, StanClient(server.port, b"away") as client:
        assert "Recovered 2 channel(s)" in server.log
        client.connect()
        replay = client.subscribe(b"orders", start=FIRST)
        assert [(got.sequence, got.data) for got in client.deliveries(300, replay)] == [*enumerate(sent, 1)]
        resumed = client.subscribe(b"orders", durable=b"position", max_in_flight=10)
        # What it had not acknowledged comes first, then what it had not got.
        assert [got.sequence for got in client.deliveries(10, resumed)] == [4, *range(6, 15)]
        client.publish(b"orders", b"new")
        assert client.delivery(replay).sequence == 301


def test_running_clients_go_on(tmp_path: Path) -> None:
    """The connection comes back, and nothing else is said: neither a registration nor a subscription."""
    with file_server(tmp_path) as server, StanClient(server.port) as client:
        client.connect()
        subscription = client.subscribe(b"orders", max_in_flight=5, ack_wait_s=1)
        group = client.subscribe(b"orders", group=b"g", durable=b"d")
        client.publish(b"orders", b"1", b"2", b"3")
        assert {got.sequence for got in client.deliveries(6)} == {1, 2, 3}
        client.acknowledge(subscription, 1, 3)
        client.acknowledge(group, 1, 2, 3)
        assert client.quiet()
        assert server.stop(signal.SIGTERM) == 143
        with file_server(tmp_path, port=server.port) as successor:
            client.reconnect(successor.port)
            assert client.ping() == b""
            again = client.delivery(subscription)
            assert (again.sequence, again.data, again.redeliveries) == (2, b"2", 1)
            client.acknowledge(subscription, 2)
            client.publish(b"orders", b"4")
            assert sorted(got.sequence for got in client.deliveries(2)) == [4, 4]
            assert client.unsubscribe(group) == b""
            assert client.disconnect() == b""


def test_an_ended_server_has_written_what_it_answered_on_its_way_out(tmp_path: Path) -> None:
    count = 2000
    with file_server(tmp_path) as server, StanClient(server.port) as client:
        client.connect()
        for i in range(count):
            client.send_publish(b"in-flight", b"%d" % i)
        server.process.send_signal(signal.SIGTERM)
        for _ in range(count):
            assert client.receive().subject == client.ack_subject
        assert server.wait_end() == 143
    with file_server(tmp_path) as server, StanClient(server.port) as client:
        replay = client.connect().subscribe(b"in-flight", start=FIRST, max_in_flight=count)
        assert [got.data for got in client.deliveries(count, replay)] == [b"%d" % i for i in range(count)]


def test_limits_hold_for_what_is_there(tmp_path: Path) -> None:
    with file_server(tmp_path) as server, StanClient(server.port) as client:
        client.connect().publish(b"limited", *[b"%d" % i for i in range(1, 11)])
    with file_server(tmp_path, "-mm", "3") as server, StanClient(server.port) as client:
        replay = client.connect().subscribe(b"limited", start=FIRST)
        assert [got.sequence for got in client.deliveries(3, replay)] == [8, 9, 10]


def test_another_cluster_is_refused(tmp_path: Path) -> None:
    with file_server(tmp_path, "-cid", "first"):
        pass
    ended = failed_start("-a", HOST, "-p", "-1", "-store", "FILE", "-dir", str(tmp_path), "-cid", "second")
    assert ended.returncode == 1
    assert 'cluster ID "second" does not match recovered value of "first"' in ended.stderr
    with file_server(tmp_path, "-cid", "first"):
        pass


# Monitoring.


def test_monitoring_names_the_store_and_counts_what_it_holds(tmp_path: Path) -> None:
    seen = []
    for is_first in (True, False):
        with file_server(tmp_path, "-m", "-1") as server:
            if is_first:
                with StanClient(server.port) as client:
                    client.connect().publish(b"counted", b"12345", b"678")
            seen.append(json.loads(get(server.monitor_port, "/streaming/storez")[1]))
            serverz = json.loads(get(server.monitor_port, "/streaming/serverz")[1])
            assert (serverz["state"], serverz["channels"], serverz["total_msgs"]) == ("STANDALONE", 1, 2)
    names = ("type", "total_msgs", "total_bytes", "limits")
    assert [seen[0][name] for name in names] == [seen[1][name] for name in names]
    assert (seen[0]["type"], seen[0]["total_msgs"]) == ("FILE", 2)
    assert seen[0]["total_bytes"] > 8


# Directories that cannot be used.


def the_only_fatal_line(*flags: str) -> str:
    """What a server says that cannot start."""
    ended = failed_start("-a", HOST, "-p", "-1", *flags)
    assert ended.returncode == 1
    said = (ended.stdout + ended.stderr).splitlines()
    assert not [line for line in said if "Traceback" in line or "Streaming Server is ready" in line]
    (fatal,) = [line for line in said if "[FTL]" in line]
    return fatal.partition("[FTL] STREAM: Failed to start: ")[2]


@pytest.mark.row(119)
def test_without_a_directory() -> None:
    assert the_only_fatal_line("-store", "FILE") == "for FILE stores, root directory must be specified"


@ours
def test_a_second_server_is_refused_and_the_first_goes_on(tmp_path: Path) -> None:
    with file_server(tmp_path) as server, StanClient(server.port) as client:
        client.connect().publish(b"mine", b"1")
        reason = the_only_fatal_line("-store", "FILE", "-dir", str(tmp_path), "-cid", "another")
        assert reason.startswith(f"another server uses the directory {tmp_path}: ")
        client.publish(b"mine", b"2")
        assert server.stop(signal.SIGKILL) == -signal.SIGKILL
    with file_server(tmp_path) as server, StanClient(server.port) as client:
        replay = client.connect().subscribe(b"mine", start=FIRST)
        assert [got.data for got in client.deliveries(2, replay)] == [b"1", b"2"]


@pytest.mark.parametrize("below", ["", "data"])
def test_a_directory_that_cannot_be(tmp_path: Path, below: str) -> None:
    """Where a file stands: nobody, not even root, can make a directory there."""
    file = tmp_path / "file"
    file.write_text("a file", encoding="utf-8")
    reason = the_only_fatal_line("-store", "FILE", "-dir", str(file / below))
    assert str(file) in reason
    assert file.read_text(encoding="utf-8") == "a file"


@ours
def test_the_log_file_has_the_reason_too(tmp_path: Path) -> None:
    log, file = tmp_path / "bus.log", tmp_path / "file"
    file.touch()
    reason = the_only_fatal_line("-store", "FILE", "-dir", str(file), "-l", str(log))
    assert log.read_text(encoding="utf-8").splitlines()[-1].endswith(f"[FTL] STREAM: Failed to start: {reason}")


# Flags and keys.


@ours
def test_what_has_no_effect_is_told_once(tmp_path: Path) -> None:
    flags = ["-file_buffer_size", "1KB", "-file_crc=false", "-file_fds_limit", "0", "-file_slice_max_bytes", "1"]
    with file_server(tmp_path, *flags) as server:
        warnings = [line.partition("[WRN] STREAM: ")[2] for line in server.log.splitlines() if "[WRN]" in line]
    assert [warning.partition(":")[0] for warning in warnings] == [
        "-file_buffer_size has no effect here",
        "-file_crc has no effect here",
        "-file_slice_max_bytes is taken as 1048576 bytes, the least that a file can have",
    ]


@ours
def test_a_directory_without_the_store_is_told(tmp_path: Path) -> None:
    with running_server("-dir", str(tmp_path / "unused"), "-file_buffer_size", "1KB") as server:
        (warning,) = [line for line in server.log.splitlines() if "[WRN]" in line and "LOST" not in line]
        assert "-dir has no effect with -st MEMORY" in warning
    assert not (tmp_path / "unused").exists()


@pytest.mark.row(129)
@pytest.mark.parametrize("size", ["0", "2MB"])
@pytest.mark.row(141)
def test_the_size_of_files(tmp_path: Path, size: str) -> None:
    """With 0 the store has its own size, and messages are one after the other in files of whatever size."""
    sent = [b"%d" % i + bytes(500_000) for i in range(8)]
    with file_server(tmp_path, "-file_slice_max_bytes", size) as server, StanClient(server.port) as client:
        client.connect().publish(b"large", *sent)
    segments = [*tmp_path.glob("*.segment")]
    assert len(segments) == 1 if size == "0" else len(segments) > 1
    with file_server(tmp_path) as server, StanClient(server.port) as client:
        replay = client.connect().subscribe(b"large", start=FIRST)
        assert [got.data for got in client.deliveries(8, replay)] == sent


@ours
def test_a_reload_waits_for_a_restart(tmp_path: Path) -> None:
    config = tmp_path / "bus.conf"
    text = 'streaming {{ store: file, dir: "{}/{}", file {{ slice_max_bytes: {} }} }}'
    config.write_text(text.format(tmp_path, "data", "2MB"), encoding="utf-8")
    with running_server("-c", str(config)) as server, StanClient(server.port) as client:
        config.write_text(text.format(tmp_path, "elsewhere", "3MB"), encoding="utf-8")
        server.process.send_signal(signal.SIGHUP)
        line = server.wait_line("Reload: these options change with a restart only: ")
        assert line.endswith("file.directory, file.slice_bytes_max")
        client.connect().publish(b"still.here", b"x")
    assert not (tmp_path / "elsewhere").exists()


# A disk that is full.


def allow_files_of(server: ServerProcess, size_bytes: int) -> None:
    """How large a file of the server may get from now on."""
    hard = resource.prlimit(server.process.pid, resource.RLIMIT_FSIZE)[1]
    resource.prlimit(server.process.pid, resource.RLIMIT_FSIZE, (size_bytes, hard))


@ours
def test_a_full_disk_is_an_error_for_publishers_and_the_server_goes_on_after_it(tmp_path: Path) -> None:
    with file_server(tmp_path) as server, StanClient(server.port) as client:
        client.connect()
        subscription = client.subscribe(b"orders")
        client.publish(b"orders", b"before")
        assert client.delivery(subscription).data == b"before"
        (segment,) = tmp_path.glob("*.segment")
        allow_files_of(server, segment.stat().st_size)
        stored = 0
        while not (error := client.try_publish(b"orders", b"%d" % stored + bytes(100_000))):
            stored += 1
        assert b"too large" in error
        assert 0 < stored < 20
        assert client.try_publish(b"orders", bytes(200_000)) != b"", "it is still full"
        allow_files_of(server, resource.RLIM_INFINITY)
        deadline_s = time.monotonic() + PATIENCE_S
        while client.try_publish(b"orders", b"after"):
            assert time.monotonic() < deadline_s, "it does not go on by itself"
        assert "the store is recovered, serving again" in server.log
        # What had not been acknowledged may come again, but nothing that was refused comes at all.
        sequences = set()
        while (got := client.delivery(subscription)).data != b"after":
            sequences.add(got.sequence)
        assert sequences == {*range(1, stored + 2)}
        assert got.sequence == stored + 2
    with file_server(tmp_path) as server, StanClient(server.port) as client:
        replay = client.connect().subscribe(b"orders", start=FIRST)
        kept = client.deliveries(stored + 2, replay)
        assert [message.sequence for message in kept] == [*range(1, stored + 3)]
        assert (kept[0].data, kept[-1].data) == (b"before", b"after")
