"""What lies in the directory of the FILE store, and what a server makes of it when something happens to it.

Each test has a copy of one directory that a server filled. What the journal does at each of its bytes is tested with the
journal itself (tests/stores/file); here it is what operators and clients see.
"""

import contextlib
import itertools
import os
import shutil
import signal
import struct
import time
import zlib
from collections.abc import Callable
from pathlib import Path

import pytest

from durabus.streaming.store_port import KIND_CLIENT, KIND_SUBSCRIPTION
from tests.blackbox.durable_stores import Place
from tests.blackbox.stan_client import FIRST, StanClient
from tests.server_process import HOST, PATIENCE_S, ServerProcess, failed_start

pytestmark = pytest.mark.skipif("DURABUS_TEST_SERVER" in os.environ, reason="the original has other files")

MIB = 1 << 20
SMALL_FILES = ("-file_slice_max_bytes", "1MB")
COUNT = 16
"""Messages of the large channel: two or three to a file."""


def large(sequence: int) -> bytes:
    """The message of that number in the channel `large`; no two parts of a file are alike."""
    return b"".join(b"%06d of %03d;" % (i, sequence) for i in range(25_000))


@pytest.fixture(scope="module")
def template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A directory with full files and one that is not, written by a server that was killed."""
    directory = tmp_path_factory.mktemp("filled") / "data"
    with Place("file", str(directory)).server(*SMALL_FILES) as server, StanClient(server.port, b"me") as client:
        client.connect()
        subscription = client.subscribe(b"small", durable=b"d", max_in_flight=2, ack_wait_s=600)
        for sequence in range(1, COUNT + 1):
            client.publish(b"large", large(sequence))
            client.publish(b"small", b"%d" % sequence)
        assert [got.sequence for got in client.deliveries(2, subscription)] == [1, 2]
        server.kill()
    assert len([*directory.glob("*.segment")]) > 4
    return directory


@pytest.fixture
def place(template: Path, tmp_path: Path) -> Place:
    """A copy of it."""
    directory = tmp_path / "data"
    shutil.copytree(template, directory)
    return Place("file", str(directory))


def files(place: Place, ending: str) -> list[Path]:
    """Those of one kind, in the order of their numbers."""
    return sorted(Path(place.path).glob(f"*.{ending}"))


def size_bytes(place: Place) -> int:
    """How much the directory takes."""
    total = 0
    for path in Path(place.path).iterdir():
        with contextlib.suppress(FileNotFoundError):  # renamed meanwhile
            total += path.stat().st_blocks * 512
    return total


def until(holds: str, condition: Callable[[], bool]) -> None:
    """Ask again until it holds, which is soon."""
    deadline = time.monotonic() + PATIENCE_S
    while not condition():
        assert time.monotonic() < deadline, f"never: {holds}"
        time.sleep(0.02)


_ends = itertools.count()


def everything(server: ServerProcess) -> tuple[list[int], list[int]]:
    """The numbers of the messages that are there, in both channels, each as it was sent; and publishing goes on behind them."""
    found: list[list[int]] = []
    with StanClient(server.port) as client:
        client.connect()
        for channel, expected in ((b"large", large), (b"small", lambda sequence: b"%d" % sequence)):
            subscription = client.subscribe(channel, start=FIRST)
            end = b"end %d" % next(_ends)
            client.publish(channel, end)
            seen: list[int] = []
            kept: list[int] = []
            while (got := client.delivery(subscription)).data != end:
                seen.append(got.sequence)
                if not got.data.startswith(b"end "):
                    assert got.data == expected(got.sequence)
                    kept.append(got.sequence)
            seen.append(got.sequence)
            assert seen == sorted({*seen})
            found.append(kept)
            assert client.unsubscribe(subscription) == b""
        assert client.disconnect() == b""
    return found[0], found[1]


ALL = [*range(1, COUNT + 1)]


def change_byte(path: Path, offset: int) -> None:
    """Let the disk have forgotten one bit."""
    with path.open("r+b") as file:
        file.seek(offset)
        byte = file.read(1)[0]
        file.seek(offset)
        file.write(bytes([byte ^ 16]))


# Row 140: records.


def test_nothing_happens_to_what_is_left_alone(place: Place) -> None:
    with place.server(*SMALL_FILES) as server:
        assert everything(server) == (ALL, ALL)
        assert "[ERR]" not in server.log
        assert "[WRN]" not in server.log


@pytest.mark.row(140)
@pytest.mark.parametrize("sequence", [2, COUNT])
def test_a_message_with_a_wrong_checksum(place: Place, sequence: int) -> None:
    """It is named, and nobody gets it or waits for it."""
    needle = large(sequence)[100_000:100_020]
    (path,) = [path for path in files(place, "segment") if needle in path.read_bytes()]
    change_byte(path, path.read_bytes().index(needle))
    with place.server(*SMALL_FILES) as server:
        others = [number for number in ALL if number != sequence]
        assert everything(server) == (others, ALL)
        if sequence < COUNT:  # the last of all was perhaps not written to its end
            assert "[ERR]" in server.wait_line("damaged")
        assert everything(server) == (others, ALL)


@pytest.mark.row(140, 147)
@pytest.mark.parametrize("cut_bytes", [1, 8, 64, 1000, 200_000])
def test_a_record_that_is_not_there_to_its_end(place: Place, cut_bytes: int) -> None:
    """A start needs no help, and neither does the next one; what is lost is at the end."""
    path = files(place, "segment")[-1]
    data = path.read_bytes().rstrip(b"\0")
    os.truncate(path, len(data) - cut_bytes)
    found: list[tuple[list[int], list[int]]] = []
    for _ in range(3):
        with place.server(*SMALL_FILES) as server:
            found.append(everything(server))
            server.kill()
    for sequences in found[0]:
        assert sequences == ALL[: len(sequences)]
        assert len(sequences) >= COUNT - 2
    assert found == [found[0]] * 3


@pytest.mark.row(140)
@pytest.mark.parametrize("zeros", [1, 4096, 3 * MIB])
def test_zeros_behind_the_end(place: Place, zeros: int) -> None:
    for path in files(place, "segment"):
        with path.open("ab") as file:
            file.write(bytes(zeros))
    for _ in range(2):
        with place.server(*SMALL_FILES) as server:
            assert everything(server) == (ALL, ALL)
            server.kill()


@pytest.mark.row(140)
def test_a_later_version_is_not_guessed_at(place: Place) -> None:
    for ending in ("segment", "head"):
        for path in files(place, ending):
            start = path.read_bytes().index(b"DURABUS\n")
            header = bytearray(path.read_bytes()[start : start + 60])
            header[8:12] = struct.pack("<I", 2)
            with path.open("r+b") as file:
                file.seek(start)
                file.write(header + struct.pack("<I", zlib.crc32(header)))
    before = {path.name: path.read_bytes() for path in files(place, "segment")}
    ended = failed_start("-a", HOST, "-p", "-1", *place.flags)
    assert ended.returncode == 1
    assert "version 2" in ended.stderr
    assert {path.name: path.read_bytes() for path in files(place, "segment")} == before


# Rows 141 and 142: files and their indexes.


@pytest.mark.row(141)
def test_a_file_that_is_gone(place: Place) -> None:
    """Its messages are left out at their own numbers, and named; those before and behind it are served."""
    path = files(place, "segment")[2]
    data = path.read_bytes()
    lost = [sequence for sequence in ALL if large(sequence)[50_000:50_020] in data]
    assert 1 < min(lost) <= max(lost) < COUNT
    path.unlink()
    with place.server(*SMALL_FILES) as server:
        large_ones, small_ones = everything(server)
        assert large_ones == [sequence for sequence in ALL if sequence not in lost]
        assert small_ones[0] == 1
        assert small_ones[-1] == COUNT
        said = "\n".join(line for line in server.lines if "[ERR]" in line)
        assert f"messages {min(lost)} to {max(lost)} of channel " in said


@pytest.mark.row(141)
def test_files_are_found_in_any_order_and_other_files_are_left_alone(place: Place, tmp_path: Path) -> None:
    directory, moved = Path(place.path), tmp_path / "moved"
    moved.mkdir()
    for path in sorted(directory.iterdir(), reverse=True):
        shutil.move(path, moved / path.name)
    (moved / "notes.txt").write_text("mine", encoding="utf-8")
    (moved / "a.channel").mkdir()
    with Place("file", str(moved)).server(*SMALL_FILES) as server:
        assert everything(server) == (ALL, ALL)
    assert (moved / "notes.txt").read_text(encoding="utf-8") == "mine"
    assert [*(moved / "a.channel").iterdir()] == []


def remove(index: Path, others: list[Path]) -> None:
    index.unlink()


def empty(index: Path, others: list[Path]) -> None:
    index.write_bytes(b"")


def exchange(index: Path, others: list[Path]) -> None:
    shutil.copyfile(others[others.index(index) - 1], index)


def pad(index: Path, others: list[Path]) -> None:
    with index.open("ab") as file:
        file.write(bytes(4096))


def cut(index: Path, others: list[Path]) -> None:
    os.truncate(index, index.stat().st_size - 1)


def damage(index: Path, others: list[Path]) -> None:
    change_byte(index, index.stat().st_size - 20)


def misdirect(index: Path, others: list[Path]) -> None:
    change_byte(index, 64 + 24)  # the first sequence of the first channel


@pytest.mark.row(142)
@pytest.mark.parametrize("spoil", [remove, empty, exchange, pad, cut, damage, misdirect])
def test_indexes_that_do_not_fit_are_made_again(place: Place, spoil: Callable[[Path, list[Path]], None]) -> None:
    indexes = files(place, "index")
    before = {path.name: path.read_bytes() for path in indexes}
    assert len(indexes) > 3
    for index in indexes:
        if index.exists():
            spoil(index, indexes)
    with place.server(*SMALL_FILES) as server:
        assert everything(server) == (ALL, ALL)
        errors = [line for line in server.lines if "[ERR]" in line]
        assert all("is damaged: it is made again from its segment" in line for line in errors)
        server.stop(signal.SIGTERM)
    if spoil is not pad:
        assert {path.name: path.read_bytes() for path in files(place, "index") if path.name in before} == before
    with place.server(*SMALL_FILES) as server:
        assert everything(server) == (ALL, ALL)


# Rows 143 and 144: state.


@pytest.mark.row(143, 144)
def test_what_came_and_went_takes_no_space(place: Place) -> None:
    """Clients and subscriptions by the dozen, with long names: records of all of them would fill ten files."""
    name = b"n" * 50_000
    with place.server(*SMALL_FILES) as server, StanClient(server.port) as client:
        client.connect()
        for number in range(60):
            subscription = client.subscribe(b"small", durable=b"%d-%b" % (number, name), start=FIRST)
            client.deliveries(COUNT, subscription)
            client.acknowledge(subscription, *ALL)
            if number == 0:  # of who goes and comes back, the position is stored
                assert client.close_subscription(subscription) == b""
                subscription = client.subscribe(b"small", durable=b"0-%b" % name)
            assert client.unsubscribe(subscription) == b""
            with StanClient(server.port) as another:
                another.heartbeat_inbox = b"_INBOX." + name
                another.connect()
                assert another.disconnect() == b""
        kept = client.subscribe(b"small", durable=b"kept", start=FIRST)
        client.acknowledge(kept, *[got.sequence for got in client.deliveries(COUNT, kept)][:-3])
        # All but the messages, which take seven files, a spare, and the file that is written to, has gone.
        until("the space is free", lambda: size_bytes(place) < 11 * MIB)
        assert server.stop(signal.SIGTERM) == 143
    recovered = place.look()
    assert sorted(key for kind, key, _ in recovered.state if kind == KIND_CLIENT) == sorted([b"me", client.client_id])
    assert len([key for kind, key, _ in recovered.state if kind == KIND_SUBSCRIPTION]) == 2
    numbers = {b"%d" % cursor.subscription_id for cursor in recovered.cursors}
    assert numbers <= {key for kind, key, _ in recovered.state if kind == KIND_SUBSCRIPTION}
    assert recovered.cursors[-1].pending == [(COUNT - 2, COUNT)]
    assert sum(len(value) for _, _, value in recovered.state) < 2000


@pytest.mark.row(144)
def test_records_of_clients_and_of_the_server_that_cannot_be_read(place: Place) -> None:
    unreadable = b"\x0a\x7f"
    place.change([(KIND_CLIENT, b"zombie", unreadable), (0, b"server", unreadable)])
    for _ in range(2):
        with place.server(*SMALL_FILES) as server, StanClient(server.port) as client:
            assert "a client record is unreadable, it is left alone" in server.log
            assert "the server's record is unreadable, it is left alone" in server.log
            client.connect()
            assert client.disconnect() == b""
            assert server.stop(signal.SIGTERM) == 143
    state = {(kind, key): value for kind, key, value in place.look().state}
    assert state[KIND_CLIENT, b"zombie"] == state[0, b"server"] == unreadable


# Rows 145 to 150.


@pytest.mark.row(145)
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL])
def test_what_a_limit_removes_before_it_is_written(place: Place, number: signal.Signals) -> None:
    """A burst that is stored in one go, of which all but one is too many at once; the original's buffer makes no difference."""
    flags = (*SMALL_FILES, "-mm", "1", "-file_buffer_size", "0", "-file_read_buffer_size", "0")
    with place.server(*flags) as server, StanClient(server.port) as client:
        client.connect()
        burst = []
        for sequence in range(1, 301):
            payload = client.publish_payload(b"burst", b"%d" % sequence)
            subject = client.registered.text(1) + b".burst"
            burst.append(b"PUB %b %b %d\r\n%b\r\n" % (subject, client.ack_subject, len(payload), payload))
        client.wire.send(b"".join(burst))
        for _ in burst:
            message = client.receive()
            assert message.subject == client.ack_subject
            assert len(message.payload) < 60, "no error"
        server.stop(number)
    # Without the limit: what was removed stays so.
    with place.server(*SMALL_FILES) as server, StanClient(server.port) as client:
        subscription = client.connect().subscribe(b"burst", start=FIRST)
        got = client.delivery(subscription)
        assert (got.sequence, got.data) == (300, b"300")
        client.publish(b"burst", b"301")
        assert client.delivery(subscription).sequence == 301


