"""The protobuf library as the judge of our codec: the STAN messages, described at run time.

Strings are described as bytes, because the original does not care whether they are UTF-8 and the library does; on the
wire there is no difference. Enumerations are int32 for the same reason: any number may come.
"""

from collections.abc import Iterable
from functools import cache

from google.protobuf import descriptor_pb2, descriptor_pool, message_factory
from google.protobuf.message import DecodeError, Message
from google.protobuf.unknown_fields import UnknownFieldSet
from hypothesis import strategies as st

Values = dict[str, object]
RawField = tuple[int, int, int | bytes | None]

FIELDS: dict[str, dict[int, tuple[str, str]]] = {
    "ConnectRequest": {
        1: ("client_id", "bytes"),
        2: ("heartbeat_inbox", "bytes"),
        3: ("protocol", "int32"),
        4: ("connection_id", "bytes"),
        5: ("ping_interval_s", "int32"),
        6: ("ping_out_max", "int32"),
    },
    "ConnectResponse": {
        1: ("publish_prefix", "bytes"),
        2: ("subscribe", "bytes"),
        3: ("unsubscribe", "bytes"),
        4: ("close", "bytes"),
        5: ("error", "bytes"),
        6: ("subscription_close", "bytes"),
        7: ("ping", "bytes"),
        8: ("ping_interval_s", "int32"),
        9: ("ping_out_max", "int32"),
        10: ("protocol", "int32"),
        100: ("public_key", "bytes"),
    },
    "PubMsg": {
        1: ("client_id", "bytes"),
        2: ("guid", "bytes"),
        3: ("subject", "bytes"),
        4: ("reply", "bytes"),
        5: ("data", "bytes"),
        6: ("connection_id", "bytes"),
        10: ("sha256", "bytes"),
    },
    "PubAck": {1: ("guid", "bytes"), 2: ("error", "bytes")},
    "MsgProto": {
        1: ("sequence", "uint64"),
        2: ("subject", "bytes"),
        3: ("reply", "bytes"),
        4: ("data", "bytes"),
        5: ("timestamp_ns", "int64"),
        6: ("redelivered", "bool"),
        7: ("redelivery_count", "uint32"),
        10: ("crc32", "uint32"),
    },
    "Ack": {1: ("subject", "bytes"), 2: ("sequence", "uint64")},
    "Ping": {1: ("connection_id", "bytes")},
    "PingResponse": {1: ("error", "bytes")},
    "SubscriptionRequest": {
        1: ("client_id", "bytes"),
        2: ("subject", "bytes"),
        3: ("queue_group", "bytes"),
        4: ("inbox", "bytes"),
        5: ("max_in_flight", "int32"),
        6: ("ack_wait_s", "int32"),
        7: ("durable_name", "bytes"),
        10: ("start_position", "int32"),
        11: ("start_sequence", "uint64"),
        12: ("start_time_delta_ns", "int64"),
    },
    "SubscriptionResponse": {2: ("ack_inbox", "bytes"), 3: ("error", "bytes")},
    "UnsubscribeRequest": {
        1: ("client_id", "bytes"),
        2: ("subject", "bytes"),
        3: ("inbox", "bytes"),
        4: ("durable_name", "bytes"),
    },
    "CloseRequest": {1: ("client_id", "bytes")},
    "CloseResponse": {1: ("error", "bytes")},
    "Nothing": {},
    "CtrlMsg": {1: ("kind", "int32"), 2: ("server_id", "bytes"), 3: ("data", "bytes"), 4: ("reference_id", "bytes")},
}

_TYPES = descriptor_pb2.FieldDescriptorProto
_TYPE_NUMBERS = {
    "bytes": _TYPES.TYPE_BYTES,
    "int32": _TYPES.TYPE_INT32,
    "int64": _TYPES.TYPE_INT64,
    "uint32": _TYPES.TYPE_UINT32,
    "uint64": _TYPES.TYPE_UINT64,
    "bool": _TYPES.TYPE_BOOL,
}
_DEFAULTS: dict[str, object] = {"bytes": b"", "int32": 0, "int64": 0, "uint32": 0, "uint64": 0, "bool": False}


@cache
def message_types() -> dict[str, type[Message]]:
    """The library's class for each message."""
    file = descriptor_pb2.FileDescriptorProto(name="stan.proto", package="stan", syntax="proto3")
    for name, fields in FIELDS.items():
        message = file.message_type.add(name=name)
        for number, (field, kind) in fields.items():
            message.field.add(name=field, number=number, type=_TYPE_NUMBERS[kind], label=_TYPES.LABEL_OPTIONAL)
    pool = descriptor_pool.DescriptorPool()
    pool.Add(file)
    return {name: message_factory.GetMessageClass(pool.FindMessageTypeByName(f"stan.{name}")) for name in FIELDS}


def encode(name: str, values: Values) -> bytes:
    """The bytes of message `name`, as the library writes them."""
    return message_types()[name](**values).SerializeToString(deterministic=True)


def decode(name: str, data: bytes) -> Values | None:
    """All fields of message `name` (defaults too), or None when `data` is no such message.

    Where the library keeps as unknown what has a known number but the wrong wire type, or number 0, the original refuses.
    """
    message = message_types()[name]()
    try:
        message.ParseFromString(data)
    except DecodeError:
        return None
    if any(number == 0 or number in FIELDS[name] for number, _, _ in _unknown_fields(message)):
        return None
    return {field: getattr(message, field) for field, _ in FIELDS[name].values()}


def raw_fields(data: bytes) -> list[RawField] | None:
    """Every field of `data`: number, wire type, and what is in it unless that is a group or of fixed size."""
    message = message_types()["Nothing"]()
    try:
        message.ParseFromString(data)
    except DecodeError:
        return None
    found = _unknown_fields(message)
    return None if any(number == 0 for number, _, _ in found) else found


def _unknown_fields(message: Message) -> list[RawField]:
    found = UnknownFieldSet(message)
    fields = [found[i] for i in range(len(found))]
    return [(f.field_number, f.wire_type, f.data if f.wire_type in (0, 2) else None) for f in fields]


def defaults(name: str) -> Values:
    """What a message of no bytes says."""
    return {field: _DEFAULTS[kind] for field, kind in FIELDS[name].values()}


_VALUES: dict[str, st.SearchStrategy[object]] = {
    "bytes": st.binary(max_size=20) | st.binary(min_size=126, max_size=130),
    "int32": st.integers(-(2**31), 2**31 - 1) | st.sampled_from([-1, 1, 127, 128]),
    "int64": st.integers(-(2**63), 2**63 - 1),
    "uint32": st.integers(0, 2**32 - 1),
    "uint64": st.integers(0, 2**64 - 1) | st.sampled_from([1, 127, 128, 2**32, 2**63]),
    "bool": st.booleans(),
}


def values_of(name: str, without: Iterable[str] = ()) -> st.SearchStrategy[Values]:
    """Any values for the fields of message `name`; each may be left out."""
    kinds = {field: _VALUES[kind] for field, kind in FIELDS[name].values() if field not in set(without)}
    return st.fixed_dictionaries({}, optional=kinds)
