"""A server started on the directory of a NATS Streaming Server goes on where that stopped; the files stay as they were."""

import base64
import contextlib
import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.blackbox.stan_client import FIRST, StanClient
from tests.blackbox.test_30_start import get
from tests.server_process import HOST, ServerProcess, failed_start, running_server
from tests.stores.original_file.original_writer import OriginalDirectory
from tests.stores.original_file.reading_steps import checksums_of
from tests.stores.original_file.recording import Recording, recorded

pytestmark = pytest.mark.skipif("DURABUS_TEST_SERVER" in os.environ, reason="the original has nothing to take over")

RECORDINGS = recorded()
TAKING = "it is taken over before anything is served"
WARNINGS = ("[WRN]", "[ERR]")


@contextlib.contextmanager
def file_server(directory: Path, *flags: str) -> Iterator[ServerProcess]:
    """A server that keeps its data in `directory`."""
    with running_server("-store", "FILE", "-dir", str(directory), *flags) as server:
        yield server


def refusal(directory: Path, *flags: str) -> str:
    """Why a server does not start."""
    ended = failed_start("-a", HOST, "-p", "-1", "-store", "FILE", "-dir", str(directory), *flags)
    assert ended.returncode == 1
    assert "Traceback" not in ended.stdout + ended.stderr
    (fatal,) = [line for line in (ended.stdout + ended.stderr).splitlines() if "[FTL]" in line]
    return fatal.partition("[FTL] STREAM: Failed to start: ")[2]


def subscription_of(server: ServerProcess, channel: str, client: str, durable: str) -> dict[str, object]:
    """What monitoring says of a subscription."""
    told = json.loads(get(server.monitor_port, f"/streaming/channelsz?channel={channel}&subs=1")[1])
    (found,) = [
        one for one in told["subscriptions"] if (one["client_id"], one.get("durable_name", "")) == (client, durable)
    ]
    return {str(key): value for key, value in found.items()}


def check_everything(server: ServerProcess, recording: Recording) -> None:
    """Channels, messages, clients and subscriptions are what the original said of them."""
    clients = json.loads(get(server.monitor_port, "/streaming/clientsz")[1])["clients"]
    assert sorted(one["id"] for one in clients) == recording.clients
    told = json.loads(get(server.monitor_port, "/streaming/channelsz?subs=1")[1])["channels"]
    assert sorted(one["name"] for one in told) == sorted(recording.channels)
    for channel in told:
        expected = recording.channels[channel["name"]]
        assert (channel["first_seq"], channel["last_seq"]) == (expected["first"], expected["last"])
        found = {
            (one["client_id"], one.get("queue_name", ""), one.get("durable_name", "")): one["is_offline"]
            for one in channel["subscriptions"]
        }
        assert found == {tuple(one[:3]): one[3] for one in expected["subscriptions"]}
    with StanClient(server.port) as reader:
        reader.connect()
        for name, expected in recording.channels.items():
            subscription = reader.subscribe(name.encode(), start=FIRST)
            got = reader.deliveries(len(expected["messages"]), subscription)
            assert [one.sequence for one in got] == [*range(expected["first"], expected["last"] + 1)][: len(got)]
            assert [one.data for one in got] == [base64.b64decode(data) for data, _ in expected["messages"]]
        assert reader.disconnect() == b""


