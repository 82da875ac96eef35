"""What makes a class an event: a subject, a version, and how it becomes bytes.

@event("ticket:created", version=2)
class TicketCreated(Event):
    id: str
    price: float
    event_id: str = event_id()

The class is a msgspec Struct (`Event` is one), a dataclass or a pydantic model; the decorator leaves it as it is.
"""

import uuid
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, Generic, TypeVar, dataclass_transform

import msgspec

from durabus.errors import DurabusError
from durabus.events.codecs import (
    AVRO,
    ENCODINGS,
    JSON,
    PROTOBUF,
    AvroSchema,
    Codec,
    EncodeError,
    ProtobufSchema,
    make_codec,
)
from durabus.wire.subjects import is_channel_name

__all__ = [
    "AVRO",
    "JSON",
    "PROTOBUF",
    "Event",
    "EventDefinitionError",
    "EventType",
    "event",
    "event_id",
    "event_type",
    "new_event_id",
]

E = TypeVar("E")
MARK: Final = "__durabus_event__"  # the attribute of a class that holds its EventType


class EventDefinitionError(DurabusError):
    """A class that cannot be an event, or is not one; the text says what to change."""


class _EventMeta(msgspec.StructMeta):
    """Makes what is said of `Event` hold for every class below it: `msgspec.Struct` does not hand `kw_only` down."""

    def __new__(
        mcs,
        name: str,
        bases: tuple[type, ...],
        namespace: dict[str, Any],
        **options: Any,  # noqa: ANN401 - those of Struct
    ) -> "_EventMeta":
        options.setdefault("frozen", True)
        options.setdefault("kw_only", True)
        return super().__new__(mcs, name, bases, namespace, **options)


if TYPE_CHECKING:
    # What the metaclass does, for type checkers. To these a class that is not frozen below a frozen one is a mistake.
    @dataclass_transform(frozen_default=True, kw_only_default=True, field_specifiers=(msgspec.field,))
    class Event(msgspec.Struct, frozen=True, kw_only=True, metaclass=_EventMeta):
        """A base for events: a msgspec Struct, immutable, made with keywords; it takes the options of Struct.

        `class TicketCreated(Event, rename="camel")` writes `user_id` as `userId`.
        """

        def __init_subclass__(cls, **options: Any) -> None: ...  # noqa: ANN401 - those of Struct

else:

    class Event(msgspec.Struct, metaclass=_EventMeta):
        """A base for events: a msgspec Struct, immutable, made with keywords; it takes the options of Struct.

        `class TicketCreated(Event, rename="camel")` writes `user_id` as `userId`.
        """


def new_event_id() -> str:
    """A random UUID: for a dataclass `field(default_factory=new_event_id)`, for a model `Field(default_factory=new_event_id)`."""
    return str(uuid.uuid4())


def event_id() -> Any:  # noqa: ANN401 - as any default of a field
    """A field of an `Event` or Struct that gets an ID of its own (a random UUID) in every event that is made."""
    return msgspec.field(default_factory=new_event_id)


@dataclass(frozen=True, slots=True)
class EventType(Generic[E]):
    """What is known of a class of events."""

    cls: type[E]
    subject: str  # the channel it is published to
    version: int  # of the definition, 1 or more; it is not on the wire
    encoding: str  # JSON, PROTOBUF or AVRO
    identity: tuple[
        str, ...
    ]  # the fields that tell one event of this subject from every other; empty: it has no identity
    codec: Codec[E]

    @property
    def name(self) -> str:
        """The name of the class."""
        return self.cls.__name__

    def encode(self, event: E) -> bytes:
        """The payload; raises EncodeError."""
        if not isinstance(event, self.cls):
            raise EncodeError(f"a {type(event).__name__} is no {self.cls.__name__}: publish it as what it is")
        return self.codec.encode(event)

    def decode(self, data: bytes) -> E:
        """The event in a payload; raises DecodeError, whatever the bytes are."""
        return self.codec.decode(data)

    def identity_of(self, event: E) -> str | None:
        """What tells `event` from every other of its subject, the same wherever it is asked; None without an identity."""
        if not self.identity:
            return None
        if len(self.identity) == 1:
            return str(getattr(event, self.identity[0]))
        # Escaped, so that ("a:b", "c") is another identity than ("a", "b:c").
        values = [str(getattr(event, field)) for field in self.identity]
        return ":".join(value.replace("\\", "\\\\").replace(":", "\\:") for value in values)


