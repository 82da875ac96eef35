"""One channel's numbers: runs, timestamps, what is kept, and who counts as a subscription."""

import pytest

from durabus.streaming.channel import Channel, ChannelOwner
from durabus.streaming.clients import Client, ClientOwner
from durabus.streaming.cohort import Cohort, Member, MemberOwner
from durabus.streaming.options import ChannelLimits
from durabus.streaming.records import ClientRecord, SubscriptionRecord
from durabus.streaming.store_port import Run
from durabus.streaming.timers import Timers
from durabus.wire.stan_messages import encode_message


class Owner(ChannelOwner):
    """Notes what time does to a channel."""

    def __init__(self) -> None:
        self.told: list[tuple[str, Channel, int]] = []

    def on_age_time(self, channel: Channel, now_ns: int) -> None:
        self.told.append(("age", channel, now_ns))

    def on_idle_time(self, channel: Channel, now_ns: int) -> None:
        self.told.append(("idle", channel, now_ns))


@pytest.fixture
def channel() -> Channel:
    return Channel(3, b"foo", ChannelLimits(), 0)


def publish(channel: Channel, wall_ns: int, *sizes: int) -> None:
    """Append messages of given sizes, as one turn does."""
    channel.begin_run(wall_ns)
    for size in sizes:
        channel.append(bytes(size))


def take_run(channel: Channel) -> Run:
    """The messages of the batch, which ends here."""
    run, channel.run = channel.run, None
    assert run is not None
    return run


def subscribe(channel: Channel, *, is_shadow: bool) -> Cohort:
    """A subscription of its own, online or a shadow."""
    cohort = Cohort(channel.channel_id, channel.name, b"", False, is_shadow)
    client = None if is_shadow else Client(ClientRecord(b"a", b"", b"", 1), ClientOwner())
    member = Member(cohort, SubscriptionRecord(1, channel.name), client, MemberOwner())
    if is_shadow:
        cohort.shadow = member
    else:
        cohort.members.append(member)
    channel.cohorts.append(cohort)
    return cohort


def test_an_empty_channel(channel: Channel) -> None:
    assert (channel.first, channel.last, channel.message_count, channel.stored_bytes) == (0, 0, 0, 0)
    assert channel.subscription_count == 0
    assert not channel.has_active_subscription()
    assert channel.run is None


def test_messages_are_numbered_from_one(channel: Channel) -> None:
    publish(channel, 1000, 5, 6)
    publish(channel, 1000, 7)
    run = take_run(channel)
    assert (run.first_sequence, [len(body) for body in run.bodies]) == (1, [5, 6, 7])
    assert (channel.first, channel.last, channel.message_count, channel.stored_bytes) == (1, 3, 3, 18)


def test_a_run_belongs_to_one_batch(channel: Channel) -> None:
    publish(channel, 1000, 5, 6)
    first = take_run(channel)
    publish(channel, 2000, 7)
    second = take_run(channel)
    assert (first.channel_id, first.first_sequence, len(first.bodies), first.stamps) == (3, 1, 2, [(0, 1000)])
    assert (second.first_sequence, len(second.bodies), second.stamps) == (3, 1, [(0, 2000)])


def test_a_run_has_one_stamp_for_all_messages_of_a_turn(channel: Channel) -> None:
    publish(channel, 1000, 1, 1)
    publish(channel, 1000, 1)
    publish(channel, 1500, 1, 1)
    assert take_run(channel).stamps == [(0, 1000), (3, 1500)]


def test_time_never_goes_back(channel: Channel) -> None:
    publish(channel, 5000, 1)
    publish(channel, 4000, 1)
    assert take_run(channel).stamps == [(0, 5000)]
    publish(channel, 3000, 1)
    assert take_run(channel).stamps == [(0, 5000)]
    assert channel.last_timestamp_ns == 5000
    assert channel.run_wall_ns == 3000, "which turn this was for is something else"


def test_when_messages_came_is_kept_only_where_they_get_old(channel: Channel) -> None:
    publish(channel, 1000, 1)
    assert list(channel.stamps) == []
    aging = Channel(4, b"bar", ChannelLimits(age_max_ns=10), 0)
    publish(aging, 1000, 1, 1)
    publish(aging, 1000, 1)
    publish(aging, 2000, 1)
    assert list(aging.stamps) == [(1, 1000), (4, 2000)]


def test_what_a_store_adds_to_each_message_counts() -> None:
    channel = Channel(1, b"foo", ChannelLimits(), 40)
    publish(channel, 1000, 5, 6)
    assert channel.stored_bytes == 5 + 6 + 2 * 40


def test_what_a_store_adds_to_data_counts_where_there_are_any() -> None:
    channel = Channel(1, b"foo", ChannelLimits(), 40)
    channel.data_overhead_bytes = 29
    bodies = [encode_message(1, b"foo", b"", data, 5) for data in (b"", b"x", b"x" * 98, b"x" * 99)]
    wanted = [len(body) + 40 + more for body, more in zip(bodies, (0, 29, 29, 30), strict=True)]
    assert [channel.size_of(body) for body in bodies] == wanted
    channel.begin_run(1000)
    for body in bodies:
        channel.append(body)
    assert channel.stored_bytes == sum(wanted)


def test_a_channel_whose_messages_are_all_gone_goes_on(channel: Channel) -> None:
    publish(channel, 1000, 1, 1, 1)
    channel.first = channel.last + 1
    assert channel.message_count == 0
    take_run(channel)
    publish(channel, 2000, 1)
    assert take_run(channel).first_sequence == 4
    assert (channel.first, channel.last, channel.message_count) == (4, 4, 1)


def test_shadows_count_but_are_not_active(channel: Channel) -> None:
    shadow = subscribe(channel, is_shadow=True)
    assert channel.subscription_count == 1
    assert not channel.has_active_subscription()
    online = subscribe(channel, is_shadow=False)
    assert channel.subscription_count == 2
    assert channel.has_active_subscription()
    channel.cohorts.remove(online)
    assert not channel.has_active_subscription()
    channel.cohorts.remove(shadow)
    assert channel.subscription_count == 0


def test_age_and_idleness_have_deadlines_of_their_own(channel: Channel) -> None:
    owner, timers = Owner(), Timers()
    timers.set(channel, 10)
    timers.set(channel.idle, 20)
    timers.fire(30)
    assert owner.told == [], "nobody looks after it yet"
    channel.owner = owner
    timers.set(channel, 40)
    timers.set(channel.idle, 50)
    timers.fire(45)
    timers.fire(55)
    assert owner.told == [("age", channel, 45), ("idle", channel, 55)]
