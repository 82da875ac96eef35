"""Subjects and channel names: what is valid, what is literal, what matches (docs/protocol.md §3).

A subject is tokens joined by `.`. In a subscription the token `*` stands for exactly one token and `>`, last, for one
or more.

    valid:    foo   foo.bar   foo.*   *.bar   foo.>   >
    invalid:  (empty)   .foo   foo.   foo..bar   foo.>.bar   "foo bar"

A channel is stricter in one way (no `/`, no wildcard characters anywhere) and laxer in another (blanks and any other
byte are allowed): its name travels inside a message, not on a control line.
"""

from typing import Final

__all__ = ["has_wildcard", "is_channel_name", "is_literal_subject", "is_subject", "matches", "overlap"]

_STAR: Final = b"*"
_GREATER: Final = b">"


def is_subject(subject: bytes) -> bool:
    """Whether `subject` may be subscribed to: no empty token, no blank, `>` only as the last token."""
    if not subject or b" " in subject or b"\t" in subject or b"\r" in subject or b"\n" in subject:
        return False
    tokens = subject.split(b".")
    last = len(tokens) - 1
    for index, token in enumerate(tokens):
        if not token or (token == _GREATER and index != last):
            return False
    return True


def has_wildcard(subject: bytes) -> bool:
    """Whether one of the tokens of `subject` is `*` or `>`."""
    if _STAR not in subject and _GREATER not in subject:
        return False
    tokens = subject.split(b".")
    return _STAR in tokens or _GREATER in tokens


def is_literal_subject(subject: bytes) -> bool:
    """Whether `subject` is valid and names exactly one subject."""
    return is_subject(subject) and not has_wildcard(subject)


def matches(pattern: bytes, subject: bytes) -> bool:
    """Whether the valid subscription subject `pattern` receives what is published on the literal `subject`."""
    if pattern == subject:
        return True
    wanted = pattern.split(b".")
    given = subject.split(b".")
    for index, token in enumerate(wanted):
        if token == _GREATER:
            return len(given) > index
        if index >= len(given) or (token != _STAR and token != given[index]):
            return False
    return len(wanted) == len(given)


def overlap(one: bytes, other: bytes) -> bool:
    """Whether there is a subject that both of two valid subscription subjects receive."""
    tokens = one.split(b".")
    others = other.split(b".")
    for index in range(min(len(tokens), len(others))):
        token = tokens[index]
        opposite = others[index]
        if token == _GREATER or opposite == _GREATER:
            return True
        if token != opposite and token != _STAR and opposite != _STAR:
            return False
    return len(tokens) == len(others)


def is_channel_name(name: bytes) -> bool:
    """Whether `name` may name a channel: docs/protocol.md §3.4."""
    if not name or name.startswith(b".") or name.endswith(b".") or b".." in name:
        return False
    return b"/" not in name and _STAR not in name and _GREATER not in name
