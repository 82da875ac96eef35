"""The benchmark's own arithmetic, and one small run of its generator against its sink."""

from __future__ import annotations

import dataclasses
import random
import sqlite3
from contextlib import closing
from typing import TYPE_CHECKING, NamedTuple

import pytest

from benchmarks import counting, frames, report, scenarios, servers
from benchmarks.databases import DatabaseServer
from benchmarks.generator import Measurement, percentile
from benchmarks.workloads import CHANNEL, WORKLOADS, BenchmarkError

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

GUID = "publisher0xxxxxx"
STAMP = frames.field(5, 1_700_000_000_000_000_000)


def message(subject: str, identifier: str, payload: bytes, reply: str = "") -> bytes:
    return b"MSG" + frames.publish(f"{subject} {identifier}", reply, payload)[3:]


def publish_acknowledgement(index: int, error: str = "") -> bytes:
    guid = GUID.encode() + frames.mark(index % frames.RING)
    return message("acks", "1", frames.field(1, guid) + frames.field(2, error))


def delivery(sequence: int, redelivered: int = 0) -> bytes:
    payload = frames.field(1, sequence) + frames.field(2, CHANNEL) + frames.field(4, b"x\r\nMSG" * 20)
    return message("inbox", "1", payload + STAMP + frames.field(6, redelivered))


def plain_delivery(index: int) -> bytes:
    return message("foo", "1", frames.mark(index % frames.RING) + b"x" * 122)


def jetstream_acknowledgement(sequence: int) -> bytes:
    return message("acks", "1 ", b'{"stream":"S", "seq":%d}' % sequence)


def jetstream_delivery(sequence: int, pending: int = 7) -> bytes:
    reply = f"$JS.ACK.S.C0.1.{sequence}.{sequence}.1700000000000000000.{pending * sequence % 1000}"
    return message("foo", "1", b"x" * 128, reply)


class Stream(NamedTuple):
    """What one kind of server sends to one subscription, and the counter for it."""

    counter: Callable[[], counting.Counter]
    good: Callable[[int], bytes]
    """The message with this index."""
    first: int


STREAMS = {
    "acknowledgements": Stream(
        lambda: counting.streaming_acknowledgements("acks", "1", GUID), publish_acknowledgement, 0
    ),
    "deliveries": Stream(lambda: counting.streaming_deliveries("inbox", "1"), delivery, 1),
    "plain": Stream(lambda: counting.plain_deliveries("foo", "1"), plain_delivery, 0),
    "jetstream acknowledgements": Stream(
        lambda: counting.jetstream_acknowledgements("1", "S"), jetstream_acknowledgement, 1
    ),
    "jetstream deliveries": Stream(lambda: counting.jetstream_deliveries("1", "S", "C0"), jetstream_delivery, 1),
}


def feed(counter: counting.Counter, chunks: Sequence[bytes]) -> bytes:
    """Feed chunks as a connection does; return what is left over."""
    rest = b""
    for chunk in chunks:
        buffer = bytearray(rest + chunk) + bytearray(b"left from before, not to be looked at\r\n")
        end = len(rest) + len(chunk)
        used = counter.feed(buffer, end)
        rest = bytes(buffer[used:end])
    return rest


def cut(data: bytes, sizes: random.Random) -> list[bytes]:
    chunks = []
    position = 0
    while position < len(data):
        size = sizes.choice((1, 7, 100, 5_000, 40_000))
        chunks.append(data[position : position + size])
        position += size
    return chunks


@pytest.mark.parametrize("name", STREAMS)
def test_counting_does_not_depend_on_how_the_bytes_are_cut(name: str) -> None:
    stream = STREAMS[name]
    data = b"".join(stream.good(stream.first + index) for index in range(5000))
    for seed in range(5):
        counter = stream.counter()
        assert feed(counter, cut(data, random.Random(seed))) == b""
        assert counter.count == 5000
        assert counter.foreign == []


@pytest.mark.parametrize("name", STREAMS)
def test_what_is_not_counted_is_handed_over(name: str) -> None:
    stream = STREAMS[name]
    strangers = {100: b"PING\r\n", 300: message("hb", "2", b"", "answer"), 450: b"-ERR 'no'\r\n"}
    data = b"".join(stream.good(stream.first + index) + strangers.get(index, b"") for index in range(500))
    for seed in range(5):
        counter = stream.counter()
        assert feed(counter, cut(data, random.Random(seed))) == b""
        assert counter.count == 500
        assert [frame.verb for frame in counter.foreign] == [b"PING", b"MSG", b"-ERR"]
        assert counter.foreign[1].reply == b"answer"


