"""What is known of the tables."""

from durabus.stores.sql.contents import Contents, StoredChannel, StoredSubscription


def test_a_deleted_channel_leaves_nothing_under_it() -> None:
    contents = Contents()
    contents.add_channel(StoredChannel(1, b"foo"))
    contents.add_channel(StoredChannel(2, b"bar"))
    contents.subscriptions = {5: StoredSubscription(1, False), 6: StoredSubscription(2, True)}
    contents.tombstones = {7: 1, 8: 2}
    contents.remove_channel(1)
    assert (list(contents.channels), contents.channel_ids, contents.dead_channels) == ([2], {b"bar": 2}, [1])
    assert [contents.subscriptions[number].row_id for number in (5, 6)] == [0, 2]
    assert contents.tombstones == {7: 0, 8: 2}


def test_a_name_that_was_given_again_stays() -> None:
    contents = Contents()
    contents.add_channel(StoredChannel(1, b"foo"))
    contents.add_channel(StoredChannel(2, b"foo"))
    contents.remove_channel(1)
    contents.remove_channel(1)
    assert contents.channel_ids == {b"foo": 2}
    assert contents.dead_channels == [1]
