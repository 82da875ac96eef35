"""What the log tells of subscriptions, in the original's words: operators search for them (docs/protocol.md §14.3)."""

from typing import Any

import pytest

from tests.streaming.harness import FIRST, LAST_RECEIVED, NEW_ONLY, SEQUENCE, TIME_DELTA, Bus, Sub

GROUP: dict[str, Any] = {"queue": "g"}
DURABLE_GROUP: dict[str, Any] = {"queue": "g", "durable": "d"}


@pytest.mark.row(52)
def test_how_subscriptions_begin() -> None:
    bus = Bus()
    a, b = bus.connect("a"), bus.connect("b")
    bus.log.lines.clear()
    a.subscribe("foo", inbox="i")
    a.subscribe("foo", inbox="i", durable="d").close()
    a.subscribe("foo", inbox="i", durable="d")
    a.subscribe("foo", inbox="i", queue="g")
    group = a.subscribe("foo", inbox="i", queue="g", durable="g")
    b.subscribe("foo", inbox="i", queue="g", durable="g").close()
    group.close()
    b.subscribe("foo", inbox="i", queue="g", durable="g")
    assert [line for line in bus.log.texts("debug") if "Removed" not in line and "Suspended" not in line] == [
        "[Client:a] Started new subscription, subject=foo, inbox=i, subid=1, sending from beginning, seq=1",
        "[Client:a] Started new durable subscription, subject=foo, inbox=i, durable=d, subid=2, sending from beginning, seq=1",
        "[Client:a] Resumed durable subscription, subject=foo, inbox=i, durable=d, subid=2",
        "[Client:a] Started new queue subscription, subject=foo, inbox=i, queue=g, subid=3, sending from beginning, seq=1",
        "[Client:a] Started new durable queue subscription, subject=foo, inbox=i, queue=g:g, subid=4, sending from beginning, seq=1",
        "[Client:b] Added member to durable queue subscription, subject=foo, inbox=i, queue=g:g, subid=5",
        "[Client:b] Resumed durable queue subscription, subject=foo, inbox=i, queue=g:g, subid=4",
    ]  # fmt: skip


@pytest.mark.row(52)
@pytest.mark.parametrize(
    ("position", "told"),
    [
        ({"start": NEW_ONLY}, "new-only, seq=4"),
        ({"start": LAST_RECEIVED}, "last message, seq=3"),
        ({"start": SEQUENCE, "start_sequence": 2}, "from sequence, asked_seq=2 actual_seq=2"),
        ({"start": SEQUENCE, "start_sequence": 10}, "from sequence, asked_seq=10 actual_seq=4"),
        ({"start": FIRST}, "from beginning, seq=1"),
        ({"start": TIME_DELTA}, "from time time='2023-11-14 22:30:03.25 +0000 UTC' seq=4"),
        ({"start": TIME_DELTA, "start_delta_ns": 1_250_000_000}, "from time time='2023-11-14 22:30:02 +0000 UTC' seq=3"),
        ({"start": TIME_DELTA, "start_delta_ns": 2**63 - 1}, "from time time='1731-08-05 22:42:46.395224193 +0000 UTC' seq=1"),
    ],
)  # fmt: skip
def test_where_subscriptions_begin(position: dict[str, int], told: str) -> None:
    bus = Bus()
    client = bus.connect("a")
    for _ in range(3):
        client.publish("foo", b"x")
        bus.advance(1)
    bus.advance(0.25)
    client.subscribe("foo", inbox="i", **position)  # type: ignore[arg-type]
    assert bus.log.texts("debug")[-1] == (
        f"[Client:a] Started new subscription, subject=foo, inbox=i, subid=1, sending {told}"
    )


@pytest.mark.row(52)
def test_how_subscriptions_end() -> None:
    bus = Bus()
    client = bus.connect("a")
    bus.log.lines.clear()
    client.subscribe("foo", inbox="i").close()
    client.subscribe("foo", inbox="i", durable="d").close()
    client.subscribe("foo", inbox="i", durable="d").unsubscribe()
    for kind, ends in ((GROUP, Sub.close), (DURABLE_GROUP, Sub.close), (DURABLE_GROUP, Sub.unsubscribe)):
        members = [client.subscribe("foo", inbox="i", **kind) for _ in range(2)]
        members[0].close()
        ends(members[1])
    assert [line for line in bus.log.texts("debug") if "Removed" in line or "Suspended" in line] == [
        "[Client:a] Removed subscription, subject=foo, inbox=i, subid=1",
        "[Client:a] Suspended durable subscription, subject=foo, inbox=i, durable=d, subid=2",
        "[Client:a] Removed durable subscription, subject=foo, inbox=i, durable=d, subid=2",
        "[Client:a] Removed member from queue subscription, subject=foo, inbox=i, queue=g, subid=3",
        "[Client:a] Removed queue subscription, subject=foo, inbox=i, queue=g, subid=4",
        "[Client:a] Removed member from durable queue subscription, subject=foo, inbox=i, queue=d:g, subid=5",
        "[Client:a] Suspended durable queue subscription, subject=foo, inbox=i, queue=d:g, subid=6",
        "[Client:a] Removed member from durable queue subscription, subject=foo, inbox=i, queue=d:g, subid=6",
        "[Client:a] Removed durable queue subscription, subject=foo, inbox=i, queue=d:g, subid=7",
    ]
