"""Publishing: who may, where it goes, what is stored, and what the publisher is told in which order."""

import random

import pytest

from durabus.stores.delegating import DelegatingStore
from durabus.stores.memory import MemoryStore
from durabus.streaming.options import CoreOptions
from durabus.streaming.store_port import REFUSED
from durabus.testing.faults import FaultyStore
from tests.streaming.harness import Bus, Client, PubAck, as_delivered, decoded, encoded
from tests.wire.wire_format import blob, integer

PUBLISH = "_STAN.pub.test-cluster.foo"
INVALID = "stan: invalid publish request"


@pytest.fixture
def bus() -> Bus:
    return Bus()


@pytest.fixture
def client(bus: Bus) -> Client:
    return bus.connect("a")


def answers_to(client: Client, *payloads: bytes, subject: str = PUBLISH) -> list[PubAck]:
    """What is said to payloads sent in one chunk."""
    values = [decoded("PubAck", answer) for answer in client.ask(subject, *payloads)]
    return [PubAck(value["guid"].decode(), value["error"].decode()) for value in values]


def message(**fields: object) -> bytes:
    """A PubMsg with just these fields."""
    return encoded("PubMsg", **fields)


# What is stored.


@pytest.mark.row(26)
def test_sequences_begin_at_1_and_leave_nothing_out(bus: Bus, client: Client) -> None:
    assert client.publish("foo", b"a", b"b") == [PubAck("a.1"), PubAck("a.2")]
    assert client.publish("bar", b"c") == [PubAck("a.3")]
    assert client.publish("foo", b"d") == [PubAck("a.4")]
    assert client.publish("foo", b"refused", guid="") == [PubAck("", INVALID)]
    assert client.publish("foo", b"e") == [PubAck("a.6")]
    bus.restart()
    assert client.publish("foo", b"f") == [PubAck("a.7")]
    assert [one.sequence for one in bus.stored("foo")] == [1, 2, 3, 4, 5]
    assert [one.data for one in bus.stored("foo")] == [b"a", b"b", b"d", b"e", b"f"]
    assert [(one.sequence, one.data) for one in bus.stored("bar")] == [(1, b"c")]


@pytest.mark.row(25)
def test_what_is_stored_is_what_was_said(bus: Bus, client: Client) -> None:
    client.publish("foo", b"\x00\xff", reply="an answer, please", sha256=b"whatever")
    (stored,) = bus.stored("foo")
    assert (stored.data, stored.reply, stored.channel) == (b"\x00\xff", b"an answer, please", b"foo")
    assert (stored.redelivered, stored.count) == (False, 0)
    assert stored.timestamp_ns == bus.clock.wall_ns()


@pytest.mark.row(25)
@pytest.mark.parametrize("size", [0, 1, 127, 128, 16383, 16384, 500_000])
def test_data_of_any_size(bus: Bus, client: Client, size: int) -> None:
    data = random.Random(size).randbytes(size)
    assert client.publish("foo", data) == [PubAck("a.1")]
    assert bus.stored("foo")[0].data == data


@pytest.mark.row(24)
def test_the_channel_is_that_of_the_message_and_not_of_the_subject(bus: Bus, client: Client) -> None:
    request = client.publish_message("foo", b"x")
    assert answers_to(client, request, subject="_STAN.pub.test-cluster.bar") == [PubAck("a.1")]
    assert bus.stored("foo")
    assert b"bar" not in bus.core.state.channels


@pytest.mark.row(28)
def test_one_guid_twice_is_two_messages(bus: Bus, client: Client) -> None:
    assert client.publish("foo", b"x", b"x", guid="same") == [PubAck("same"), PubAck("same")]
    assert len(bus.stored("foo")) == 2


@pytest.mark.parametrize("name", [b"foo", b"a b", b"a\tb", b"\xff\xfe", "é".encode(), b"a.b.c", b"x" * 300, b"a\x00b"])
def test_names_of_channels_that_are_accepted(bus: Bus, client: Client, name: bytes) -> None:
    request = message(client_id="a", guid="1", subject=name, data=b"x", connection_id=client.connection_id)
    assert answers_to(client, request) == [PubAck("1")]
    assert list(bus.core.state.channels) == [name]


@pytest.mark.row(23)
def test_without_a_reply_subject_it_is_stored_all_the_same(bus: Bus, client: Client) -> None:
    client.send(PUBLISH, client.publish_message("foo", b"x"))
    assert [one.data for one in bus.stored("foo")] == [b"x"]


# Who may.


@pytest.mark.row(17)
def test_a_connection_id_alone_is_enough(client: Client) -> None:
    assert client.publish("foo", b"x", client_id="") == [PubAck("a.1")]
    assert client.publish("foo", b"x", client_id="somebody else") == [PubAck("a.2")]


