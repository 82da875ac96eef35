"""The model of what a store must hold is right itself: worked examples, by hand."""

from durabus.streaming.store_port import KIND_CHANNEL, KIND_CLIENT, KIND_SUBSCRIPTION, Batch, Cursor, Run
from durabus.testing.conformance.model import ChannelModel, Model


def run_of(channel_id: int, first: int, *bodies: bytes) -> Run:
    run = Run(channel_id, first)
    run.bodies = list(bodies)
    run.stamps = [(0, first * 100)]
    return run


def batch_of(*runs: Run) -> Batch:
    batch = Batch(1, 0)
    batch.runs = list(runs)
    return batch


def figures(channel: ChannelModel) -> tuple[int, int, list[bytes]]:
    return channel.first, channel.last, [channel.bodies[sequence] for sequence in sorted(channel.bodies)]


def test_nothing() -> None:
    channel = ChannelModel()
    channel.drop_below(5)
    assert figures(channel) == (0, 0, [])
    assert channel.seek(0) == 0
    assert channel.range(1, 10) == []


def test_messages_floors_and_seeks() -> None:
    model = Model()
    model.apply(batch_of(run_of(1, 1, b"a", b"b"), run_of(1, 3, b"c"), run_of(2, 7, b"x")))
    assert figures(model.channels[1]) == (1, 3, [b"a", b"b", b"c"])
    assert figures(model.channels[2]) == (7, 7, [b"x"])
    channel = model.channels[1]
    assert [channel.seek(at) for at in (0, 100, 101, 300, 301)] == [1, 1, 3, 3, 4]
    assert channel.range(2, 1) == [b"b"]
    assert channel.range(2, 10) == [b"b", b"c"]
    model.apply(batch_of(run_of(1, 2, b"other", b"other", b"d")))
    assert figures(channel) == (1, 4, [b"a", b"b", b"c", b"d"])
    assert channel.last_timestamp_ns == 200
    floors = Batch(2, 0)
    floors.floors = {1: 3, 2: 8, 9: 1}
    model.apply(floors)
    assert figures(channel) == (3, 4, [b"c", b"d"])
    assert channel.seek(0) == 3
    assert figures(model.channels[2]) == (8, 7, [])
    assert model.channels[2].seek(0) == 8
    model.apply(batch_of(run_of(2, 8, b"y")))
    assert figures(model.channels[2]) == (8, 8, [b"y"])


def test_gaps() -> None:
    model = Model()
    model.apply(batch_of(run_of(1, 1, b"a", b"b")))
    assert not model.has_gap(batch_of(run_of(1, 3, b"c"), run_of(1, 4, b"d"), run_of(2, 50, b"x")))
    assert not model.has_gap(batch_of(run_of(1, 1, b"a", b"b", b"c")))
    assert model.has_gap(batch_of(run_of(1, 4, b"d")))
    assert model.has_gap(batch_of(run_of(1, 3, b"c"), run_of(1, 5, b"e")))
    assert model.has_gap(batch_of(run_of(2, 50, b"x"), run_of(2, 52, b"y")))


def test_state_and_what_goes_with_it() -> None:
    model = Model()
    batch = batch_of(run_of(1, 1, b"a"))
    batch.state = [(KIND_CHANNEL, b"1", b"foo"), (KIND_SUBSCRIPTION, b"7", b"sub"), (KIND_CLIENT, b"1", b"me")]
    batch.cursors = [Cursor(7, 1, [(1, 1)]), Cursor(7, 1, [])]
    model.apply(batch)
    assert model.cursors[7].pending == []
    deletion = batch_of(run_of(1, 2, b"b"))
    deletion.cursors = [Cursor(7, 2, [])]
    deletion.state = [(KIND_CHANNEL, b"1", None), (KIND_SUBSCRIPTION, b"7", None), (KIND_CLIENT, b"2", None)]
    model.apply(deletion)
    assert model.state == {(KIND_CLIENT, b"1"): b"me"}
    assert model.channels == {}
    assert model.cursors == {}