WRONG_ORDERS = [(200, 201, 201), (200, 202, 201), (200, 201, 203), (201, 202, 203)]
# Publishers share a JetStream stream, so the sequences of one publisher may skip.
MAY_SKIP = {("jetstream acknowledgements", indexes) for indexes in WRONG_ORDERS[2:]}


@pytest.mark.parametrize(
    ("name", "indexes"),
    [(name, indexes) for name in STREAMS for indexes in WRONG_ORDERS if (name, indexes) not in MAY_SKIP],
)
def test_lost_doubled_and_swapped_messages_are_found(name: str, indexes: tuple[int, ...]) -> None:
    stream = STREAMS[name]
    data = b"".join(stream.good(stream.first + index) for index in range(200))
    wrong = b"".join(stream.good(stream.first + index) for index in indexes)
    for chunks in ([data, wrong], [data + wrong], [data, *(wrong[index : index + 1] for index in range(len(wrong)))]):
        counter = stream.counter()
        with pytest.raises(BenchmarkError):
            feed(counter, chunks)


@pytest.mark.parametrize("wrong", [publish_acknowledgement(500, "too many channels"), publish_acknowledgement(3)])
def test_refused_and_foreign_acknowledgements_are_found(wrong: bytes) -> None:
    counter = STREAMS["acknowledgements"].counter()
    data = b"".join(map(publish_acknowledgement, range(500)))
    with pytest.raises(BenchmarkError):
        feed(counter, [data + wrong])


def test_redelivery_is_found() -> None:
    data = b"".join(map(delivery, range(1, 500)))
    with pytest.raises(BenchmarkError):
        feed(STREAMS["deliveries"].counter(), [data + delivery(500, redelivered=1)])


def test_refused_jetstream_publish_is_found() -> None:
    data = b"".join(map(jetstream_acknowledgement, range(1, 50)))
    refused = message("acks", "1", b'{"error":{"code":503},"stream":"S","seq":0}')
    with pytest.raises(BenchmarkError):
        feed(STREAMS["jetstream acknowledgements"].counter(), [data + refused])


def operations(blob: frames.Frames) -> list[tuple[list[str], bytes]]:
    """Take publishes apart, independently of how they were encoded."""
    data = bytes(blob.view)
    found = []
    while data:
        line, _, data = data.partition(b"\r\n")
        words = line.decode().split()
        size = int(words[-1])
        assert data[size : size + 2] == b"\r\n"
        found.append((words[:-1], data[:size]))
        data = data[size + 2 :]
    return found


def test_publishes_decode_to_what_was_asked_for() -> None:
    ring = frames.streaming_publish_frames("_STAN.pub.c", "acks", [CHANNEL], GUID, b"connection", b"x" * 300)
    found = operations(ring)
    assert len(found) == ring.count == frames.RING
    for index in (0, 1, 63, 64, 4095):
        words, payload = found[index]
        assert words == ["PUB", "_STAN.pub.c.foo", "acks"]
        guid = GUID.encode() + frames.mark(index)
        assert frames.fields(payload) == {1: GUID.encode(), 2: guid, 3: b"foo", 5: b"x" * 300, 6: b"connection"}
    assert len({payload for _, payload in found}) == frames.RING


def test_publishers_to_many_channels_take_them_in_turn() -> None:
    channels = WORKLOADS["1000c"].channel_names()
    assert len(set(channels)) == 1000
    assert len(set(map(len, channels))) == 1
    ring = frames.streaming_publish_frames("_STAN.pub.c", "acks", channels, GUID, b"connection", b"x")
    found = operations(ring)
    # So long that after it both the channels and the last digits of the marks begin again.
    assert len(found) == ring.count == frames.ring_count(1000) == 8000
    for index in (0, 1, 999, 1000, 7999):
        words, payload = found[index]
        channel = channels[index % 1000]
        assert words == ["PUB", f"_STAN.pub.c.{channel}", "acks"]
        guid = GUID.encode() + frames.mark(index)
        assert frames.fields(payload) == {1: GUID.encode(), 2: guid, 3: channel.encode(), 5: b"x", 6: b"connection"}
    counter = counting.streaming_acknowledgements("acks", "1", GUID, ring.count)
    data = b"".join(message("acks", "1", frames.field(1, GUID.encode() + frames.mark(i % 8000))) for i in range(9000))
    assert feed(counter, [data]) == b""
    assert counter.count == 9000


