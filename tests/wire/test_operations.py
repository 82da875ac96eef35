"""Operations are plain values: they keep what they were given, the very objects, without a copy."""

import pytest

from durabus.wire import operations
from durabus.wire.operations import (
    Connect,
    Delivery,
    Info,
    Ok,
    Operation,
    Ping,
    Pong,
    Publish,
    Refusal,
    Subscribe,
    Unsubscribe,
    Violation,
)


def every_operation() -> list[Operation]:
    """One of each."""
    return [
        Connect(b"{}"),
        Publish(b"foo", b"back", 2, [b"xy", b"zz"]),
        Subscribe(b"foo.*", b"workers", b"1"),
        Unsubscribe(b"1", 5),
        Ping(),
        Pong(),
        Violation("Unknown Protocol Operation", "the line b'X'"),
        Info(b"{}"),
        Delivery(b"1", Publish(b"foo", b"", 0, [b"x"])),
        Ok(),
        Refusal("Authorization Violation"),
    ]


def test_each_is_an_operation_of_its_own_type() -> None:
    found = every_operation()
    assert all(isinstance(operation, Operation) for operation in found)
    assert {type(operation).__name__ for operation in found} | {"Operation"} == set(operations.__all__)


def test_a_run_is_kept_without_a_copy() -> None:
    payloads = [b"one", b"two"]
    run = Publish(b"foo", b"back", 2, payloads)
    assert run.payloads is payloads
    assert (run.subject, run.reply, run.header_bytes) == (b"foo", b"back", 2)


def test_arguments_are_kept() -> None:
    connect, _, subscribe, unsubscribe, _, _, violation, info, delivery, _, refusal = every_operation()
    assert isinstance(connect, Connect)
    assert connect.document == b"{}"
    assert isinstance(subscribe, Subscribe)
    assert (subscribe.subject, subscribe.queue, subscribe.sid) == (b"foo.*", b"workers", b"1")
    assert isinstance(unsubscribe, Unsubscribe)
    assert (unsubscribe.sid, unsubscribe.message_count_max) == (b"1", 5)
    assert isinstance(violation, Violation)
    assert (violation.answer, violation.detail) == ("Unknown Protocol Operation", "the line b'X'")
    assert isinstance(info, Info)
    assert info.document == b"{}"
    assert isinstance(delivery, Delivery)
    assert (delivery.sid, delivery.publish.payloads) == (b"1", [b"x"])
    assert isinstance(refusal, Refusal)
    assert refusal.text == "Authorization Violation"


@pytest.mark.parametrize("operation", every_operation(), ids=lambda operation: type(operation).__name__)
def test_operations_are_compared_by_identity(operation: Operation) -> None:
    twin = next(other for other in every_operation() if type(other) is type(operation))
    assert operation != twin, "no comparison by value on the hot path"
