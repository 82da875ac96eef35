"""Records that were damaged, as far as what is left tells of them: FORMAT.md §8."""

from collections.abc import Callable

from durabus.stores.file.contents import ChannelLog, Contents
from durabus.streaming.records import encode_channel_name
from durabus.streaming.store_port import KIND_CHANNEL, KIND_SUBSCRIPTION
from durabus.wire.subjects import is_channel_name
from durabus.wire.varint import DecodeError, FieldReader

__all__ = ["mend_records"]

_SEQUENCE_FIELD = 1
_SUBJECT_FIELD = 2


def mend_records(
    contents: Contents, first_message: Callable[[ChannelLog], tuple[int, bytes]], damage: list[str]
) -> None:
    """Name what is known of, and has no record any more; channels get the names that their messages tell.

    `first_message` reads the first message of a channel, as its sequence and its body. What is found is added to `damage`.
    """
    names = {value for (kind, _), value in contents.state.items() if kind == KIND_CHANNEL}
    for log in list(contents.channels.values()):
        key = b"%d" % log.channel_id
        if not log.last or (KIND_CHANNEL, key) in contents.state:
            continue
        text = f"the record of channel {log.channel_id} is lost"
        record = _record_in(*first_message(log))
        if record and record not in names:
            names.add(record)
            contents.state[(KIND_CHANNEL, key)] = record
            text += ": its name is taken from its messages"
        damage.append(text)
    for number in contents.cursors:
        if (KIND_SUBSCRIPTION, b"%d" % number) not in contents.state:
            damage.append(f"the record of subscription {number} is lost: only its position is known")


def _record_in(sequence: int, body: bytes) -> bytes:
    """The record of the channel that message `sequence` was published to, as it says; empty when it does not, or is encrypted."""
    reader = FieldReader(body)
    try:
        if reader.next() != _SEQUENCE_FIELD or reader.value != sequence or reader.next() != _SUBJECT_FIELD:
            return b""
    except DecodeError:
        return b""
    return encode_channel_name(reader.data) if is_channel_name(reader.data) else b""
