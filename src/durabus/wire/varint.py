"""The primitives of the protobuf encoding: varints, tags, and a reader of fields (docs/protocol.md §2.1)."""

from typing import Final

from mypy_extensions import i64

from durabus.wire.limits import VARINT_BYTES_MAX

__all__ = ["DecodeError", "FieldReader", "bytes_field", "signed_32", "signed_64", "uint_field", "varint"]

_MASK_64: Final = (1 << 64) - 1
WIRE_VARINT: Final = 0
WIRE_FIXED_64: Final = 1
WIRE_BYTES: Final = 2
WIRE_GROUP: Final = 3
WIRE_FIXED_32: Final = 5


class DecodeError(ValueError):
    """The bytes are not a message of this type; the text says where."""


def varint(value: int) -> bytes:
    """Encode `value` (negative numbers as their 64-bit two's complement, ten bytes long)."""
    rest = value & _MASK_64
    groups = bytearray()
    while rest > 127:
        groups.append((rest & 127) | 128)
        rest >>= 7
    groups.append(rest)
    return bytes(groups)


def uint_field(number: int, value: int) -> bytes:
    """Field `number` with a varint in it; nothing at all for the default value zero."""
    return varint(number << 3) + varint(value) if value else b""


def bytes_field(number: int, value: bytes) -> bytes:
    """Field `number` with bytes in it; nothing at all for the default value, no bytes."""
    return varint(number << 3 | WIRE_BYTES) + varint(len(value)) + value if value else b""


def signed_32(value: int) -> int:
    """Read a decoded varint as an int32, as Go does: the low 32 bits, two's complement."""
    low = value & 0xFFFFFFFF
    return low - (1 << 32) if low >> 31 else low


def signed_64(value: int) -> int:
    """Read a decoded varint as an int64."""
    return value - (1 << 64) if value >> 63 else value


class FieldReader:
    """Walks over the fields of one message: `next` until it returns 0, then look at `value` or `data`."""

    def __init__(self, message: bytes) -> None:
        """Start at the first byte of `message`."""
        self._message = message
        self._position: i64 = 0
        self._end: i64 = len(message)
        self.wire_type = 0
        self.value = 0
        self.data = b""

    def next(self) -> int:
        """Step to the next field and return its number, 0 at the end; raises DecodeError when the bytes are not fields.

        `value` then holds a varint (as an unsigned 64-bit number), `data` the bytes of a length-delimited field.
        """
        if self._position >= self._end:
            return 0
        tag = self._varint()
        number = (tag >> 3) & 0xFFFFFFFF
        self.wire_type = tag & 7
        if number == 0 or number > 0x1FFFFFFF:
            raise DecodeError(f"illegal field number {number} at byte {self._position}")
        if self.wire_type == WIRE_VARINT:
            self.value = self._varint()
        elif self.wire_type == WIRE_BYTES:
            self.data = self._take(self._varint())
        elif self.wire_type == WIRE_FIXED_64:
            self._take(8)
        elif self.wire_type == WIRE_FIXED_32:
            self._take(4)
        elif self.wire_type == WIRE_GROUP:
            self._skip_group(number)
        else:
            raise DecodeError(f"wire type {self.wire_type} at byte {self._position}")
        return number

    @property
    def position(self) -> int:
        """How many bytes were read."""
        return int(self._position)

    def expect(self, wire_type: int) -> None:
        """Raise DecodeError unless the current field has `wire_type`."""
        if self.wire_type != wire_type:
            raise DecodeError(f"wire type {self.wire_type} where {wire_type} is due, before byte {self._position}")

    def _varint(self) -> int:
        result = 0
        shift = 0
        for _ in range(VARINT_BYTES_MAX):
            if self._position >= self._end:
                raise DecodeError("the message ends inside a number")
            byte = self._message[self._position]
            self._position += 1
            result |= (byte & 127) << shift
            if byte < 128:
                return result & _MASK_64
            shift += 7
        raise DecodeError(f"a number longer than {VARINT_BYTES_MAX} bytes, before byte {self._position}")

    def _take(self, count: int) -> bytes:
        left = int(self._end - self._position)  # an int: `count` may be larger than what an i64 holds
        if count > left:
            raise DecodeError(f"a field of {count} bytes where {left} are left")
        start = self._position
        self._position += count
        return self._message[start : self._position]

    def _skip_group(self, number: int) -> None:
        """Skip an unknown group, however deep: the stack is a list, so that no input can exhaust ours."""
        open_groups = [number]
        while open_groups:
            if self._position >= self._end:
                raise DecodeError("the message ends inside a group")
            tag = self._varint()
            wire_type = tag & 7
            if tag >> 3 == 0:
                raise DecodeError("illegal field number 0")
            if wire_type == WIRE_VARINT:
                self._varint()
            elif wire_type == WIRE_BYTES:
                self._take(self._varint())
            elif wire_type == WIRE_FIXED_64:
                self._take(8)
            elif wire_type == WIRE_FIXED_32:
                self._take(4)
            elif wire_type == WIRE_GROUP:
                open_groups.append(tag >> 3)
            elif wire_type == 4 and open_groups[-1] == tag >> 3:
                open_groups.pop()
            else:
                raise DecodeError(f"a stray end of a group, before byte {self._position}")