@pytest.mark.parametrize("name", RECORDINGS)
def test_what_the_original_wrote_goes_on_here(tmp_path: Path, name: str) -> None:
    """A durable of a client that is away, one of a client that comes back, and a group: each gets what it lacks."""
    recording = RECORDINGS[name]
    folder = recording.write(tmp_path / "data")
    flags = ["-m", "-1", *recording.flags]
    with file_server(folder, *flags) as server:
        assert TAKING in server.log
        assert "3 channels, 15 messages, 4 clients and 7 subscriptions taken over" in server.log
        assert not [line for line in server.lines if "[ERR]" in line]
        check_everything(server, recording)
        assert subscription_of(server, "orders", "bob", "audit")["pending_count"] == 3
        with StanClient(server.port, b"dave") as dave, StanClient(server.port, b"bob") as bob:
            dave.connect()
            resumed = dave.subscribe(b"orders", durable=b"audit", max_in_flight=5)
            assert [got.sequence for got in dave.deliveries(5, resumed)][:5] == [6, 7, 8, 9, 10]
            bob.connect()
            resumed = bob.subscribe(b"orders", durable=b"audit", max_in_flight=3)
            assert [got.sequence for got in bob.deliveries(3, resumed)] == [6, 8, 9]
            bob.acknowledge(resumed, 6, 8, 9)
            assert [got.sequence for got in bob.deliveries(3, resumed)] == [10, 11, 12]
            bob.publish(b"orders", b"the next one")
            assert bob.disconnect() == b""
    assert checksums_of(folder) == recording.files
    with file_server(folder, *flags) as server:
        assert TAKING not in server.log
        assert "were taken over before, and are not needed any more" in server.log
        with StanClient(server.port, b"bob") as bob:
            bob.connect()
            resumed = bob.subscribe(b"orders", durable=b"audit")
            got = bob.deliveries(8, resumed)
            assert [one.sequence for one in got] == [10, 11, 12, 13, 14, 15, 16, 17]
            assert got[-1].data == b"the next one"
    assert checksums_of(folder) == recording.files


def test_a_client_that_was_connected_to_the_original_just_goes_on(tmp_path: Path) -> None:
    """Its library connects again and says nothing: the same inboxes, the same subjects."""
    recording = RECORDINGS["plain"]
    folder = recording.write(tmp_path / "data")
    subscriptions = recording.files["orders/subs.dat"]
    at = subscriptions.index(b"bob")
    inbox = subscriptions[subscriptions.index(b"_INBOX", at) :].split(b"*\x1d")[0]
    with file_server(folder, "-m", "-1") as server, StanClient(server.port, b"bob") as bob:
        bob.listen(inbox)
        bob.listen(inbox.split(b".subscription")[0] + b".heartbeat")
        # What it had not acknowledged comes again, as its time has come long ago.
        assert [got.sequence for got in bob.deliveries(3)] == [6, 8, 9]


# Changes.


def original_in(folder: Path, count: int = 10) -> OriginalDirectory:
    original = OriginalDirectory(folder)
    orders = original.channel("orders")
    orders.publish(*[b"%d" % i * 100 for i in range(count)])
    orders.new(1, client="me", durable="d")
    orders.sent(1, 1, 2)
    original.write()
    return original


def test_a_start_of_the_original_in_between_is_refused_and_told(tmp_path: Path) -> None:
    original = original_in(tmp_path / "data")
    with file_server(original.folder):
        pass
    path = original.folder / "orders" / "msgs.1.dat"
    before = path.read_bytes()
    written_ns = path.stat().st_mtime_ns
    path.write_bytes(before + b"more")
    for _ in range(2):
        reason = refusal(original.folder)
        assert reason.startswith(
            f"the files of NATS Streaming Server in {original.folder} changed after they were taken"
        )
        assert f"orders/msgs.1.dat has {len(before) + 4} bytes instead of {len(before)}" in reason
    path.write_bytes(before)
    os.utime(path, ns=(written_ns, written_ns))
    with file_server(original.folder), contextlib.suppress(FileNotFoundError):
        for name in checksums_of(original.folder):
            (original.folder / name).unlink()
    with file_server(original.folder) as server, StanClient(server.port) as client:
        replay = client.connect().subscribe(b"orders", start=FIRST)
        assert len(client.deliveries(10, replay)) == 10


def test_another_cluster_is_refused(tmp_path: Path) -> None:
    original = original_in(tmp_path / "data")
    words = 'cluster ID "mine" does not match recovered value of "test-cluster"'
    assert refusal(original.folder, "-cid", "mine") == words
    assert sorted(path.name for path in original.folder.glob("durabus-original*")) == []


