"""A batch as statements. That they do what the batch says is shown by the conformance suite; here, which they are."""

import pytest

from durabus.stores.sql import statements as sql
from durabus.stores.sql.contents import Contents, StoredChannel, StoredSubscription
from durabus.stores.sql.plan import Changes, PlanError, Rules, apply, plan
from durabus.streaming.records import (
    ClientRecord,
    SubscriptionRecord,
    encode_channel_name,
    encode_client,
    encode_server,
    encode_subscription,
)
from durabus.streaming.store_port import (
    KIND_CHANNEL,
    KIND_CLIENT,
    KIND_SERVER,
    KIND_SUBSCRIPTION,
    Batch,
    Cursor,
    Run,
)
from durabus.wire.stan_messages import encode_message


def known() -> Contents:
    """Channels 1 (messages 1 to 10, first 3) and 2 (empty), subscriptions 4 and 5 on channel 1, client me."""
    contents = Contents()
    one = StoredChannel(1, b"one")
    one.first, one.last = 3, 10
    contents.add_channel(one)
    contents.add_channel(StoredChannel(2, b"two"))
    contents.subscriptions = {4: StoredSubscription(1, False), 5: StoredSubscription(1, True)}
    contents.subscription_id_max = 5
    contents.clients[b"me"] = "me"
    contents.server = b""
    return contents


def batch_of(*state: tuple[int, bytes, bytes | None]) -> Batch:
    batch = Batch(1, 0)
    batch.state = list(state)
    return batch


def run_of(channel_id: int, first: int, *bodies: bytes) -> Run:
    run = Run(channel_id, first)
    run.bodies = list(bodies)
    run.stamps = [(0, 100)]
    return run


def subscription(number: int, channel: bytes) -> tuple[int, bytes, bytes]:
    return KIND_SUBSCRIPTION, b"%d" % number, encode_subscription(SubscriptionRecord(number, channel))


def names(changes: Changes) -> list[str]:
    return [statement for statement, _ in changes.before + changes.after]


def rows(changes: Changes, wanted: str) -> list[tuple[object, ...]]:
    return [row for statement, found in changes.before + changes.after if statement == wanted for row in found]


def test_nothing_is_nothing() -> None:
    assert plan(batch_of(), known(), Rules()).is_empty


def test_messages_are_columns() -> None:
    batch = batch_of()
    run = run_of(1, 11, b"a", b"bb", b"ccc")
    run.stamps = [(0, 100), (2, 200)]
    batch.runs = [run, run_of(2, 1, b"d")]
    changes = plan(batch, known(), Rules())
    messages = changes.messages
    assert messages.channel_ids == [1, 1, 1, 2]
    assert messages.sequences == [11, 12, 13, 1]
    assert messages.timestamps_ns == [100, 100, 200, 100]
    assert messages.bodies == [b"a", b"bb", b"ccc", b"d"]
    contents = known()
    apply(changes, contents)
    one, two = contents.channels[1], contents.channels[2]
    assert (one.first, one.last, one.last_timestamp_ns, one.body_bytes_max) == (3, 13, 200, 3)
    assert (two.first, two.last) == (1, 1)


def test_what_is_stored_is_left_out() -> None:
    batch = batch_of()
    run = run_of(1, 9, b"9", b"10", b"11", b"12")
    run.stamps = [(0, 100), (1, 150), (3, 200)]
    batch.runs = [run, run_of(1, 12, b"12", b"13"), run_of(1, 5, b"5")]
    messages = plan(batch, known(), Rules()).messages
    assert messages.sequences == [11, 12, 13]
    assert messages.timestamps_ns == [150, 200, 100]


@pytest.mark.parametrize(
    ("runs", "complaint"),
    [
        ([run_of(1, 12, b"x")], "channel 1 ends at 10, so 12 cannot be its next message"),
        ([run_of(1, 11, b"x"), run_of(1, 13, b"y")], "channel 1 ends at 11, so 13"),
        ([run_of(2, 7, b"x"), run_of(2, 9, b"y")], "channel 2 ends at 7, so 9"),
        ([run_of(3, 1, b"x")], "there is no channel 3"),
        ([run_of(1, 11, b"x" * 101)], "a message of 101 bytes does not fit: the column Messages.data takes 100"),
    ],
)
def test_runs_that_cannot_be_stored(runs: list[Run], complaint: str) -> None:
    batch = batch_of()
    batch.runs = runs
    rules = Rules()
    rules.message_bytes_max = 100
    with pytest.raises(PlanError, match=complaint):
        plan(batch, known(), rules)


@pytest.mark.parametrize(
    "entry",
    [
        (KIND_SERVER, b"server", b"\xff"),
        (KIND_CHANNEL, b"x", encode_channel_name(b"foo")),
        (KIND_CHANNEL, b"9", b""),
        (KIND_SUBSCRIPTION, b"x", b""),
    ],
)
def test_records_that_cannot_be_stored(entry: tuple[int, bytes, bytes]) -> None:
    with pytest.raises(PlanError):
        plan(batch_of(entry), known(), Rules())