@pytest.mark.row(146)
def test_few_files_are_open_however_many_channels_there_are(place: Place) -> None:
    flags = (*SMALL_FILES, "-mc", "0", "-file_fds_limit", "5", "-file_parallel_recovery", "4")
    channels = [b"channel.%d" % i for i in range(300)]
    with place.server(*flags) as server, StanClient(server.port) as client:
        client.connect()
        for channel in channels:
            client.publish(channel, b"x")
        server.kill()
    with place.server(*flags) as server, StanClient(server.port) as client:
        assert "Recovered 302 channel(s)" in server.log
        client.connect()
        for channel in channels:
            subscription = client.subscribe(channel, start=FIRST)
            assert client.delivery(subscription).sequence == 1
        links = [path.readlink() for path in Path(f"/proc/{server.process.pid}/fd").iterdir()]
        assert 0 < len([link for link in links if link.is_relative_to(place.path)]) < 20


@pytest.mark.row(149)
@pytest.mark.parametrize("flags", [("-ma", "1s"), ("-mi", "1s"), ("-mb", "100KB")])
def test_what_is_removed_is_given_back_to_the_disk(place: Place, flags: tuple[str, str]) -> None:
    """By age, with its channel, or by a limit that is smaller now: what stays is the file that is written to, and a spare."""
    assert size_bytes(place) > 5 * MIB
    with place.server(*SMALL_FILES, *flags) as server, StanClient(server.port, b"me") as client:
        client.connect()
        if flags[0] == "-mi":
            server.wait_line('Channel "large" has been deleted')
        # The file that is written to cannot go: more is written until it is another one.
        numbers = itertools.count()

        def is_free() -> bool:
            if client.try_publish(b"more", bytes(100_000)):
                raise AssertionError
            return size_bytes(place) < 4 * MIB and next(numbers) > 15

        until("the space is free", is_free)
        server.kill()
    with place.server(*SMALL_FILES) as server:
        large_ones, _ = everything(server)
        assert large_ones == ([COUNT] if flags[0] == "-mb" else [])


@pytest.mark.row(150)
def test_who_comes_second_is_told_who_has_the_directory(place: Place) -> None:
    with place.server(*SMALL_FILES) as server:
        before = sorted(path.name for path in Path(place.path).iterdir())
        ended = failed_start("-a", HOST, "-p", "-1", *place.flags, "-cid", "another")
        assert ended.returncode == 1
        assert f"another server uses the directory {place.path}" in ended.stderr
        assert sorted(path.name for path in Path(place.path).iterdir()) == before
        assert everything(server) == (ALL, ALL)
        server.kill()
    with place.server(*SMALL_FILES) as server:  # the lock of who was killed is nobody's
        assert everything(server) == (ALL, ALL)


@pytest.mark.row(150)
def test_a_directory_that_cannot_be_locked(place: Place) -> None:
    lock = Path(place.path) / "durabus.lock"
    lock.unlink()
    lock.mkdir()
    ended = failed_start("-a", HOST, "-p", "-1", *place.flags)
    assert ended.returncode == 1
    (fatal,) = [line for line in ended.stderr.splitlines() if "[FTL]" in line]
    assert place.path in fatal
    assert lock.name in fatal
