"""Every limit of the wire, with its reason. Units are in the names."""

from typing import Final

CONTROL_LINE_BYTES_MAX: Final = 4096
"""Longest argument of a control line (verb excluded): nats-server's default `max_control_line`."""

PAYLOAD_BYTES_MAX: Final = 1024 * 1024
"""Largest message, header block included: nats-server's default `max_payload`."""

SIZE_DIGITS_MAX: Final = 9
"""Longest decimal size in a PUB line; more digits could not name an allowed size anyway."""

SUBJECT_CACHE_ENTRIES_MAX: Final = 8192
"""Subjects whose matching subscriptions are remembered, before the cache is emptied and starts anew."""

KNOWN_LINES_MAX: Final = 8192
"""Control lines that all clients together may have remembered, before all are forgotten."""

KNOWN_LINE_BYTES_MAX: Final = 256
"""Longer control lines are read anew each time: 8,192 of these take 5 MB at most."""

VARINT_BYTES_MAX: Final = 10
"""A 64-bit number takes at most ten groups of seven bits."""