def test_a_number_of_a_channel_is_given_once() -> None:
    batch = batch_of((KIND_CHANNEL, b"1", None), (KIND_CHANNEL, b"1", encode_channel_name(b"one")))
    with pytest.raises(PlanError, match="no channel's number is given twice"):
        plan(batch, known(), Rules())


def test_clients_are_put_changed_and_deleted() -> None:
    value = encode_client(ClientRecord(b"you", b"inbox", b"", 1))
    changes = plan(batch_of((KIND_CLIENT, b"you", value)), known(), Rules())
    assert rows(changes, sql.INSERT_CLIENT) == [("you", "inbox", value)]
    changes = plan(batch_of((KIND_CLIENT, b"me", value)), known(), Rules())
    assert rows(changes, sql.UPDATE_CLIENT) == [("inbox", value, "me")]
    changes = plan(batch_of((KIND_CLIENT, b"me", None), (KIND_CLIENT, b"nobody", None)), known(), Rules())
    assert rows(changes, sql.DELETE_CLIENT) == [("me",)]
    changes = plan(batch_of((KIND_CLIENT, b"me", None), (KIND_CLIENT, b"me", value)), known(), Rules())
    assert names(changes) == [sql.DELETE_CLIENT, sql.INSERT_CLIENT]


def test_the_server_has_one_row() -> None:
    entry = (KIND_SERVER, b"server", encode_server(b"c"))
    contents = known()
    assert names(plan(batch_of(entry), contents, Rules())) == [sql.UPDATE_SERVER]
    contents.server = None
    changes = plan(batch_of(entry), contents, Rules())
    assert names(changes) == [sql.INSERT_SERVER]
    apply(changes, contents)
    assert b"_STAN.pub.c" in str(contents.server).encode()


@pytest.mark.row(159)
def test_the_highest_subscription_leaves_a_tombstone_and_others_do_not() -> None:
    contents = known()
    changes = plan(batch_of((KIND_SUBSCRIPTION, b"4", None), (KIND_SUBSCRIPTION, b"5", None)), contents, Rules())
    assert rows(changes, sql.BURY_SUBSCRIPTION) == [(1, 5)]
    assert rows(changes, sql.DELETE_SUBSCRIPTION) == [(1, 4)]
    assert rows(changes, sql.DELETE_PENDING) == [(5,)]
    apply(changes, contents)
    assert (contents.subscriptions, contents.tombstones) == ({}, {5: 1})
    changes = plan(batch_of(subscription(6, b"two")), contents, Rules())
    assert rows(changes, sql.DELETE_SUBSCRIPTION) == [(1, 5)]
    assert rows(changes, sql.INSERT_SUBSCRIPTION)[0][:2] == (2, 6)
    apply(changes, contents)
    assert (contents.subscription_id_max, contents.tombstones) == (6, {})


def test_a_deleted_channel_is_marked_and_left_by_its_subscriptions() -> None:
    contents = known()
    batch = batch_of((KIND_CHANNEL, b"1", None), subscription(4, b"one"))
    batch.runs = [run_of(1, 11, b"x")]
    batch.floors = {1: 5}
    batch.cursors = [Cursor(5, 10, [])]
    changes = plan(batch, contents, Rules())
    assert rows(changes, sql.MARK_CHANNEL_DELETED) == rows(changes, sql.LEAVE_CHANNEL) == [(1,)]
    assert rows(changes, sql.UPDATE_SUBSCRIPTION)[0][1:] == (0, 4)
    assert rows(changes, sql.MOVE_SUBSCRIPTION) == [(10, 0, 5)]
    assert not changes.messages.bodies
    assert sql.RAISE_FLOOR not in names(changes)
    apply(changes, contents)
    assert contents.dead_channels == [1]
    assert contents.subscriptions[5].row_id == 0
    assert plan(batch_of((KIND_CHANNEL, b"1", None)), contents, Rules()).is_empty


@pytest.mark.parametrize(("floor", "expected"), [(3, []), (1, []), (4, [(3, 1)]), (11, [(10, 1)]), (99, [(10, 1)])])
def test_floors_rise_up_to_the_end(floor: int, expected: list[tuple[object, ...]]) -> None:
    contents = known()
    batch = batch_of()
    batch.floors = {1: floor, 2: 5, 77: 5}
    changes = plan(batch, contents, Rules())
    assert rows(changes, sql.RAISE_FLOOR) == expected
    apply(changes, contents)
    assert contents.channels[1].first == (int(str(expected[0][0])) + 1 if expected else 3)


def test_a_cursor_is_a_position_and_rows_of_what_is_pending() -> None:
    batch = batch_of()
    batch.cursors = [Cursor(4, 8, [(1, 1)]), Cursor(4, 9, [(2, 3), (7, 7)]), Cursor(5, 6, []), Cursor(99, 1, [(1, 1)])]
    contents = known()
    changes = plan(batch, contents, Rules())
    assert rows(changes, sql.MOVE_SUBSCRIPTION) == [(9, 1, 4), (6, 1, 5)]
    assert rows(changes, sql.DELETE_PENDING) == [(5,)]
    assert rows(changes, sql.INSERT_PENDING) == [(4, 1, 0, 9, b"[2,3,7]")]
    apply(changes, contents)
    assert [contents.subscriptions[number].has_pending_rows for number in (4, 5)] == [True, False]


