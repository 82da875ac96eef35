"""The STAN messages and NATS frames of a test's clients, written and read by the protobuf library and by hand."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, NamedTuple

from tests.wire import stan_oracle


def encoded(message: str, **values: object) -> bytes:
    """The bytes of a STAN message; texts may be str."""
    return stan_oracle.encode(message, {name: as_bytes(value) for name, value in values.items()})


def decoded(message: str, data: bytes) -> dict[str, Any]:
    """The fields of a STAN message, texts as bytes."""
    values = stan_oracle.decode(message, data)
    assert values is not None, f"no {message}: {data!r}"
    return values


def as_bytes(value: object) -> object:
    """A str as its bytes, anything else as it is."""
    return value.encode() if isinstance(value, str) else value


class PubAck(NamedTuple):
    """What a publisher is told."""

    guid: str
    error: str = ""


@dataclass(frozen=True, slots=True)
class Delivered:
    """A message as it arrived, at virtual second `at_s`."""

    sequence: int
    data: bytes
    redelivered: bool
    count: int
    timestamp_ns: int
    at_s: float
    channel: bytes
    reply: bytes


def as_delivered(body: bytes, at_s: float) -> Delivered:
    """A MsgProto that arrived at `at_s`."""
    values = decoded("MsgProto", body)
    return Delivered(
        values["sequence"],
        values["data"],
        values["redelivered"],
        values["redelivery_count"],
        values["timestamp_ns"],
        at_s,
        values["subject"],
        values["reply"],
    )


def frames(data: bytes, errors: list[bytes], on_ping: Callable[[], None]) -> Iterator[tuple[bytes, bytes, bytes]]:
    """Subject, reply and payload of every message that a server sent, header blocks cut off."""
    position = 0
    while position < len(data):
        end = data.index(b"\r\n", position)
        verb, *arguments = data[position:end].split()
        position = end + 2
        if verb == b"PING":
            on_ping()
        elif verb == b"-ERR":
            errors.append(data[position:end])
        elif verb in (b"MSG", b"HMSG"):
            size = int(arguments[-1])
            header_bytes = int(arguments[-2]) if verb == b"HMSG" else 0
            has_reply = len(arguments) == (5 if verb == b"HMSG" else 4)
            payload = data[position + header_bytes : position + size]
            position += size + 2
            yield arguments[0], arguments[2] if has_reply else b"", payload
