"""What is said when a batch is durable, and what when it is not."""

import pytest

from durabus.broker.router import Router
from durabus.streaming.effects import Acks, Effect, Reply
from tests.broker.fakes import FakeReceiver
from tests.streaming.harness import PubAck, decoded

WHY = "no space left on device"


@pytest.fixture
def router() -> Router:
    return Router()


@pytest.fixture
def receiver(router: Router) -> FakeReceiver:
    receiver = FakeReceiver()
    router.subscribe(b">", receiver)
    return receiver


def acks_of(receiver: FakeReceiver) -> list[PubAck]:
    """What publishers were told."""
    values = [decoded("PubAck", payload) for _, _, payload in receiver.got()]
    return [PubAck(value["guid"].decode(), value["error"].decode()) for value in values]


def acks(*guids: bytes, reply: bytes = b"acks") -> Acks:
    """Acknowledgements of one run."""
    effect = Acks(reply)
    effect.guid_fields += [bytes([len(guid)]) + guid for guid in guids]
    return effect


def test_acks_of_a_run_are_one_run(router: Router, receiver: FakeReceiver) -> None:
    acks(b"1", b"22", b"333").release(router)
    assert len(receiver.runs) == 1
    assert acks_of(receiver) == [PubAck("1"), PubAck("22"), PubAck("333")]
    assert receiver.runs[0].subject == b"acks"


def test_refused_acks_say_why_to_each(router: Router, receiver: FakeReceiver) -> None:
    acks(b"1", b"22").refuse(router, WHY)
    assert acks_of(receiver) == [PubAck("1", WHY), PubAck("22", WHY)]


def test_a_long_guid_comes_back_whole(router: Router, receiver: FakeReceiver) -> None:
    effect = Acks(b"acks")
    effect.guid_fields.append(b"\xac\x02" + b"g" * 300)
    effect.release(router)
    effect.refuse(router, WHY)
    assert acks_of(receiver) == [PubAck("g" * 300), PubAck("g" * 300, WHY)]


def test_nobody_waits_for_acks(router: Router, receiver: FakeReceiver) -> None:
    acks(b"1", reply=b"").release(router)
    acks(b"1", reply=b"").refuse(router, WHY)
    acks().release(router)
    assert receiver.got() == []


def test_a_reply_is_sent_as_it_is(router: Router, receiver: FakeReceiver) -> None:
    Reply(b"inbox", b"\x0a\x03abc", 5).release(router)
    assert receiver.got() == [(b"inbox", b"", b"\x0a\x03abc")]


@pytest.mark.parametrize(
    ("message", "field"), [("ConnectResponse", 5), ("SubscriptionResponse", 3), ("CloseResponse", 1)]
)
def test_a_refused_reply_is_an_error_of_its_kind(
    router: Router, receiver: FakeReceiver, message: str, field: int
) -> None:
    Reply(b"inbox", b"whatever", field).refuse(router, WHY)
    ((subject, _, payload),) = receiver.got()
    assert subject == b"inbox"
    assert {name: value for name, value in decoded(message, payload).items() if value} == {"error": WHY.encode()}


def test_an_error_rests_on_nothing_and_is_sent_whatever_happens(router: Router, receiver: FakeReceiver) -> None:
    reply = Reply(b"inbox", b"\x0a\x01e", 0)
    reply.refuse(router, WHY)
    assert receiver.got() == [(b"inbox", b"", b"\x0a\x01e")]


def test_nobody_waits_for_a_reply(router: Router, receiver: FakeReceiver) -> None:
    for field in (0, 5):
        Reply(b"", b"x", field).release(router)
        Reply(b"", b"x", field).refuse(router, WHY)
    assert receiver.got() == []


@pytest.mark.parametrize("why", ["x" * 127, "x" * 128, "é" * 99, "€" * 9_999])
def test_long_words_of_a_store_are_passed_on_whole(router: Router, receiver: FakeReceiver, why: str) -> None:
    acks(b"1").refuse(router, why)
    Reply(b"inbox", b"", 5).refuse(router, why)
    (ack, reply) = (payload for _, _, payload in receiver.got())
    assert decoded("PubAck", ack)["error"].decode() == why
    assert decoded("ConnectResponse", reply)["error"].decode() == why


def test_an_effect_has_to_say_both(router: Router) -> None:
    with pytest.raises(NotImplementedError):
        Effect().release(router)
    with pytest.raises(NotImplementedError):
        Effect().refuse(router, WHY)
