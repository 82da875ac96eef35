"""Protobuf: fields are known by their numbers, and the wire says of a value only how to skip it.

So nearly everything can be decoded, and much of it into other values than were written. A change is taken as a break where
a value that was written is refused, is read as another, or goes to a field that means something else.
"""

from typing import TYPE_CHECKING, Final

from durabus.definitions.compatibility.verdicts import BOTH, NEITHER, Direction, Finding
from durabus.definitions.libraries import import_library
from durabus.definitions.model import Definition
from durabus.definitions.protobuf import TYPE_NAMES, make_pool

if TYPE_CHECKING:
    from google.protobuf.descriptor import Descriptor, EnumDescriptor, FieldDescriptor
    from google.protobuf.descriptor_pb2 import DescriptorProto

__all__ = ["SAME_VALUES", "compare_protobuf"]

SAME_VALUES: Final = {
    "int32": ("int64",),
    "uint32": ("uint64", "int64"),
    "sint32": ("sint64",),
    "bool": ("int32", "int64", "uint32", "uint64"),
    "enum": ("int32", "int64"),
    "string": ("bytes",),
}
"""Types that read every value as it was written, besides the type itself. (sint64 reads what int32 wrote as another number, int32
keeps half of what int64 wrote.)"""


def compare_protobuf(old: Definition, new: Definition) -> list[Finding]:
    """What breaks readers of either side."""
    assert isinstance(old.source, bytes)
    assert isinstance(new.source, bytes)
    before = make_pool(old.source).FindMessageTypeByName(old.message)
    after = make_pool(new.source).FindMessageTypeByName(new.message)
    found: list[Finding] = []
    if old.message != new.message:
        reason = f"the message is {new.message}, was {old.message}: the name is not on the wire, but programs have it"
        found.append(Finding("", reason, NEITHER))
    return found + _Comparison().messages(before, after, "")


class _Comparison:
    """Of two messages and all they refer to; `old` and `new` as the definitions are."""

    def __init__(self) -> None:
        self.trail: set[tuple[str, str]] = set()

    def messages(self, old: "Descriptor", new: "Descriptor", path: str) -> list[Finding]:
        """Field by field, by number."""
        key = old.full_name, new.full_name
        if key in self.trail:
            return []  # inside itself: if there is something to find, it is found outside
        self.trail.add(key)
        found: list[Finding] = []
        numbers = sorted({*old.fields_by_number, *new.fields_by_number})
        for number in numbers:
            before, after = old.fields_by_number.get(number), new.fields_by_number.get(number)
            if before is None:
                assert after is not None
                found += _added(old, after, _path(path, after))
            elif after is None:
                found += _removed(new, before, _path(path, before))
            else:
                found += self._fields(before, after, _path(path, after))
        found += _oneofs(old, new, path, Direction.BACKWARD)
        found += _oneofs(new, old, path, Direction.FORWARD)
        self.trail.remove(key)
        return found

    def _fields(self, old: "FieldDescriptor", new: "FieldDescriptor", path: str) -> list[Finding]:
        """Two fields with one number."""
        owners = old.containing_type, new.containing_type
        assert owners[0] is not None
        assert owners[1] is not None
        if old.name != new.name and (old.name in owners[1].fields_by_name or new.name in owners[0].fields_by_name):
            reason = f"number {new.number} is {new.name}, was {old.name}, and one of them has or had another number"
            return [Finding(path, reason, BOTH)]
        found: list[Finding] = []
        if _is_map(old) != _is_map(new):
            shapes = ["a map" if _is_map(field) else "no map" for field in (new, old)]
            return [Finding(path, f"it is {shapes[0]}, was {shapes[1]}", BOTH)]
        if _is_map(old):
            for part in ("key", "value"):
                found += self._types(
                    _entry(old, part), _entry(new, part), path + "{}" + ("key" if part == "key" else "")
                )
        else:
            found += self._types(old, new, path)
            found += _cardinality(old, new, path)
        if old.name != new.name:
            types = (
                " and has another type: is it another field?"
                if found
                else ", which is no matter on the wire; if it means something else, give it another number"
            )
            reason = f"number {new.number} is {new.name}, was {old.name}{types}"
            found.append(Finding(path, reason, BOTH if found else NEITHER))
        if (
            not old.is_repeated
            and old.has_default_value | new.has_default_value
            and old.default_value != new.default_value
        ):
            reason = f"the default is {new.default_value!r}, was {old.default_value!r}: an event without the field reads otherwise"
            found.append(Finding(path, reason, NEITHER))
        return found

    def _types(self, old: "FieldDescriptor", new: "FieldDescriptor", path: str) -> list[Finding]:
        before, after = TYPE_NAMES[old.type], TYPE_NAMES[new.type]
        if before != after:
            breaks = {Direction.BACKWARD} if after not in SAME_VALUES.get(before, ()) else set()
            if before not in SAME_VALUES.get(after, ()):
                breaks.add(Direction.FORWARD)
            return [Finding(path, f"the type is {_shown(new)}, was {_shown(old)}", frozenset(breaks))]
        if old.message_type is not None and new.message_type is not None:
            names = old.message_type.full_name, new.message_type.full_name
            if names[0] != names[1] and any(name.startswith("google.protobuf.") for name in names):
                return [Finding(path, f"the type is {names[1]}, was {names[0]}", BOTH)]
            return self.messages(old.message_type, new.message_type, path + ("[]" if new.is_repeated else ""))
        if old.enum_type is not None and new.enum_type is not None:
            return _enums(old.enum_type, new.enum_type, path, Direction.BACKWARD) + _enums(
                new.enum_type, old.enum_type, path, Direction.FORWARD
            )
        return []


