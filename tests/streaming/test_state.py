"""The state: numbers, names, channels, and what waits for the end of the turn."""

import pytest

from durabus.broker.router import Router
from durabus.stores.memory import MemoryStore
from durabus.streaming.channel import Channel, ChannelOwner
from durabus.streaming.cohort import Cohort
from durabus.streaming.complaints import COMPLAINTS_MAX
from durabus.streaming.options import SECOND_NS, CoreOptions
from durabus.streaming.records import decode_channel_name
from durabus.streaming.state import BatchCloser, ChannelRefusedError, Pending, State, Subjects, text
from durabus.streaming.store_port import KIND_CHANNEL, Batch
from tests.streaming.harness import RecordingLog

ALPHABET = set(b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz")


def make(options: CoreOptions | None = None) -> State:
    """A state of its own."""
    return State(options or CoreOptions(), Router(), MemoryStore(), RecordingLog())


def test_subjects_of_a_cluster() -> None:
    subjects = Subjects(b"tickets")
    assert subjects.discover == b"_STAN.discover.tickets"
    assert subjects.pings == b"_STAN.discover.tickets.pings"
    assert subjects.publish_prefix == b"_STAN.pub.tickets"
    assert subjects.subscribe == b"_STAN.sub.tickets"
    assert subjects.unsubscribe == b"_STAN.unsub.tickets"
    assert subjects.subscription_close == b"_STAN.subclose.tickets"
    assert subjects.close == b"_STAN.close.tickets"


def test_the_discovery_prefix_moves_what_clients_ask_first_and_nothing_else() -> None:
    subjects, usual = Subjects(b"tickets", b"_FOO.bar"), Subjects(b"tickets")
    assert subjects.discover == b"_FOO.bar.tickets"
    assert subjects.pings == b"_FOO.bar.tickets.pings"
    assert subjects.publish_prefix == usual.publish_prefix
    assert subjects.close == usual.close


def test_inboxes_have_the_usual_form_and_never_come_twice() -> None:
    state = make(CoreOptions(instance="abcdefghijklmnopqrstuv"))
    inboxes = [state.next_inbox() for _ in range(10_000)]
    assert len(set(inboxes)) == 10_000
    for inbox in inboxes:
        assert inbox.startswith(b"_INBOX.abcdefghijkl")
        assert len(inbox) == len(b"_INBOX.") + 22
        assert set(inbox[7:]) <= ALPHABET


def test_inboxes_of_two_activations_differ() -> None:
    first, second = make(CoreOptions(instance="a" * 12)), make(CoreOptions(instance="b" * 12))
    assert first.next_inbox() != second.next_inbox()


def test_request_numbers_go_on_after_a_recovery() -> None:
    former, state = make(), make()
    numbers = [former.next_request() for _ in range(3)]
    former.statistics.in_messages = 7
    state.take_over(former)
    assert numbers == [1, 2, 3]
    assert state.next_request() == 4
    assert state.statistics.in_messages == 7


def test_a_new_channel_is_numbered_and_remembered() -> None:
    state = make()
    foo, bar = state.open_channel(b"foo"), state.open_channel(b"bar")
    assert (foo.channel_id, bar.channel_id) == (1, 2)
    assert state.open_channel(b"foo") is foo
    assert [(kind, key, decode_channel_name(value or b"")) for kind, key, value in state.batch.state] == [
        (KIND_CHANNEL, b"1", b"foo"),
        (KIND_CHANNEL, b"2", b"bar"),
    ]
    assert state.channels_by_id == {1: foo, 2: bar}


def test_a_forgotten_channel_comes_back_as_another_one() -> None:
    state = make()
    foo = state.open_channel(b"foo")
    state.forget_channel(foo)
    assert foo.is_deleted
    assert (state.channels, state.channels_by_id) == ({}, {})
    again = state.open_channel(b"foo")
    assert again is not foo
    assert again.channel_id == 2


def test_names_that_differ_in_case_are_refused_in_the_originals_words() -> None:
    state = make()
    state.open_channel(b"foo.bar")
    with pytest.raises(ChannelRefusedError) as refused:
        state.open_channel(b"Foo.BAR")
    assert str(refused.value) == (
        'rejecting channel "Foo.BAR" because channel "foo.bar" alreay exists (different cases not allowed)'
    )
    assert len(state.batch.state) == 1


@pytest.mark.parametrize(
    ("name", "other"), [("Grüße", "GRÜßE"), ("ΟΔΟΣ", "οδοσ"), ("İ", "i"), ("канал", "КАНАЛ"), ("ẞ", "ß")]
)
def test_case_is_that_of_every_script(name: str, other: str) -> None:
    state = make()
    state.open_channel(name.encode())
    with pytest.raises(ChannelRefusedError, match="different cases not allowed"):
        state.open_channel(other.encode())


@pytest.mark.parametrize(("name", "other"), [(b"\xff", b"\xfe"), ("ß".encode(), b"ss"), (b"\xc3\x84", b"\xc3")])
def test_names_that_differ_in_more_than_case(name: bytes, other: bytes) -> None:
    state = make()
    state.open_channel(name)
    assert state.open_channel(other).name == other


def refuse(state: State, name: bytes) -> None:
    """Ask for a channel that there may not be."""
    with pytest.raises(ChannelRefusedError):
        state.open_channel(name)


def test_the_log_tells_of_channels_that_were_refused_and_no_client_can_fill_it() -> None:
    options = CoreOptions()
    options.channels_max = 1
    log = RecordingLog()
    state = State(options, Router(), MemoryStore(), log)
    state.open_channel(b"foo")
    refuse(state, b"FOO")
    refuse(state, b"bar")
    wrong_case = 'rejecting channel "FOO" because channel "foo" alreay exists (different cases not allowed)'
    assert log.texts("error") == [
        f'Creating channel "FOO" failed: {wrong_case}',
        'Creating channel "bar" failed: too many channels',
    ]
    for _ in range(1000):
        refuse(state, b"bar")
    assert len(log.texts("error")) == COMPLAINTS_MAX


def test_a_forgotten_channel_leaves_its_name_free_in_any_case() -> None:
    state = make()
    state.forget_channel(state.open_channel(b"foo"))
    assert state.open_channel(b"FOO").name == b"FOO"


def test_no_more_channels_than_allowed() -> None:
    options = CoreOptions()
    options.channels_max = 2
    state = make(options)
    first = state.open_channel(b"a")
    state.open_channel(b"b")
    with pytest.raises(ChannelRefusedError, match="too many channels"):
        state.open_channel(b"c")
    assert state.open_channel(b"a") is first
    state.forget_channel(first)
    assert state.open_channel(b"c").channel_id == 3, "a refused channel uses no number"


def test_channels_without_a_limit() -> None:
    options = CoreOptions()
    options.channels_max = 0
    state = make(options)
    for number in range(300):
        state.open_channel(b"channel-%d" % number)
    assert len(state.channels) == 300


def test_recovered_channels_are_exempt_from_the_limit_and_not_stored_again() -> None:
    options = CoreOptions()
    options.channels_max = 1
    state = make(options)
    for number in (4, 9):
        state.adopt_channel(number, b"channel-%d" % number)
    assert sorted(state.channels_by_id) == [4, 9]
    assert state.batch.state == []


def test_an_idle_channel_has_a_deadline() -> None:
    options = CoreOptions()
    options.channel_limits.inactivity_max_ns = 5 * SECOND_NS
    state = make(options)
    state.begin(SECOND_NS, 0)
    channel = state.open_channel(b"foo")
    assert channel.idle.deadline_ns == 6 * SECOND_NS
    state.forget_channel(channel)
    assert state.timers.next_ns() == 0


def test_a_channel_knows_who_looks_after_it() -> None:
    state = make()
    state.channel_owner = ChannelOwner()
    assert state.open_channel(b"foo").owner is state.channel_owner


def test_a_cohort_is_woken_once() -> None:
    state = make()
    channel = state.open_channel(b"foo")
    plain, durable = cohort(channel), cohort(channel)
    state.wake(plain)
    state.wake_channel(channel)
    state.wake(durable)
    assert state.woken == [plain, durable]


def test_a_cohort_is_touched_once() -> None:
    state = make()
    plain = cohort(state.open_channel(b"foo"))
    state.touch(plain)
    state.touch(plain)
    assert state.dirty == [plain]


def cohort(channel: Channel) -> Cohort:
    """A position in `channel` that nobody shares."""
    made = Cohort(channel.channel_id, channel.name, b"", False, False)
    channel.cohorts.append(made)
    return made


def test_a_reply_to_nobody_is_no_effect() -> None:
    state = make()
    state.reply(b"", b"x", 1)
    assert state.effects == []
    state.reply(b"inbox", b"x", 1)
    assert len(state.effects) == 1


def test_a_batch_on_its_way_remembers_how_far_each_channel_was() -> None:
    state = make()
    channel = state.open_channel(b"foo")
    channel.last = 7
    pending = Pending(Batch(1, 0), [], [channel])
    channel.last = 9
    assert pending.lasts == [7]


def test_room_in_a_batch() -> None:
    options = CoreOptions()
    options.batch_messages_max = 3
    state = make(options)
    rooms = []
    for messages in range(7):
        state.batch_messages = messages
        rooms.append(state.batch_room())
    assert rooms == [3, 2, 1, 3, 2, 1, 3], "a batch that the store does not take yet grows by whole batches"


class Closer(BatchCloser):
    """Counts full batches."""

    def __init__(self) -> None:
        self.count = 0

    def close_full_batch(self) -> None:
        self.count += 1


def test_full_batches_go_to_their_closer() -> None:
    state = make()
    state.close_full_batch()
    closer = Closer()
    state.batch_closer = closer
    state.close_full_batch()
    assert closer.count == 1


def test_time_is_what_the_turn_began_with() -> None:
    state = make()
    state.begin(5, 6)
    assert (state.now_ns, state.wall_ns) == (5, 6)


@pytest.mark.parametrize(("name", "shown"), [(b"foo", "foo"), ("é".encode(), "é"), (b"a\xff\xfeb", "a\\xff\\xfeb")])
def test_any_name_can_be_shown(name: bytes, shown: str) -> None:
    assert text(name) == shown