def event(
    subject: str,
    *,
    version: int = 1,
    encoding: str = JSON,
    schema: AvroSchema | ProtobufSchema | None = None,
    identity: str | tuple[str, ...] | None = None,
) -> Callable[[type[E]], type[E]]:
    """Make a class an event that is published to `subject`.

    `encoding` is JSON unless said otherwise; AVRO and PROTOBUF need their `schema`. `identity` names the field or the fields that
    tell one event from every other, for outbox and inbox; without it a field `event_id` is taken, if there is one. Raises EventDefinitionError.
    """
    try:
        name = subject.encode()
    except (AttributeError, UnicodeEncodeError):  # no text, or half of a character
        raise EventDefinitionError(f"{subject!r} is no subject: it cannot be UTF-8") from None
    if not is_channel_name(name) or any(byte in b" \t\r\n" for byte in name):
        raise EventDefinitionError(f"{subject!r} is no subject: no blanks, /, * or >, and no empty part between dots")

    def make(cls: type[E]) -> type[E]:
        fields = field_names(cls)
        _check_defaults(cls)
        names: tuple[str, ...]
        if identity is None:
            names = ("event_id",) if "event_id" in fields else ()
        else:
            names = (identity,) if isinstance(identity, str) else tuple(identity)
        for name in names:
            if name not in fields:
                raise EventDefinitionError(f"{cls.__name__} has no field {name!r}, which its identity names")
        if type(version) is not int or version < 1:
            raise EventDefinitionError(f"{cls.__name__} has version {version!r}; versions are numbers from 1 up")
        if encoding not in ENCODINGS:
            raise EventDefinitionError(f"{cls.__name__} has encoding {encoding!r}; there are {', '.join(ENCODINGS)}")
        if encoding == JSON and schema is not None:
            raise EventDefinitionError(
                f"{cls.__name__} has a schema, which JSON has not; say encoding=AVRO or PROTOBUF"
            )
        try:
            codec = make_codec(cls, encoding, schema)
        except EncodeError as error:
            raise EventDefinitionError(str(error)) from error
        setattr(cls, MARK, EventType(cls, subject, version, encoding, names, codec))
        return cls

    return make


def event_type(cls: type[E]) -> EventType[E]:
    """What `event` said of a class; raises EventDefinitionError when it is no event. Not inherited by subclasses."""
    found: EventType[E] | None = cls.__dict__.get(MARK)
    if found is None:
        raise EventDefinitionError(f'{cls.__name__} is no event; put @event("its:subject") above the class')
    return found


def field_names(cls: type[object]) -> tuple[str, ...]:
    """The fields of a Struct, a dataclass or a pydantic model, by their names in Python; raises EventDefinitionError."""
    for attribute in ("__struct_fields__", "__dataclass_fields__", "model_fields"):
        fields = getattr(cls, attribute, None)
        if fields is not None:
            return tuple(fields)
    raise EventDefinitionError(
        f"{cls.__name__} is neither a durabus.events.Event, a msgspec Struct, a dataclass nor a pydantic model"
    )


def _check_defaults(cls: type[object]) -> None:
    """`event_id()` is a field of a Struct; anywhere else it would be the value of the field itself."""
    fields: dict[str, Any] = getattr(cls, "__dataclass_fields__", None) or getattr(cls, "model_fields", None) or {}
    kind = type(msgspec.field(default=None))
    for name, field in fields.items():
        if isinstance(field.default, kind):
            raise EventDefinitionError(
                f"{cls.__name__}.{name}: event_id() is for Event and Struct; here it is a field with default_factory=new_event_id"
            )
