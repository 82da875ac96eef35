"""Limits per channel: which override counts for a channel, what it inherits, what is wrong with it, and how to print it.

An override names one channel, or with `*` and `>` all that match. For a channel the narrowest override that matches
counts; what it leaves open it inherits from the next wider one, and so on to the limits of all channels. At each token
of a name, `>` is wider than `*`, and `*` wider than a word; so all overrides have one order, from wide to narrow:

    >   *   *.*   foo.>   foo.*   foo.bar          the last one that matches `foo.bar` is `foo.bar`, then `foo.*`, ...

An override inherits from those that match its own name as if it were a channel's. Pure: options in, values out.
"""

from collections.abc import Callable
from dataclasses import dataclass

from durabus.config.options import ChannelOverride, Limits, OptionsError
from durabus.config.units import format_duration, quote
from durabus.sizes import format_size

__all__ = ["ChannelLimitRules", "ResolvedLimits", "check_limits", "check_override_name", "limit_lines"]

ANY_REST, ANY_TOKEN = ">", "*"
Order = tuple[tuple[int, str], ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class ResolvedLimits:
    """The limits that hold for a channel; 0 is unlimited."""

    max_subscriptions: int
    max_messages: int
    max_bytes: int
    max_age_ns: int
    max_inactivity_ns: int


class ChannelLimitRules:
    """The limits of every channel, worked out once."""

    def __init__(self, limits: Limits) -> None:
        """Resolve all overrides of `limits`, which must have passed `check_limits`."""
        self.common = common_limits(limits)
        """What holds where no override matches."""
        self._chains: dict[str, tuple[str, ...]] = {}
        resolved: dict[str, ResolvedLimits] = {}
        for override in sorted(limits.per_channel, key=lambda override: width_order(override.name)):
            chain = tuple(name for name in resolved if matches(name, override.name))
            parent = resolved[chain[-1]] if chain else self.common
            resolved[override.name] = inherit(override, parent)
            self._chains[override.name] = chain
        self.rules: tuple[tuple[str, ResolvedLimits], ...] = tuple(resolved.items())
        """Names and patterns with their limits, from wide to narrow: the last one that matches a channel counts."""

    def resolve(self, channel: str | bytes) -> ResolvedLimits:
        """The limits of `channel`, whether it exists or not."""
        name = channel if isinstance(channel, str) else channel.decode("utf-8", "surrogateescape")
        for pattern, limits in reversed(self.rules):
            if matches(pattern, name):
                return limits
        return self.common

    def wider(self, name: str) -> tuple[str, ...]:
        """The overrides that the override `name` inherits from, the widest first."""
        return self._chains[name]


def common_limits(limits: Limits) -> ResolvedLimits:
    """The limits of a channel without overrides."""
    return ResolvedLimits(
        max_subscriptions=limits.max_subscriptions,
        max_messages=limits.max_messages,
        max_bytes=limits.max_bytes,
        max_age_ns=limits.max_age_ns,
        max_inactivity_ns=limits.max_inactivity_ns,
    )


def inherit(override: ChannelOverride, parent: ResolvedLimits) -> ResolvedLimits:
    """What `override` says, and what `parent` says where it says nothing."""
    return ResolvedLimits(
        max_subscriptions=own_or(override.max_subscriptions, parent.max_subscriptions),
        max_messages=own_or(override.max_messages, parent.max_messages),
        max_bytes=own_or(override.max_bytes, parent.max_bytes),
        max_age_ns=own_or(override.max_age_ns, parent.max_age_ns),
        max_inactivity_ns=own_or(override.max_inactivity_ns, parent.max_inactivity_ns),
    )


def own_or(own: int | None, inherited: int) -> int:
    """One limit; a negative one is unlimited, as in the original."""
    return inherited if own is None else max(own, 0)


def width_order(name: str) -> Order:
    """What to sort names by, so that wide ones come first, and a name before those that only go on from it."""
    ranks = {ANY_REST: 0, ANY_TOKEN: 1}
    return tuple((ranks.get(token, 2), token) for token in name.split("."))


def matches(pattern: str, name: str) -> bool:
    """Whether `pattern` is wider than, or the same as, `name`, which may itself be a pattern."""
    wanted, given = pattern.split("."), name.split(".")
    for index, token in enumerate(wanted):
        if token == ANY_REST:
            return len(given) > index
        if index >= len(given) or token not in (ANY_TOKEN, given[index]):
            return False
    return len(wanted) == len(given)


def is_literal(name: str) -> bool:
    """Whether `name` is that of one channel."""
    return ANY_REST not in name and ANY_TOKEN not in name


def check_override_name(name: str) -> None:
    """Refuse what is neither a channel's name nor a pattern: raises OptionsError."""
    tokens = name.split(".")
    for index, token in enumerate(tokens):
        is_last = index == len(tokens) - 1
        is_wildcard = token == ANY_TOKEN or (token == ANY_REST and is_last)
        if not token or "/" in token or (not is_wildcard and not is_literal(token)):
            raise OptionsError(f"invalid channel name {quote(name)}")


def check_limits(limits: Limits) -> None:
    """Refuse negative limits with the original's texts, in its order; then what is wrong with the overrides."""
    for name, option, value in (
        ("max channels", "max_channels", limits.max_channels),
        ("max subscriptions", "max_subscriptions", limits.max_subscriptions),
        ("max messages", "max_messages", limits.max_messages),
        ("max bytes", "max_bytes", limits.max_bytes),
    ):
        if value < 0:
            raise OptionsError(f"{name} limit cannot be negative ({value})", f"limits.{option}")
    for name, option, value in (
        ("max age", "max_age_ns", limits.max_age_ns),
        ("max inactivity", "max_inactivity_ns", limits.max_inactivity_ns),
    ):
        if value < 0:
            raise OptionsError(f"{name} limit cannot be negative ({format_duration(value)})", f"limits.{option}")
    literals = 0
    for override in limits.per_channel:
        check_override_name(override.name)
        literals += is_literal(override.name)
        if 0 < limits.max_channels < literals:
            raise OptionsError(
                f"too many channels defined ({literals}). The max channels limit is set to {limits.max_channels}",
                "limits.per_channel",
            )


Row = tuple[str, Callable[[ResolvedLimits], int], Callable[[int], str]]
ROWS: tuple[Row, ...] = (
    ("Subscriptions", lambda limits: limits.max_subscriptions, str),
    ("Messages", lambda limits: limits.max_messages, str),
    ("Bytes", lambda limits: limits.max_bytes, format_size),
    ("Age", lambda limits: limits.max_age_ns, format_duration),
    ("Inactivity", lambda limits: limits.max_inactivity_ns, format_duration),
)
TITLE = "---------- Store Limits ----------"
CHANNELS_TITLE = "--------- Channels Limits --------"
LIST_TITLE = " List of Channels "
VALUE_CHARS = 13


def limit_lines(limits: Limits) -> list[str]:
    """The limits as the original prints them at the start; `*` marks a built-in default."""
    built_in = Limits()
    common, default = common_limits(limits), common_limits(built_in)
    lines = [
        TITLE,
        f"{'Channels:':<16} {value_text(limits.max_channels, str)}{mark(limits.max_channels, built_in.max_channels)}",
        CHANNELS_TITLE,
    ]
    for label, value, show in ROWS:
        shown = value_text(value(common), show) + mark(value(common), value(default))
        lines.append(f"  {label:<13}: {shown}")
    listed = override_lines(limits)
    width = max([len(TITLE), *(len(line.encode("utf-8", "surrogateescape")) for line in listed)])
    if listed:
        lines.append(LIST_TITLE.rjust((width - len(LIST_TITLE)) // 2 + len(LIST_TITLE), "-").ljust(width, "-"))
    return [*lines, *listed, "-" * width]


def override_lines(limits: Limits) -> list[str]:
    """Each override, indented under those it inherits from, with what it changes."""
    rules = ChannelLimitRules(limits)
    resolved = dict(rules.rules)
    levels = max((name.count(".") + 1 for name in resolved), default=0)
    lines: list[str] = []
    for name, own in rules.rules:
        chain = rules.wider(name)
        parent = resolved[chain[-1]] if chain else rules.common
        indent, rest = " " * len(chain), " " * (levels - len(chain))
        lines.append(indent + name)
        for label, value, show in ROWS:
            if value(own) != value(parent):
                lines.append(f"{indent} |-> {label:<13} {rest}{value_text(value(own), show)}")
    return lines


def value_text(value: int, show: Callable[[int], str]) -> str:
    """A limit at the right edge of its column."""
    return f"{'unlimited' if value == 0 else show(value):>{VALUE_CHARS}}"


def mark(value: int, default: int) -> str:
    """The mark of a built-in default."""
    return " *" if value == default else ""
