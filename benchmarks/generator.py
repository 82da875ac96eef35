"""The load generator: one process that runs one workload against one server and prints what it measured as JSON."""

from __future__ import annotations

import argparse
import gc
import json
import select
import sys
import time
from dataclasses import asdict, dataclass, field
from typing import Final

from benchmarks.connection import Connection, Publisher, Subscriber
from benchmarks.dialects import prepare
from benchmarks.machine import group_cpu_seconds, group_memory_bytes
from benchmarks.replaying import replay
from benchmarks.workloads import REPLAYED_CHANNELS, WORKLOADS, BenchmarkError, Workload

STALL_SECONDS: Final = 10.0
"""A run fails if nothing arrives for so long."""

_EXTRA_SECONDS: Final = 0.02


@dataclass
class Measurement:
    """One run of one workload. The window is from the first publish to the last acknowledgement and delivery."""

    messages: int
    """Published, and delivered to each subscriber; of a replay: delivered, per channel."""
    published_per_second: float
    delivered_per_second: float
    """To all subscribers together."""
    handled_per_second: float
    """Published plus delivered (plain NATS: delivered), over the whole window: what ratios compare."""
    server_cpu_seconds_per_million: float
    """User and system time of the server for a million messages published plus delivered."""
    latency_p50_seconds: float
    """Publish to acknowledgement (plain NATS: publish to delivery)."""
    latency_p99_seconds: float
    server_resident_bytes: int
    """Right after the window."""
    server_peak_bytes: int
    server_anonymous_bytes: int = field(default=0, kw_only=True)
    """The most anonymous memory that was seen."""
    generator_cpu_share: float
    """Processor time of the generator over the window's time: 1.0 is one core."""
    messages_per_read: float
    """What the generator received per chunk, on average."""
    window_seconds: float


def percentile(latencies: list[tuple[float, int]], share: float) -> float:
    """Return the smallest latency that at least `share` of the messages do not exceed; 0 if there are none."""
    wanted = share * sum(count for _, count in latencies)
    seen = 0
    for seconds, count in sorted(latencies):
        seen += count
        if seen >= wanted:
            return seconds
    return 0.0


def _drive(connections: list[Connection], limit_seconds: float, spin: bool) -> None:
    """Publish everything and return when it is acknowledged and delivered; BenchmarkError if that does not happen.

    With `spin` the process never sleeps while it waits.
    """
    publishers = [connection for connection in connections if isinstance(connection, Publisher)]
    subscribers = [connection for connection in connections if isinstance(connection, Subscriber)]
    by_descriptor = {connection.socket.fileno(): connection for connection in connections}
    clock = time.perf_counter
    with select.epoll() as poll:
        for connection in connections:
            connection.attach(poll)
        end_seconds = clock() + limit_seconds
        stalled_seconds = clock() + STALL_SECONDS
        for publisher in publishers:
            publisher.fill_window(clock())
        while any(each.confirmed < each.messages for each in publishers) or any(
            each.counter.count < each.messages for each in subscribers
        ):
            events = poll.poll(0 if spin else STALL_SECONDS)
            now_seconds = clock()
            if events:
                stalled_seconds = now_seconds + STALL_SECONDS
            elif spin and now_seconds < stalled_seconds:
                continue
            if not events or now_seconds > end_seconds:
                confirmed = [(each.sent, each.confirmed, each.messages) for each in publishers]
                delivered = [each.counter.count for each in subscribers]
                trouble = "the run takes too long" if events else f"nothing arrived for {STALL_SECONDS} s"
                raise BenchmarkError(f"{trouble}; (sent, confirmed, wanted): {confirmed}, delivered: {delivered}")
            for descriptor, event in events:
                connection = by_descriptor[descriptor]
                if event & select.EPOLLOUT:
                    connection.flush()
                if event & ~select.EPOLLOUT:
                    connection.on_readable(clock())


def _refuse_extras(connections: list[Connection]) -> None:
    """Raise BenchmarkError if a message arrives although everything has arrived."""
    time.sleep(_EXTRA_SECONDS)
    for connection in connections:
        if extra := connection.receive():
            raise BenchmarkError(f"{extra} messages more than there should be")


