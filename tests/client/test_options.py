"""What can be chosen is checked when it is said."""

from datetime import UTC, datetime, timedelta

import pytest

from durabus.client.errors import UsageError
from durabus.client.options import (
    BusOptions,
    StartPosition,
    SubscriptionOptions,
    channel_bytes,
    check_client_id,
    data_bytes,
)
from durabus.client.servers import parse_servers
from durabus.wire.stan_messages import (
    START_FIRST,
    START_LAST_RECEIVED,
    START_NEW_ONLY,
    START_SEQUENCE,
    START_TIME_DELTA,
)


def test_start_positions() -> None:
    assert StartPosition.new_only().kind == START_NEW_ONLY
    assert StartPosition.last_received().kind == START_LAST_RECEIVED
    assert StartPosition.all_available().kind == START_FIRST
    sequence = StartPosition.at_sequence(22)
    assert (sequence.kind, sequence.sequence) == (START_SEQUENCE, 22)
    delta = StartPosition.time_delta(timedelta(minutes=1))
    assert (delta.kind, delta.delta_ns(5)) == (START_TIME_DELTA, 60_000_000_000)
    assert StartPosition.time_delta(1.5).delta_ns(5) == 1_500_000_000


def test_a_moment_becomes_a_delta_when_it_is_asked_for() -> None:
    moment = StartPosition.at_time(datetime(1970, 1, 1, 0, 0, 10, tzinfo=UTC))
    assert moment.delta_ns(25_000_000_000) == 15_000_000_000
    assert moment.delta_ns(5_000_000_000) == 0


@pytest.mark.parametrize(
    "wrong",
    [
        lambda: StartPosition.at_sequence(-1),
        lambda: StartPosition.at_sequence(2**64),
        lambda: StartPosition.at_time(datetime(2030, 1, 1)),  # noqa: DTZ001 - that is the mistake
        lambda: StartPosition.time_delta(-1),
        lambda: SubscriptionOptions(ack_wait_s=0).check(),
        lambda: SubscriptionOptions(ack_wait_s=1.5).check(),  # type: ignore[arg-type]
        lambda: SubscriptionOptions(max_in_flight=0).check(),
        lambda: SubscriptionOptions(queue_group="g", durable_name="a:b").check(),
        lambda: check_client_id(""),
        lambda: check_client_id("a b"),
        lambda: check_client_id("ü"),
        lambda: channel_bytes("a.*"),
        lambda: channel_bytes(""),
        lambda: channel_bytes("a b"),
        lambda: channel_bytes("\ud800"),
        lambda: channel_bytes(None),  # type: ignore[arg-type]
        lambda: data_bytes("\ud800"),
        lambda: data_bytes({}),  # type: ignore[arg-type]
        lambda: SubscriptionOptions(start=5).check(),  # type: ignore[arg-type]
        lambda: BusOptions(parse_servers("a"), "no cluster", "me").check(),
        lambda: BusOptions(parse_servers("a"), "", "me").check(),
        lambda: BusOptions(parse_servers("a"), "c", "me", publish_timeout_s=0).check(),
        lambda: BusOptions(parse_servers("a"), "c", "me", window_messages_max=0).check(),
    ],
)
def test_mistakes(wrong: "object") -> None:
    assert callable(wrong)
    with pytest.raises(UsageError):
        wrong()


def test_data_that_its_owner_changes_later_is_copied() -> None:
    owned = bytearray(b"one")
    data = data_bytes(owned)
    owned[0] = 0
    assert data == b"one"
    assert data_bytes(memoryview(b"two")) == b"two"
    assert data_bytes("ü") == b"\xc3\xbc"


def test_what_is_right() -> None:
    SubscriptionOptions(durable_name="a:b").check()
    BusOptions(parse_servers("a"), "test-cluster", "me_1-2").check()
    assert channel_bytes("ticket:created") == b"ticket:created"
    assert channel_bytes("größe.neu") == "größe.neu".encode()