def test_another_polynomial_is_named(tmp_path: Path) -> None:
    folder = RECORDINGS["another polynomial"].write(tmp_path / "data")
    assert refusal(folder).endswith(": say -file_crc_poly 2197175160")


def test_an_original_of_a_group_is_kept_out(tmp_path: Path) -> None:
    original = original_in(tmp_path / "data")
    lock = original.folder / ".rootdir.lck"
    code = "import fcntl, sys; f = open(sys.argv[1], 'w'); fcntl.lockf(f, fcntl.LOCK_EX | fcntl.LOCK_NB)"
    command = [sys.executable, "-c", f"{code}; print('locked', flush=True); sys.stdin.read()", str(lock)]
    with file_server(original.folder):
        ended = subprocess.run(command, input="", capture_output=True, text=True, timeout=20, check=False)
        assert "BlockingIOError" in ended.stderr
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as other:
        assert other.stdin is not None and other.stdout is not None
        assert other.stdout.readline() == b"locked\n"
        assert f"a NATS Streaming Server of a group (process {other.pid}) is at work" in refusal(original.folder)
        other.stdin.close()


# Damage, and ends on the way.


def test_damage_is_in_the_log_and_the_rest_is_served(tmp_path: Path) -> None:
    original = original_in(tmp_path / "data")
    part = original.channel("orders").slice(1)
    part.data[part.offsets[4] + 50] ^= 1
    (original.folder / "orders" / "msgs.1.dat").write_bytes(part.data[:-7])
    (original.folder / "server.dat").unlink()
    with file_server(original.folder) as server, StanClient(server.port) as client:
        errors = [line.partition("[ERR] STREAM: in the data of NATS Streaming Server: ")[2] for line in server.lines]
        assert [error.partition(" (")[0] for error in errors if error] == [
            "server.dat is not there, so nothing says whose store this is",
            'channel "orders": message 5 is damaged',
            'channel "orders": message 10 is damaged',
        ]
        replay = client.connect().subscribe(b"orders", start=FIRST)
        assert [got.sequence for got in client.deliveries(8, replay)] == [1, 2, 3, 4, 6, 7, 8, 9]
        client.publish(b"orders", b"new")
        assert client.delivery(replay).sequence == 11
    lines = (original.folder / "durabus-quarantine.jsonl").read_text(encoding="ascii").splitlines()
    assert [json.loads(line)["first"] for line in lines] == [5, 10]


def test_a_server_that_is_killed_while_it_takes_over(tmp_path: Path) -> None:
    """The next start ends with all of it, and nothing twice."""
    count = 4000
    original = original_in(tmp_path / "data", count)
    flags = ("-store", "FILE", "-dir", str(original.folder))
    for line in (TAKING, " MB found", " MB found", "channels, 4,000 messages"):
        server = ServerProcess(*flags)
        server.wait_line(line)
        server.process.send_signal(signal.SIGKILL)
        server.wait_end()
    with file_server(original.folder) as server, StanClient(server.port) as client:
        replay = client.connect().subscribe(b"orders", start=FIRST, max_in_flight=count)
        got = client.deliveries(count, replay)
        assert [(one.sequence, one.data) for one in got] == [(i + 1, b"%d" % i * 100) for i in range(count)]
        assert client.quiet()


def test_of_a_group_one_takes_over(tmp_path: Path) -> None:
    original = original_in(tmp_path / "data")
    with file_server(original.folder, "-ft_group", "g") as server:
        assert TAKING in server.log
        other = ServerProcess("-store", "FILE", "-dir", str(original.folder), "-ft_group", "g")
        other.wait_line("Listening for client connections")
        server.stop(signal.SIGTERM)
        other.wait_ready()
        assert TAKING not in other.log
        assert "were taken over before" in other.log
        with StanClient(other.port) as client:
            replay = client.connect().subscribe(b"orders", start=FIRST)
            assert [got.sequence for got in client.deliveries(10, replay)] == [*range(1, 11)]
        other.stop()