@pytest.mark.row(17)
def test_a_client_id_alone_is_enough(client: Client) -> None:
    assert client.publish("foo", b"x", connection_id=b"") == [PubAck("a.1")]


@pytest.mark.row(17, 21)
@pytest.mark.parametrize(
    "fields",
    [
        {"connection_id": b"wrong"},
        {"connection_id": b"", "client_id": "nobody"},
        {"connection_id": b"", "client_id": ""},
        {"guid": ""},
        {"subject": ""},
        {"subject": "a/b"},
        {"subject": "a.*"},
        {"subject": "a*"},
        {"subject": ">"},
        {"subject": ".a"},
        {"subject": "a."},
        {"subject": "a..b"},
    ],
)
def test_one_text_for_all_that_is_wrong(bus: Bus, client: Client, fields: dict[str, object]) -> None:
    guid = str(fields.get("guid", "a.1"))
    assert client.publish("foo", b"x", **fields) == [PubAck(guid, INVALID)]
    assert bus.core.state.channels == {}, "and nothing is left behind"


def test_an_empty_payload_is_a_message_of_defaults(client: Client) -> None:
    assert answers_to(client, b"") == [PubAck("", INVALID)]


@pytest.mark.row(21)
@pytest.mark.parametrize(
    ("payload", "guid"),
    [
        (b"\xff", ""),
        (b"garbage", ""),
        (integer(2, 5), ""),
        (blob(2, b"g1") + integer(3, 5), "g1"),
        (blob(2, b"g1") + b"\x1a\x09short", "g1"),
        (blob(2, b"g" * 200) + b"\x1a\x09short", "g" * 200),
    ],
)
def test_what_cannot_be_decoded_is_refused_with_the_guid_as_far_as_it_was_read(
    client: Client, payload: bytes, guid: str
) -> None:
    assert answers_to(client, payload) == [PubAck(guid, INVALID)]


@pytest.mark.row(22)
@pytest.mark.parametrize("payload", [b"\x08\x01", integer(1, 3) + blob(2, b"server") + blob(3, b"data")])
def test_what_servers_say_to_each_other_is_dropped_without_a_word(bus: Bus, client: Client, payload: bytes) -> None:
    assert answers_to(client, payload) == []
    assert bus.core.state.channels == {}


def test_nobody_publishes_after_closing(bus: Bus, client: Client) -> None:
    client.publish("foo", b"1")
    client.close()
    assert client.publish("foo", b"2") == [PubAck("a.2", INVALID)]
    assert client.publish("foo", b"2", connection_id=b"") == [PubAck("a.3", INVALID)]
    assert len(bus.stored("foo")) == 1


def test_nobody_publishes_after_being_replaced(bus: Bus, client: Client) -> None:
    client.publish("foo", b"1")
    client.vanish()
    newcomer = bus.connect("a")
    client.return_()
    assert client.publish("foo", b"2") == [PubAck("a.2", INVALID)]
    assert newcomer.publish("foo", b"3") == [PubAck("a.1")]


def test_of_two_with_one_connection_id_neither_publishes_when_one_has_gone(bus: Bus) -> None:
    first = bus.connect("a", connection_id="same")
    first.connection_id = b"same"
    assert first.publish("foo", b"1") == [PubAck("a.1")]
    second = bus.connect("b", connection_id="same")
    second.connection_id = b"same"
    assert second.publish("foo", b"2") == [PubAck("b.1")]
    assert first.publish("foo", b"3") == [PubAck("a.2")], "one connection ID is one sender"
    second.close()
    assert first.publish("foo", b"4") == [PubAck("a.3", INVALID)]


def test_a_publisher_need_not_be_the_one_who_published_last(bus: Bus, client: Client) -> None:
    other = bus.connect("b")
    for _ in range(3):
        assert client.publish("foo", b"x")[0].error == ""
        assert other.publish("bar", b"x")[0].error == ""
        assert client.publish("bar", b"x", connection_id=b"")[0].error == ""
    assert (len(bus.stored("foo")), len(bus.stored("bar"))) == (3, 6)


# Channels.


@pytest.mark.row(33)
def test_too_many_channels() -> None:
    options = CoreOptions()
    options.channels_max = 1
    client = Bus(options=options).connect("a")
    assert client.publish("foo", b"x") == [PubAck("a.1")]
    assert client.publish("bar", b"x") == [PubAck("a.2", "too many channels")]
    assert client.publish("foo", b"x") == [PubAck("a.3")], "other channels are not affected"


class ShortNames(DelegatingStore):
    """Takes channels of three letters."""

    def channel_complaint(self, name: bytes) -> str:
        return "" if len(name) <= 3 else "channel name too long"