def test_many_pending_messages_are_several_rows() -> None:
    batch = batch_of()
    batch.cursors = [Cursor(4, 5000, [(1, 5000)])]
    found = rows(plan(batch, known(), Rules()), sql.INSERT_PENDING)
    assert [row[:4] for row in found] == [(4, 1, 0, 5000), (4, 2, 0, 5000), (4, 3, 0, 5000)]
    assert all(len(bytes(row[4])) < 65_536 for row in found)  # type: ignore[call-overload]


@pytest.mark.row(153)
def test_without_a_cache_each_pending_message_is_a_row() -> None:
    batch = batch_of()
    batch.cursors = [Cursor(4, 9, [(2, 3), (7, 7)])]
    rules = Rules()
    rules.single_rows = True
    found = rows(plan(batch, known(), rules), sql.INSERT_PENDING)
    assert found == [(4, 1, 2, 0, None), (4, 2, 3, 0, None), (4, 3, 7, 0, None)]


def test_a_position_at_the_beginning_is_a_row() -> None:
    batch = batch_of()
    batch.cursors = [Cursor(4, 0, [])]
    assert rows(plan(batch, known(), Rules()), sql.INSERT_PENDING) == [(4, 1, 0, 0, None)]


def test_the_position_of_a_new_subscription_comes_after_its_row() -> None:
    batch = batch_of((KIND_CHANNEL, b"9", encode_channel_name(b"nine")), subscription(6, b"nine"))
    batch.cursors = [Cursor(6, 1, [(1, 1)])]
    batch.runs = [run_of(9, 1, b"x")]
    changes = plan(batch, known(), Rules())
    assert [name for name, _ in changes.before] == [sql.INSERT_CHANNEL, sql.INSERT_SUBSCRIPTION]
    assert [name for name, _ in changes.after] == [sql.MOVE_SUBSCRIPTION, sql.INSERT_PENDING]
    assert rows(changes, sql.INSERT_CHANNEL) == [(9, "nine", 2**31 - 1, 2**63 - 1, 0)]


def test_a_subscription_that_is_made_again_has_no_position() -> None:
    batch = batch_of((KIND_SUBSCRIPTION, b"5", None), subscription(5, b"one"))
    batch.cursors = [Cursor(5, 9, [])]
    changes = plan(batch, known(), Rules())
    assert names(changes) == [sql.DELETE_SUBSCRIPTION, sql.DELETE_PENDING, sql.INSERT_SUBSCRIPTION]


def lost_rows(changes: Changes) -> list[tuple[object, ...]]:
    """Rows that only keep a number: channel, sequence, timestamp, size, without the data."""
    return [row[:4] for row in rows(changes, sql.INSERT_MESSAGE)]


def test_a_lost_message_has_no_row_unless_it_is_the_last_one() -> None:
    contents = known()
    batch = batch_of()
    batch.runs = [run_of(1, 11, b"a", b"", b"c", b""), run_of(2, 1, b"")]
    changes = plan(batch, contents, Rules())
    assert changes.has_lost
    assert (changes.messages.sequences, changes.messages.bodies) == ([11, 13], [b"a", b"c"])
    assert lost_rows(changes) == [(1, 14, 100, 0), (2, 1, 100, 0)]
    data = rows(changes, sql.INSERT_MESSAGE)[0][4]
    assert data == encode_message(14, b"one", b"", b"", 100), "to the original it is a message without data"
    assert [bodies for _, _, bodies in changes.segments] == [[b"a", b"", b"c", b""], [b""]]
    apply(changes, contents)
    assert [(one.last, one.lost_last) for one in contents.channels.values()] == [(14, 14), (1, 1)]


def test_the_row_goes_when_there_is_another_message() -> None:
    contents = known()
    contents.channels[1].lost_last = 10
    batch = batch_of()
    batch.runs = [run_of(1, 11, b"", b""), run_of(1, 13, b"c")]
    changes = plan(batch, contents, Rules())
    assert rows(changes, sql.DELETE_LOST) == [(1, 10)]
    assert lost_rows(changes) == []
    assert changes.messages.sequences == [13]
    apply(changes, contents)
    assert contents.channels[1].lost_last == 0
    assert not plan(batch_of(), contents, Rules()).has_lost


def test_a_lost_message_of_a_channel_that_is_new_or_goes() -> None:
    batch = batch_of((KIND_CHANNEL, b"3", encode_channel_name(b"three")), (KIND_CHANNEL, b"1", None))
    batch.runs = [run_of(3, 5, b""), run_of(1, 11, b"")]
    batch.floors[3] = 6
    changes = plan(batch, known(), Rules())
    assert lost_rows(changes) == [(3, 5, 100, 0)]
    assert rows(changes, sql.RAISE_FLOOR) == [(5, 3)]
