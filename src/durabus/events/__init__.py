"""Events as types: a class per event with its subject and version, and who publishes and listens to it."""

from durabus.events.codecs import AVRO, JSON, PROTOBUF, AvroSchema, DecodeError, EncodeError, ProtobufSchema
from durabus.events.dead_letters import (
    DeadLetter,
    DeadLetterPlace,
    DeadLetterReason,
    Drop,
    RejectedError,
    ToChannel,
    ToFunction,
)
from durabus.events.event import Event, EventDefinitionError, EventType, event, event_id, event_type, new_event_id
from durabus.events.listener import EventLoop, Listener
from durabus.events.ordering import EarlyEventError, VersionOrder
from durabus.events.publisher import Publisher

__all__ = [
    "AVRO",
    "JSON",
    "PROTOBUF",
    "AvroSchema",
    "DeadLetter",
    "DeadLetterPlace",
    "DeadLetterReason",
    "DecodeError",
    "Drop",
    "EarlyEventError",
    "EncodeError",
    "Event",
    "EventDefinitionError",
    "EventLoop",
    "EventType",
    "Listener",
    "ProtobufSchema",
    "Publisher",
    "RejectedError",
    "ToChannel",
    "ToFunction",
    "VersionOrder",
    "event",
    "event_id",
    "event_type",
    "new_event_id",
]
