"""The timestamps of stored messages, out of their bytes: for whoever has messages and no list of their times."""

from mypy_extensions import i64

__all__ = ["stamps_of"]


def stamps_of(bodies: list[bytes], begin_ns: int) -> list[tuple[int, int]]:
    """Which timestamp holds from which index of `bodies` on: `(index, timestamp_ns)`, ascending, the first at index 0.

    A timestamp never falls: not below `begin_ns` (that of the message before; 0: none), and not below the one before it.
    So whoever searches for a moment finds his way, also through what a clock that was set back has stamped. A body that has
    no timestamp, or is empty, shares that of the message before it.
    """
    stamps: list[tuple[int, int]] = []
    last_ns: i64 = begin_ns
    for index, body in enumerate(bodies):
        found_ns: i64 = _timestamp_ns(body)
        if index == 0 or found_ns > last_ns:
            if found_ns > last_ns:
                last_ns = found_ns
            stamps.append((index, int(last_ns)))
    return stamps


def _timestamp_ns(body: bytes) -> i64:
    """Field 5 of a MsgProto; 0 when there is none, or these are not fields (docs/protocol.md §2.1)."""
    at: i64 = 0
    end: i64 = len(body)
    found: i64 = 0
    while at < end:
        # A tag of one byte: fields 1 to 15. Whatever is not one of MsgProto's fields is not expected here.
        tag: i64 = body[at]
        at += 1
        if tag & 7 not in (0, 2) or tag > 127:
            return found
        value: i64 = 0
        shift: i64 = 0
        while at < end and shift < 63:
            byte: i64 = body[at]
            at += 1
            value |= (byte & 127) << shift
            shift += 7
            if byte < 128:
                break
        else:
            return found  # it ends inside a number, or that does not fit: no length, and no time of this age
        if tag & 7 == 2:
            if value > end - at:
                return found
            at += value
        elif tag == 0x28:
            found = value
    return found