def _added(old: "Descriptor", new: "FieldDescriptor", path: str) -> list[Finding]:
    """A number that only the new message has."""
    proto = _proto(old)
    namesake = old.fields_by_name.get(new.name)
    found: list[Finding] = []
    if namesake is not None:
        reason = f"its number is {new.number}, was {namesake.number}: what has one number is not read by the other"
        found.append(Finding(path, reason, BOTH))
    if any(span.start <= new.number < span.end for span in proto.reserved_range):
        reason = f"number {new.number} was reserved: messages from before may have something else there"
        found.append(Finding(path, reason, frozenset((Direction.BACKWARD,))))
    if new.name in proto.reserved_name:
        found.append(Finding(path, f"the name {new.name} was reserved", NEITHER))
    if new.is_required:
        reason = "the new definition requires it; old events do not have it"
        found.append(Finding(path, reason, frozenset((Direction.BACKWARD,))))
    return found


def _removed(new: "Descriptor", old: "FieldDescriptor", path: str) -> list[Finding]:
    """A number that only the old message has."""
    found: list[Finding] = []
    if old.is_required:
        reason = "the old definition requires it; new events do not have it"
        found.append(Finding(path, reason, frozenset((Direction.FORWARD,))))
    is_reserved = any(span.start <= old.number < span.end for span in _proto(new).reserved_range)
    if not is_reserved and new.fields_by_name.get(old.name) is None:
        reason = f"it is removed, but number {old.number} is not reserved: write `reserved {old.number};` so that nobody takes it again"
        found.append(Finding(path, reason, NEITHER))
    return found