def test_acknowledgements_get_the_inbox_that_the_server_named() -> None:
    blob = frames.streaming_acknowledgement_frames("_INBOX.????", CHANNEL, 20_000)
    named = frames.streaming_acknowledgement_frames("_INBOX.abcd", CHANNEL, 20_000)
    replaced = blob.replaced(b"_INBOX.????", b"_INBOX.abcd")
    assert replaced.view == named.view
    assert [replaced.byte_count(n) for n in (0, 127, 128, 20_000)] == [
        named.byte_count(n) for n in (0, 127, 128, 20_000)
    ]


def test_acknowledgements_decode_to_every_sequence_once() -> None:
    blob = frames.streaming_acknowledgement_frames("inbox", CHANNEL, 20_000)
    found = operations(blob)
    assert [frames.fields(payload) for _, payload in found] == [{1: b"foo", 2: number} for number in range(1, 20_001)]
    assert {tuple(words) for words, _ in found} == {("PUB", "inbox")}


def test_positions_in_frames() -> None:
    blob = frames.numbered([b"1", b"2", b"33", b"4444"], frames.around(b"<", b">"))
    assert bytes(blob.view) == b"<1><2><33><4444>"
    assert [blob.byte_count(count) for count in range(7)] == [0, 3, 6, 10, 16, 19, 22]
    assert [blob.frame_count(size) for size in (0, 2, 3, 9, 10, 15, 16, 18, 19)] == [0, 0, 1, 2, 3, 3, 4, 4, 5]


def test_marks_are_digits_of_base_64() -> None:
    marks = frames.ring_marks()
    assert len(set(marks)) == frames.RING
    assert marks[0] == b"000000"
    assert all(each[-1] == frames.ALPHABET[index % 64] for index, each in enumerate(marks))


def test_malformed_messages_are_refused() -> None:
    for payload in (b"\x0a\x05abc", b"\x08", b"\x0d\x01\x02\x03\x04"):
        with pytest.raises(BenchmarkError):
            frames.fields(payload)
    with pytest.raises(BenchmarkError):
        frames.split(b"HTTP/1.1 200 OK\r\n")


def test_percentiles_weigh_by_count() -> None:
    latencies = [(3.0, 1), (1.0, 98), (2.0, 1)]
    assert [percentile(latencies, share) for share in (0.5, 0.98, 0.99, 1.0)] == [1.0, 1.0, 2.0, 3.0]
    assert percentile([], 0.5) == 0.0


class Databases(DatabaseServer):
    """An instance that only counts."""

    def __init__(self) -> None:
        self.made: list[str] = []
        self.dropped: list[str] = []

    def new_database(self) -> str:
        self.made.append("host=/there-is-none user=nobody")
        return self.made[-1]

    def drop_database(self, source: str) -> None:
        self.dropped.append(source)

    def command(self) -> list[str]:
        raise AssertionError("nobody starts it")

    def is_ready(self) -> bool:
        return False

    def sql(self, source: str, text: str) -> str:
        raise AssertionError(f"nobody asks it anything: {source} {text}")


def measurement(handled_per_second: float, cpu: float = 1.0) -> Measurement:
    names = [field.name for field in dataclasses.fields(Measurement)]
    values: dict[str, float] = dict.fromkeys(names, 1.0)
    values |= {"handled_per_second": handled_per_second, "server_cpu_seconds_per_million": cpu}
    return Measurement(**{**values, "messages": 1, "server_resident_bytes": 1, "server_peak_bytes": 1})  # type: ignore[arg-type]


def test_ratios_are_taken_round_by_round() -> None:
    ours = [measurement(value) for value in (100, 300, 50)]
    theirs = [measurement(value) for value in (50, 100, 100)]
    assert report.ratio(ours, theirs, lambda run: run.handled_per_second) == 2.0
    assert report.ratio(ours, [], lambda run: run.handled_per_second) is None
    assert report.median(ours, lambda run: run.handled_per_second) == 100
    assert report.spread(ours) == 2.5