def test_a_channel_that_the_store_cannot_take() -> None:
    bus = Bus(ShortNames(MemoryStore()))
    client = bus.connect("a")
    assert client.publish("foot", b"x") == [PubAck("a.1", "channel name too long")]
    assert client.publish("foo", b"x") == [PubAck("a.2")]
    assert [one.sequence for one in bus.stored("foo")] == [1]
    assert len(bus.core.state.channels) == 1


def test_names_that_differ_in_case(client: Client) -> None:
    error = 'rejecting channel "Foo" because channel "foo" alreay exists (different cases not allowed)'
    assert client.publish("foo", b"x") == [PubAck("a.1")]
    assert client.publish("Foo", b"x") == [PubAck("a.2", error)]


@pytest.mark.row(31)
def test_many_channels_at_once(bus: Bus) -> None:
    clients = [bus.connect(f"c{number}") for number in range(5)]
    with bus.turn():
        acks = [client.publish(f"ch{n % 7}", b"x") for n in range(70) for client in clients]
    assert {ack.error for answer in acks for ack in answer} == {""}
    assert [len(bus.stored(f"ch{number}")) for number in range(7)] == [50] * 7
    assert len(bus.core.state.channels_by_id) == 7


# Order.


def test_answers_come_in_the_order_of_the_messages_refusals_too(client: Client) -> None:
    """All of them in one chunk, and (being of one size) one run for the broker."""
    requests = [client.publish_message("foo", b"x", guid=f"g{number}") for number in range(6)]
    requests[1] = requests[1].replace(client.connection_id, b"?" * len(client.connection_id))
    requests[4] = requests[4].replace(b"foo", b"f/o")
    answers = answers_to(client, *requests)
    assert [answer.guid for answer in answers] == ["g0", "g1", "g2", "g3", "g4", "g5"]
    assert [bool(answer.error) for answer in answers] == [False, True, False, False, True, False]


@pytest.mark.row(29)
def test_a_subscriber_on_the_same_socket_sees_the_message_before_the_ack(client: Client) -> None:
    sub = client.subscribe("foo")
    client.heard.clear()
    client.publish("foo", b"1", b"2", b"3")
    kinds = ["message" if subject == sub.inbox.encode() else "ack" for subject, _ in client.heard]
    assert kinds == ["message"] * 3 + ["ack"] * 3


def test_messages_of_several_publishers_interleave_as_they_came(bus: Bus) -> None:
    clients = [bus.connect(f"c{number}") for number in range(3)]
    said: list[bytes] = []
    with bus.turn():
        for number in range(30):
            data = b"%d" % number
            said.append(data)
            clients[number * 7 % 3].publish("foo", data)
    assert [one.data for one in bus.stored("foo")] == said


def test_two_channels_in_one_chunk(bus: Bus, client: Client) -> None:
    requests = [client.publish_message(name, b"x") for name in ("foo", "bar", "foo", "bar", "foo")]
    assert [answer.error for answer in answers_to(client, *requests)] == [""] * 5
    assert [one.sequence for one in bus.stored("foo")] == [1, 2, 3]
    assert [one.sequence for one in bus.stored("bar")] == [1, 2]


# Time.


def test_timestamps_follow_the_clock(bus: Bus, client: Client) -> None:
    stamps = []
    for _ in range(3):
        client.publish("foo", b"x")
        stamps.append(bus.clock.wall_ns())
        bus.advance(0.000_000_7)
    assert [one.timestamp_ns for one in bus.stored("foo")] == stamps


@pytest.mark.row(27)
def test_timestamps_never_go_back(bus: Bus, client: Client) -> None:
    client.publish("foo", b"1")
    first = bus.clock.wall_ns()
    bus.clock._wall_ns -= 3_600_000_000_000
    client.publish("foo", b"2")
    client.publish("bar", b"1")
    assert [one.timestamp_ns for one in bus.stored("foo")] == [first, first]
    assert [one.timestamp_ns for one in bus.stored("bar")] == [bus.clock.wall_ns()], "each channel by itself"


@pytest.mark.row(27)
def test_timestamps_do_not_go_back_over_a_restart(bus: Bus, client: Client) -> None:
    client.publish("foo", b"1")
    first = bus.clock.wall_ns()
    bus.clock._wall_ns -= 3_600_000_000_000
    bus.restart()
    client.publish("foo", b"2")
    assert [one.timestamp_ns for one in bus.stored("foo")] == [first, first]


# Size.


def test_a_message_that_the_store_cannot_take() -> None:
    store = DelegatingStore(MemoryStore())
    store.message_bytes_max = 100
    bus = Bus(store)
    client = bus.connect("a")
    fits = 100 - len(client.publish_message("foo", b"", guid="g")) - 2
    assert client.publish("foo", b"x" * fits, b"y" * (fits + 1), b"z", guid="g") == [
        PubAck("g"),
        PubAck("g", "message too large for this store"),
        PubAck("g"),
    ]
    assert [one.sequence for one in bus.stored("foo")] == [1, 2], "what is refused uses no sequence"