def _cardinality(old: "FieldDescriptor", new: "FieldDescriptor", path: str) -> list[Finding]:
    """One value or many, required or not, told from zero or not."""
    if old.is_repeated != new.is_repeated:
        now, was = ("repeated", "one value") if new.is_repeated else ("one value", "repeated")
        single = old if new.is_repeated else new
        breaks = {
            Direction.FORWARD if new.is_repeated else Direction.BACKWARD
        }  # of many values the last is kept, or none
        if not single.has_presence:
            breaks = set(BOTH)  # its zero is not written, and is no element then
        return [Finding(path, f"it is {now}, was {was}", frozenset(breaks))]
    if old.is_repeated:
        return []
    if old.is_required != new.is_required:
        direction, text = (
            (Direction.BACKWARD, "the new definition requires it; old events may lack it")
            if new.is_required
            else (Direction.FORWARD, "the old definition requires it; new events may lack it")
        )
        return [Finding(path, text, frozenset((direction,)))]
    if old.has_presence != new.has_presence and not new.is_required:
        now = (
            "it can be unset now; an old zero reads as unset"
            if new.has_presence
            else "it cannot be unset any more; unset reads as zero"
        )
        return [Finding(path, now, NEITHER)]
    return []


def _oneofs(writer: "Descriptor", reader: "Descriptor", path: str, direction: Direction) -> list[Finding]:
    """Fields of which the reader keeps the last one only, although the writer may set several."""
    found: list[Finding] = []
    for oneof in reader.oneofs:
        written = [
            writer.fields_by_number[field.number] for field in oneof.fields if field.number in writer.fields_by_number
        ]
        groups = {field.containing_oneof.name if field.containing_oneof else field.name for field in written}
        if len(groups) > 1:
            names = ", ".join(field.name for field in written)
            if direction is Direction.BACKWARD:
                reason = f"{names} could all be set; of oneof {oneof.name} only the last is kept"
            else:
                reason = f"{names} can all be set; old readers, for whom they are oneof {oneof.name}, keep the last"
            found.append(Finding(path, reason, frozenset((direction,))))
    return found


def _enums(writer: "EnumDescriptor", reader: "EnumDescriptor", path: str, direction: Direction) -> list[Finding]:
    """Values by their numbers."""
    written, reading = ("old", "new") if direction is Direction.BACKWARD else ("new", "old")
    found: list[Finding] = []
    unknown = [
        value for number, value in sorted(writer.values_by_number.items()) if number not in reader.values_by_number
    ]
    if unknown:
        names = ", ".join(f"{value.name} = {value.number}" for value in unknown)
        reason = f"{written} events may have {names}, which the {reading} enum does not have"
        outcome = (
            "it reads as unset"
            if reader.is_closed
            else "readers of Durabus refuse it, others have a number without a name"
        )
        found.append(Finding(path, f"{reason}: {outcome}", frozenset((direction,))))
    if direction is Direction.BACKWARD:
        for name, value in writer.values_by_name.items():
            other = reader.values_by_name.get(name)
            if other is not None and other.number != value.number:
                found.append(Finding(path, f"{name} is {other.number}, was {value.number}", BOTH))
        for number, after in reader.values_by_number.items():
            before = writer.values_by_number.get(number)
            if before is not None and before.name != after.name and not _has_alias(before.type, after.name, number):
                reason = f"{number} is {after.name}, was {before.name}"
                moved = after.name in writer.values_by_name or before.name in reader.values_by_name
                found.append(Finding(path, reason, BOTH if moved else NEITHER))
    return found


def _has_alias(enum: "EnumDescriptor", name: str, number: int) -> bool:
    value = enum.values_by_name.get(name)
    return value is not None and value.number == number


def _proto(message: "Descriptor") -> "DescriptorProto":
    """What only the description of a message has: what is reserved."""
    made: DescriptorProto = import_library("google.protobuf.descriptor_pb2").DescriptorProto()
    message.CopyToProto(made)
    return made


def _is_map(field: "FieldDescriptor") -> bool:
    return field.message_type is not None and bool(field.message_type.GetOptions().map_entry)


def _entry(field: "FieldDescriptor", part: str) -> "FieldDescriptor":
    assert field.message_type is not None
    return field.message_type.fields_by_name[part]


def _path(path: str, field: "FieldDescriptor") -> str:
    return f"{path}.{field.name}" if path else field.name


def _shown(field: "FieldDescriptor") -> str:
    named = field.message_type or field.enum_type
    return named.full_name if named is not None else TYPE_NAMES[field.type]
