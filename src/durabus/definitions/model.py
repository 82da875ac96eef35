"""An event definition as every format says it: what readers make, and what checks and generators take.

JSON Schema, Protobuf and Avro are read into this one form. It holds what matters for the shape of an event in a programming language; what only one
format knows (defaults of Avro, ranges of JSON Schema) stays in `Definition.source` for the checks of that format.
"""

from dataclasses import dataclass, field
from enum import Enum
from pathlib import Path

from durabus.errors import DurabusError

__all__ = [
    "AnyType",
    "ArrayType",
    "Definition",
    "DefinitionError",
    "Enumeration",
    "Field",
    "Format",
    "Literal",
    "MapType",
    "NamedType",
    "Nullable",
    "Record",
    "Reference",
    "Scalar",
    "Symbol",
    "Type",
    "Union",
]


class DefinitionError(DurabusError):
    """A definition that cannot be read, or says what events cannot have; the text names the file, the place and the reason."""

    def __init__(self, path: Path | str, place: str, reason: str) -> None:
        """`place` is where in the file: a JSON pointer, a field, a line; empty for the file as a whole."""
        super().__init__(": ".join(part for part in (str(path), place, reason) if part))
        self.path = Path(path)
        self.place = place
        self.reason = reason


class Format(Enum):
    """Of a definition, and so of its payloads: JSON, Protobuf, Avro binary."""

    JSON_SCHEMA = "json"
    PROTOBUF = "protobuf"
    AVRO = "avro"


class Scalar(Enum):
    """What has no parts."""

    STRING = "string"
    BOOLEAN = "boolean"
    INT32 = "int32"
    INT64 = "int64"
    UINT32 = "uint32"
    UINT64 = "uint64"
    INTEGER = "integer"  # of any size: JSON
    FLOAT32 = "float32"
    FLOAT64 = "float64"
    BYTES = "bytes"
    DATE = "date"
    TIMESTAMP = "timestamp"  # a moment, with its zone
    UUID = "uuid"


@dataclass(frozen=True, slots=True)
class AnyType:
    """Whatever JSON can say."""


@dataclass(frozen=True, slots=True)
class Literal:
    """One of these values: strings, integers, booleans."""

    values: tuple[str | int | bool, ...]


@dataclass(frozen=True, slots=True)
class ArrayType:
    """Any number of one type."""

    items: "Type"


@dataclass(frozen=True, slots=True)
class MapType:
    """From `keys` (strings but in Protobuf) to values of one type."""

    values: "Type"
    keys: Scalar = Scalar.STRING


@dataclass(frozen=True, slots=True)
class Nullable:
    """A type, or null."""

    type: "Type"


@dataclass(frozen=True, slots=True)
class Union:
    """One of several types, none of them null (then it is inside a Nullable)."""

    types: tuple["Type", ...]


@dataclass(frozen=True, slots=True)
class Reference:
    """A record or an enumeration of the same definition, by name."""

    name: str


Type = Scalar | AnyType | Literal | ArrayType | MapType | Nullable | Union | Reference


@dataclass(frozen=True, slots=True)
class Field:
    """One field of a record.

    In JSON a field that is not required may be absent. In Avro none ever is: a default is what a reader takes when the writer's
    definition had no such field (of bytes it is a string of the characters 0 to 255). In Protobuf a field that is not required has
    presence: it tells "not set" from its zero (`optional`, messages, members of a oneof); one without presence, a list and a map
    are required, and read as zero or empty when the wire does not have them.
    """

    name: str  # as it is on the wire, or in the definition where the wire has numbers
    type: Type
    is_required: bool  # False: it may be absent
    description: str = ""
    has_default: bool = False
    default: object = None  # JSON value; meaningful with has_default
    number: int = 0  # Protobuf's; 0 elsewhere
    oneof: str = ""  # the name of the Protobuf oneof it belongs to


@dataclass(frozen=True, slots=True)
class Record:
    """Named fields, in the order of the definition."""

    name: str
    fields: tuple[Field, ...]
    description: str = ""
    allows_more: bool = True  # unknown fields are let pass


@dataclass(frozen=True, slots=True)
class Symbol:
    """One value of an enumeration; `value` is what the wire has: a string (JSON, Avro) or a number (Protobuf)."""

    name: str
    value: str | int
    description: str = ""


@dataclass(frozen=True, slots=True)
class Enumeration:
    """A named set of values."""

    name: str
    symbols: tuple[Symbol, ...]
    description: str = ""


NamedType = Record | Enumeration


@dataclass(frozen=True, slots=True)
class Definition:
    """One event: `types[0]` is its record, the others are what it refers to, in the order in which they are first met."""

    name: str  # of the event and of its record: TicketCreated
    subject: str
    version: int
    format: Format
    types: tuple[NamedType, ...]
    path: Path  # the file it was read from
    source: object = field(
        repr=False
    )  # JSON_SCHEMA, AVRO: the parsed document; PROTOBUF: a serialized FileDescriptorSet
    message: str = ""  # the full name of the Protobuf message or Avro record
    identity: tuple[str, ...] = ()  # fields (wire names) that tell one event from every other
    description: str = ""

    @property
    def record(self) -> Record:
        """The record of the event itself."""
        first = self.types[0]
        assert isinstance(first, Record)
        return first