# Batches.


def bus_on_faulty_store(batch_messages_max: int = 1024, batches_in_flight_max: int = 1) -> tuple[Bus, FaultyStore]:
    """A bus on a store that does as a test wants."""
    store = FaultyStore(MemoryStore())
    store.batches_in_flight_max = batches_in_flight_max
    options = CoreOptions()
    options.batch_messages_max = batch_messages_max
    return Bus(store, options), store


def sizes(store: FaultyStore) -> list[int]:
    """How many messages each batch had that had any."""
    counts = [sum(len(run.bodies) for run in batch.runs) for batch in store.submitted]
    return [count for count in counts if count]


def test_what_comes_in_one_turn_is_one_batch() -> None:
    bus, store = bus_on_faulty_store()
    clients = [bus.connect("a"), bus.connect("b")]
    with bus.turn():
        for client in clients:
            client.publish("foo", b"1", b"2")
            client.publish("bar", b"3")
    assert sizes(store) == [6]
    batch = store.submitted[-1]
    assert [(run.channel_id, run.first_sequence, len(run.bodies)) for run in batch.runs] == [(1, 1, 4), (2, 1, 2)]


@pytest.mark.row(32)
def test_a_batch_has_no_more_messages_than_allowed() -> None:
    bus, store = bus_on_faulty_store(batch_messages_max=4)
    client = bus.connect("a")
    acks = client.publish("foo", *[b"%d" % number for number in range(10)])
    assert sizes(store) == [4, 4, 2]
    assert [ack.guid for ack in acks] == [f"a.{number}" for number in range(1, 11)]
    assert [one.data for one in bus.stored("foo")] == [b"%d" % number for number in range(10)]


def test_a_store_may_want_its_batches_sooner() -> None:
    bus, store = bus_on_faulty_store(batch_messages_max=8, batches_in_flight_max=2)
    store.batch_messages_best = 3
    client = bus.connect("a")
    store.hold()
    client.publish("foo", *[b"x"] * 10)
    assert sizes(store) == [3, 3]
    with bus.turn():
        store.stop_holding()
    assert sizes(store) == [3, 3, 4]


@pytest.mark.row(32)
def test_what_a_store_wants_is_never_more_than_allowed() -> None:
    bus, store = bus_on_faulty_store(batch_messages_max=4)
    store.batch_messages_best = 256
    bus.connect("a").publish("foo", *[b"x"] * 10)
    assert sizes(store) == [4, 4, 2]


def test_several_chunks_share_the_room_of_a_batch() -> None:
    bus, store = bus_on_faulty_store(batch_messages_max=4)
    client = bus.connect("a")
    with bus.turn():
        for _ in range(3):
            client.publish("foo", b"1", b"2", b"3")
    assert sizes(store) == [4, 4, 1]


@pytest.mark.row(26, 32)
def test_while_the_store_is_busy_the_next_batch_grows() -> None:
    bus, store = bus_on_faulty_store(batch_messages_max=4)
    client = bus.connect("a")
    store.hold()
    acks = client.publish("foo", *[b"x"] * 11)
    assert (sizes(store), acks) == ([4], [])
    with bus.turn():
        store.stop_holding()
    assert sizes(store) == [4, 7]
    assert len(acks) == 11
    assert [one.sequence for one in bus.stored("foo")] == list(range(1, 12))


@pytest.mark.row(30)
def test_a_batch_that_fails_in_the_middle_of_a_run_refuses_the_rest() -> None:
    bus, store = bus_on_faulty_store(batch_messages_max=2)
    client = bus.connect("a")
    client.publish("foo", b"0")
    store.fail(REFUSED, "no space left on device", nth=2)
    acks = client.publish("foo", *[b"x"] * 7)
    assert [ack.error for ack in acks] == [""] * 2 + ["no space left on device"] * 5
    assert [ack.guid for ack in acks] == [f"a.{number}" for number in range(2, 9)]
    bus.recover()
    assert len(bus.stored("foo")) == 3


def test_one_body_for_the_store_and_for_subscribers() -> None:
    bus, store = bus_on_faulty_store()
    client = bus.connect("a")
    sub = client.subscribe("foo")
    client.publish("foo", b"x", reply="r")
    (body,) = store.submitted[-1].runs[0].bodies
    assert [as_delivered(body, 0.0)] == sub.messages


# Counters.


@pytest.mark.row(34)
def test_counters_count_what_could_be_decoded_refused_or_not(bus: Bus, client: Client) -> None:
    good = client.publish_message("foo", b"x")
    bad = client.publish_message("a/b", b"x")
    answers_to(client, good, bad, b"\xff", b"\x08\x01", good)
    statistics = bus.core.state.statistics
    assert statistics.in_messages == 3
    assert statistics.in_bytes == 2 * len(good) + len(bad)