def run(
    dialect: str,
    workload: Workload,
    server: tuple[int, int],
    messages: int,
    size_bytes: int,
    spin: bool = False,
    limit_seconds: float = 60.0,
) -> Measurement:
    """Run a workload against a server, given by its port on loopback and its process group.

    A replay finds `messages` stored, over all channels.
    `spin`: the generator never sleeps while it waits. Raises BenchmarkError if anything was lost, doubled, out of order or
    refused, if nothing arrives for `STALL_SECONDS`, or if it takes longer than the limit; OSError if a connection fails.
    """
    port, group = server
    if workload.is_replay:
        return _replay(workload, server, messages, limit_seconds)
    messages -= messages % workload.publishers
    connections = prepare(dialect, port, workload, messages, size_bytes)
    gc.collect()
    gc.disable()
    server_cpu_seconds, own_cpu_seconds = -group_cpu_seconds(group), -time.process_time()
    start_seconds = time.perf_counter()
    _drive(connections, limit_seconds, spin)
    window_seconds = time.perf_counter() - start_seconds
    own_cpu_seconds += time.process_time()
    server_cpu_seconds += group_cpu_seconds(group)
    resident_bytes, peak_bytes = group_memory_bytes(group)
    _refuse_extras(connections)
    publishers = [connection for connection in connections if isinstance(connection, Publisher)]
    subscribers = [connection for connection in connections if isinstance(connection, Subscriber)]
    latencies = [latency for publisher in publishers for latency in publisher.latencies]
    delivered = messages * len(subscribers)
    delivered_seconds = max((each.finished_seconds for each in subscribers), default=0.0) - start_seconds
    published_seconds = max(each.finished_seconds for each in publishers) - start_seconds
    handled = delivered if workload.plain else messages + delivered
    for connection in connections:
        connection.socket.close()
    return Measurement(
        messages=messages,
        published_per_second=messages / published_seconds,
        delivered_per_second=delivered / delivered_seconds if delivered else 0.0,
        handled_per_second=handled / window_seconds,
        server_cpu_seconds_per_million=server_cpu_seconds / (messages + delivered) * 1e6,
        latency_p50_seconds=percentile(latencies, 0.5),
        latency_p99_seconds=percentile(latencies, 0.99),
        server_resident_bytes=resident_bytes,
        server_peak_bytes=peak_bytes,
        generator_cpu_share=own_cpu_seconds / window_seconds,
        messages_per_read=(messages + delivered) / sum(connection.reads for connection in connections),
        window_seconds=window_seconds,
    )


def _replay(workload: Workload, server: tuple[int, int], messages: int, limit_seconds: float) -> Measurement:
    port, group = server
    channels = workload.channel_names()[:REPLAYED_CHANNELS]
    messages //= workload.channels
    delivered = messages * len(channels)
    gc.collect()
    gc.disable()
    server_cpu_seconds, own_cpu_seconds = -group_cpu_seconds(group), -time.process_time()
    window_seconds, connections = replay(port, channels, messages, lambda some: _drive(some, limit_seconds, spin=False))
    own_cpu_seconds += time.process_time()
    server_cpu_seconds += group_cpu_seconds(group)
    resident_bytes, peak_bytes = group_memory_bytes(group)
    _refuse_extras(connections)
    for connection in connections:
        connection.socket.close()
    return Measurement(
        messages=messages,
        published_per_second=0.0,
        delivered_per_second=delivered / window_seconds,
        handled_per_second=delivered / window_seconds,
        server_cpu_seconds_per_million=server_cpu_seconds / delivered * 1e6,
        latency_p50_seconds=0.0,
        latency_p99_seconds=0.0,
        server_resident_bytes=resident_bytes,
        server_peak_bytes=peak_bytes,
        generator_cpu_share=own_cpu_seconds / window_seconds,
        messages_per_read=delivered / sum(connection.reads for connection in connections),
        window_seconds=window_seconds,
    )


def main() -> int:
    """Run from the command line: print a measurement as JSON and return 0, or say what was wrong and return 1."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("dialect", choices=("streaming", "jetstream", "plain"))
    parser.add_argument("workload", choices=tuple(WORKLOADS))
    parser.add_argument("port", type=int)
    parser.add_argument("group", type=int, help="process group of the server")
    parser.add_argument("--messages", type=int, required=True)
    parser.add_argument("--size", type=int, default=128, help="bytes per message")
    parser.add_argument("--spin", action="store_true", help="never sleep while waiting")
    parser.add_argument("--limit", type=float, default=60.0, help="seconds that the run may take at most (%(default)s)")
    options = parser.parse_args()
    try:
        measured = run(
            options.dialect,
            WORKLOADS[options.workload],
            (options.port, options.group),
            options.messages,
            options.size,
            options.spin,
            options.limit,
        )
    except (BenchmarkError, OSError) as trouble:
        print(f"{type(trouble).__name__}: {trouble}", file=sys.stderr)
        return 1
    print(json.dumps(asdict(measured)))
    return 0


if __name__ == "__main__":
    sys.exit(main())
