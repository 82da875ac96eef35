"""The limits are those of nats-server where it has them, and the parser's defaults are they."""

from durabus.wire import limits
from durabus.wire.operations import Publish, Violation
from durabus.wire.parser import Parser
from durabus.wire.varint import varint


def test_the_defaults_of_nats_server() -> None:
    assert limits.CONTROL_LINE_BYTES_MAX == 4096
    assert limits.PAYLOAD_BYTES_MAX == 1_048_576


def test_a_payload_of_the_largest_size_passes_and_no_larger() -> None:
    size = limits.PAYLOAD_BYTES_MAX
    (publish,) = Parser().feed(b"PUB foo %d\r\n" % size + b"x" * size + b"\r\n")
    assert isinstance(publish, Publish)
    assert len(publish.payloads[0]) == size
    (violation,) = Parser().feed(b"PUB foo %d\r\n" % (size + 1))
    assert isinstance(violation, Violation)
    assert violation.answer == "Maximum Payload Violation"


def test_a_subject_that_fills_the_longest_control_line_passes() -> None:
    subject = b"x" * (limits.CONTROL_LINE_BYTES_MAX - 2)
    (publish,) = Parser().feed(b"PUB " + subject + b" 1\r\nx\r\n")
    assert isinstance(publish, Publish)
    assert publish.subject == subject


def test_sizes_have_room_for_every_allowed_payload() -> None:
    assert 10**limits.SIZE_DIGITS_MAX > limits.PAYLOAD_BYTES_MAX
    (publish,) = Parser().feed(b"PUB foo %0*d\r\nx\r\n" % (limits.SIZE_DIGITS_MAX, 1))
    assert isinstance(publish, Publish)
    (violation,) = Parser().feed(b"PUB foo %0*d\r\nx\r\n" % (limits.SIZE_DIGITS_MAX + 1, 1))
    assert isinstance(violation, Violation)


def test_the_longest_varint() -> None:
    assert len(varint((1 << 64) - 1)) == limits.VARINT_BYTES_MAX
    assert len(varint(-1)) == limits.VARINT_BYTES_MAX


def test_every_limit_is_above_zero() -> None:
    found = {name: value for name, value in vars(limits).items() if name.isupper()}
    assert len(found) >= 5
    assert all(value > 0 for value in found.values())
