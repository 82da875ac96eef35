"""What the crash tests publish: messages that say who sent them, which one it is, and for the how manieth time.

All of that is one number, the key. A message's bytes follow from its key, so whoever has read one can tell whether
it is unchanged.
"""

import random
from typing import Final

__all__ = ["ATTEMPTS_MAX", "data_of", "describe", "key_of", "key_within", "publisher_of"]

PUBLISHERS_MAX: Final = 1 << 4
ATTEMPTS_MAX: Final = 1 << 10
LARGE_EVERY: Final = 101
"""Each so manieth message is large: it spans several reads of a socket, and makes segments end in between."""
LARGE_BYTES: Final = 20_000

_FILLER: Final = random.Random(1).randbytes(LARGE_BYTES + 4096)


def key_of(publisher: int, number: int, attempt: int) -> int:
    """The key of message `number` of a publisher, when it is published for the `attempt`th time (from 0)."""
    assert 0 <= publisher < PUBLISHERS_MAX
    assert 0 <= attempt < ATTEMPTS_MAX
    return (number * ATTEMPTS_MAX + attempt) * PUBLISHERS_MAX + publisher


def publisher_of(key: int) -> int:
    """Who published it."""
    return key % PUBLISHERS_MAX


def describe(key: int) -> str:
    """A message in words."""
    number, attempt = divmod(key // PUBLISHERS_MAX, ATTEMPTS_MAX)
    return f"message {number} of publisher {publisher_of(key)}" + (f" (attempt {attempt + 1})" if attempt else "")


def data_of(key: int) -> bytes:
    """The bytes of the message."""
    number = key // (PUBLISHERS_MAX * ATTEMPTS_MAX)
    size = LARGE_BYTES if number % LARGE_EVERY == LARGE_EVERY - 1 else number * 37 % 500
    start = key % 4001
    return b"%d:%b" % (key, _FILLER[start : start + size])


def key_within(data: bytes) -> int | None:
    """The key of the message that these bytes are; None when they are not exactly those of any."""
    digits = data.partition(b":")[0]
    if not digits.isdigit() or len(digits) > 20:
        return None
    key = int(digits)
    return key if data == data_of(key) else None