def test_report_puts_the_ratio_beside_the_peer() -> None:
    results = {"durabus": [measurement(260, 1.0)], "nats-streaming-server": [measurement(200, 2.0)]}
    lines = report.workload_report(WORKLOADS["1p"], 128, results, []).splitlines()
    assert lines[2].startswith("durabus ")
    assert lines[3].split()[-2:] == ["1.30", "0.50"]


def test_targets_are_read_from_the_command_line() -> None:
    target = servers.target("durabus:other=sh -c 'exit 1'")
    assert (target.label, target.kind, target.command[1:]) == ("durabus:other", "durabus", ("-c", "exit 1"))
    for text in ("sh", "kafka=sh", "durabus=", "durabus=there-is-no-such-program"):
        with pytest.raises(ValueError, match="no"):
            servers.target(text)


def test_who_takes_part_in_what() -> None:
    kinds = {kind: servers.Target(kind, kind, ("sh",)) for kind in servers.KINDS}
    assert [target.dialect(WORKLOADS["plain"]) for target in kinds.values()] == ["plain", None, "plain", "plain"]
    assert kinds["nats-server"].dialect(WORKLOADS["1p"]) == "jetstream"
    assert [kinds["nats-server"].dialect(WORKLOADS[name]) for name in ("1000c", "replay")] == [None, None]
    assert kinds["durabus"].dialect(WORKLOADS["1p"]) == "streaming"


def test_a_file_store_gets_a_directory_of_its_own() -> None:
    target = servers.target("durabus=sh -c 'echo \"$@\"; exit 3' sh")._replace(store="file")
    with pytest.raises(BenchmarkError, match=r"-ma 0 -st FILE -dir /.*/store"), servers.running(target, "streaming"):
        pass


def test_stores_in_a_database_get_an_empty_one_with_tables(monkeypatch: pytest.MonkeyPatch) -> None:
    database = Databases()
    with_tables: list[tuple[str, str]] = []
    monkeypatch.setattr(servers, "make_tables", lambda driver, source: with_tables.append((driver, source)))
    shell = servers.target("durabus=sh -c 'echo \"$@\"; exit 3' sh")
    target = shell._replace(store="postgres", database=database)
    words = "-st SQL -sql_driver postgres -sql_source host="
    with pytest.raises(BenchmarkError, match=words), servers.running(target, "streaming"):
        pass
    assert database.made == database.dropped == ["host=/there-is-none user=nobody"]
    assert with_tables == [("postgres", database.made[0])]


def test_tables_are_made_as_the_original_wants_them(tmp_path: Path) -> None:
    servers.make_tables("sqlite", str(tmp_path / "events.db"))
    with closing(sqlite3.connect(tmp_path / "events.db")) as database:
        assert database.execute("SELECT COUNT(*) FROM Messages").fetchall() == [(0,)]


def test_sqlite_is_compared_with_files_where_there_is_no_sqlite() -> None:
    for kind, words in (
        ("durabus", "-st SQL -sql_driver sqlite -sql_source /.*/events.db"),
        ("nats-streaming-server", "-st FILE -dir /.*/store"),
    ):
        target = servers.target(f"{kind}=sh -c 'echo \"$@\"; exit 3' sh")._replace(store="sqlite")
        with pytest.raises(BenchmarkError, match=words), servers.running(target, "streaming"):
            pass


def test_a_server_that_does_not_start_is_reported() -> None:
    target = servers.target("durabus=sh -c 'echo the reason; exit 3'")
    with pytest.raises(BenchmarkError, match=r"(?s)exit code 3.*the reason"), servers.running(target, "streaming"):
        pass


@pytest.mark.parametrize("name", WORKLOADS)
def test_a_small_run_against_the_sink(name: str) -> None:
    workload = WORKLOADS[name]
    load = scenarios.Load(messages=6000, size_bytes=128, spin=workload.window == 1)
    measured = scenarios.measure_workload(servers.sink(workload, load.messages, load.size_bytes), workload, load)
    assert measured.messages == (6000 // workload.channels if workload.is_replay else 6000)
    assert (measured.published_per_second > 0) == (workload.publishers > 0)
    assert (measured.delivered_per_second > 0) == (workload.subscribers > 0)
    assert measured.server_peak_bytes >= measured.server_resident_bytes > measured.server_anonymous_bytes > 1_000_000
    if not workload.is_replay:
        assert 0 < measured.latency_p50_seconds <= measured.latency_p99_seconds < measured.window_seconds
