"""How events become bytes: one module per encoding, behind one port."""

from dataclasses import dataclass
from typing import Final, Protocol, TypeVar

from durabus.errors import DurabusError

__all__ = [
    "AVRO",
    "ENCODINGS",
    "JSON",
    "PROTOBUF",
    "AvroSchema",
    "Codec",
    "DecodeError",
    "EncodeError",
    "ProtobufSchema",
    "make_codec",
]

E = TypeVar("E")

JSON: Final = "json"
PROTOBUF: Final = "protobuf"
AVRO: Final = "avro"
ENCODINGS: Final = (JSON, PROTOBUF, AVRO)


class EncodeError(DurabusError):
    """An event that its encoding cannot write; the text names the field."""


class DecodeError(DurabusError):
    """A payload that is no such event; the text says where it departs from the definition, and so does `path`.

    `path` is like `$.user.name` or `$.seats[2]`; `$` when it is the whole, or nobody knows.
    """

    def __init__(self, text: str, path: str = "$") -> None:
        """Say what is wrong with the payload, and where."""
        super().__init__(text)
        self.path = path


@dataclass(frozen=True, slots=True)
class AvroSchema:
    """The schema that events are written with, as JSON text."""

    text: str


@dataclass(frozen=True, slots=True)
class ProtobufSchema:
    """A message type: its full name, and a serialized FileDescriptorSet that has it with everything it refers to."""

    message: str
    descriptors: bytes


class Codec(Protocol[E]):
    """One class of events to bytes and back."""

    def encode(self, event: E) -> bytes:
        """The payload; raises EncodeError."""
        raise NotImplementedError  # pragma: no cover - abstract

    def decode(self, data: bytes) -> E:
        """The event; raises DecodeError, whatever the bytes are."""
        raise NotImplementedError  # pragma: no cover - abstract


def make_codec(cls: type[E], encoding: str, schema: AvroSchema | ProtobufSchema | None) -> Codec[E]:
    """The codec of a class. Libraries that only one encoding needs are imported when it is used."""
    if encoding == PROTOBUF:
        from durabus.events.codecs.protobuf import protobuf_codec

        return protobuf_codec(cls, schema)
    if encoding == AVRO:
        from durabus.events.codecs.avro import avro_codec

        return avro_codec(cls, schema)
    from durabus.events.codecs.json import json_codec

    return json_codec(cls)
