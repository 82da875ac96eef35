"""Limits per channel: which override counts, what it inherits, what is wrong with it, and the original's table."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from durabus.config.limits import (
    ChannelLimitRules,
    ResolvedLimits,
    check_limits,
    check_override_name,
    limit_lines,
    matches,
)
from durabus.config.options import ChannelOverride, Limits, OptionsError

S = 10**9


def override(name: str, **limits: int) -> ChannelOverride:
    return ChannelOverride(name=name, **limits)


# The configuration of which the original printed the table below.
PRINTED = Limits(
    max_channels=3,
    max_messages=5000,
    per_channel=(
        override(">", max_messages=10),
        override("foo.>", max_bytes=1024, max_inactivity_ns=5 * S),
        override("foo.bar.>", max_age_ns=S),
        override("foo.bar.baz.>", max_subscriptions=20),
        override("foo.*", max_subscriptions=3),
        override("*.*", max_messages=0, max_bytes=77),
        override("*", max_subscriptions=4),
        override("bar", max_subscriptions=30, max_age_ns=0),
        override("foo.a", max_inactivity_ns=3600 * S),
        override("averyveryverylongchannelname.with.many.parts", max_bytes=123456789012),
    ),
)
# The original prints channels side by side in any order; here they are in the order of their names.
TABLE = """\
---------- Store Limits ----------
Channels:                    3
--------- Channels Limits --------
  Subscriptions:          1000 *
  Messages     :          5000
  Bytes        :     976.56 MB *
  Age          :     unlimited *
  Inactivity   :     unlimited *
------------- List of Channels --------------
>
 |-> Messages                     10
 *
  |-> Subscriptions                4
 *.*
  |-> Messages             unlimited
  |-> Bytes                     77 B
 averyveryverylongchannelname.with.many.parts
  |-> Bytes                114.98 GB
  bar
   |-> Subscriptions              30
  foo.>
   |-> Bytes                 1.00 KB
   |-> Inactivity                 5s
   foo.*
    |-> Subscriptions              3
    foo.a
     |-> Inactivity           1h0m0s
  foo.bar.>
   |-> Age                        1s
   foo.bar.baz.>
    |-> Subscriptions             20
---------------------------------------------""".splitlines()


@pytest.mark.row(112)
def test_the_table_is_the_originals() -> None:
    assert limit_lines(PRINTED) == TABLE


@pytest.mark.row(112)
def test_the_table_of_defaults_is_the_originals() -> None:
    assert limit_lines(Limits()) == [
        "---------- Store Limits ----------",
        "Channels:                  100 *",
        "--------- Channels Limits --------",
        "  Subscriptions:          1000 *",
        "  Messages     :       1000000 *",
        "  Bytes        :     976.56 MB *",
        "  Age          :     unlimited *",
        "  Inactivity   :     unlimited *",
        "----------------------------------",
    ]


def test_a_list_of_short_names_does_not_widen_the_table() -> None:
    limits = Limits(max_channels=0, per_channel=(override("a"), override("b"), override("c.*")))
    assert limit_lines(limits)[1] == "Channels:            unlimited"
    assert limit_lines(limits)[8:] == [
        "-------- List of Channels --------",
        "a",
        "b",
        "c.*",
        "----------------------------------",
    ]


def resolved(channel: str | bytes) -> tuple[int, int, int, int, int]:
    limits = ChannelLimitRules(PRINTED).resolve(channel)
    return (
        limits.max_subscriptions,
        limits.max_messages,
        limits.max_bytes,
        limits.max_age_ns // S,
        limits.max_inactivity_ns // S,
    )


@pytest.mark.row(108)
@pytest.mark.parametrize(
    ("channel", "limits"),
    [
        ("foo", (4, 10, 1_024_000_000, 0, 0)),
        ("bar", (30, 10, 1_024_000_000, 0, 0)),
        ("x.y", (1000, 0, 77, 0, 0)),
        ("x.y.z", (1000, 10, 1_024_000_000, 0, 0)),
        ("foo.b", (3, 0, 1024, 0, 5)),
        ("foo.a", (3, 0, 1024, 0, 3600)),
        ("foo.x.y", (1000, 0, 1024, 0, 5)),
        ("foo.bar", (3, 0, 1024, 0, 5)),
        ("foo.bar.x", (1000, 0, 1024, 1, 5)),
        ("foo.bar.baz.x.y", (20, 0, 1024, 1, 5)),
        (b"foo.bar.baz.x.y", (20, 0, 1024, 1, 5)),
        (b"a.\xff", (1000, 0, 77, 0, 0)),
    ],
)
def test_the_narrowest_counts_and_inherits_the_rest(
    channel: str | bytes, limits: tuple[int, int, int, int, int]
) -> None:
    """`foo.>` inherits from `*.*`, as in the original, though it also matches channels that `*.*` does not."""
    assert resolved(channel) == limits


def test_without_overrides_all_channels_are_alike() -> None:
    rules = ChannelLimitRules(Limits(max_messages=7))
    assert rules.rules == ()
    assert rules.resolve("any") is rules.common
    assert rules.common == ResolvedLimits(
        max_subscriptions=1000, max_messages=7, max_bytes=1_024_000_000, max_age_ns=0, max_inactivity_ns=0
    )


@pytest.mark.row(108)
def test_zero_is_unlimited_and_none_is_inherited() -> None:
    rules = ChannelLimitRules(
        Limits(max_messages=7, max_age_ns=8, per_channel=(override("a", max_messages=0), override("b", max_age_ns=-1)))
    )
    assert (rules.resolve("a").max_messages, rules.resolve("a").max_age_ns) == (0, 8)
    assert (rules.resolve("b").max_messages, rules.resolve("b").max_age_ns) == (7, 0)


def test_rules_are_in_the_order_in_which_the_last_one_counts() -> None:
    rules = ChannelLimitRules(PRINTED)
    assert [name for name, _ in rules.rules] == [line.strip() for line in TABLE[9:-1] if "|->" not in line]
    assert rules.wider(">") == ()
    assert rules.wider("foo.a") == (">", "*.*", "foo.>", "foo.*")


TOKENS = st.lists(st.sampled_from(["a", "b", "*"]), min_size=1, max_size=3)
NAMES = st.one_of(TOKENS.map(".".join), TOKENS.map(lambda tokens: ".".join([*tokens, ">"])), st.just(">"))
LITERALS = st.lists(st.sampled_from(["a", "b", "c"]), min_size=1, max_size=4).map(".".join)


@given(st.lists(NAMES, unique=True, max_size=8), LITERALS)
def test_any_set_of_overrides(names: list[str], channel: str) -> None:
    limits = Limits(per_channel=tuple(override(name, max_messages=i + 1) for i, name in enumerate(names)))
    check_limits(limits)
    rules = ChannelLimitRules(limits)
    found = [i + 1 for i, name in enumerate(names) if matches(name, channel)]
    assert rules.resolve(channel).max_messages in (found or [limits.max_messages])
    if channel in names:
        assert rules.resolve(channel).max_messages == names.index(channel) + 1
    last = [own for name, own in rules.rules if matches(name, channel)]
    assert rules.resolve(channel) == (last[-1] if last else rules.common)
    assert sorted(name for name, _ in rules.rules) == sorted(names)
    assert limit_lines(limits)


@pytest.mark.parametrize(
    ("pattern", "name", "is_wider"),
    [
        (">", "a.b", True),
        ("a.>", "a", False),
        ("a.>", "a.b.c", True),
        ("*", "a", True),
        ("*", "a.b", False),
        ("a.*", "a.>", True),
        ("a.>", "a.*", True),
        ("a", "a", True),
        ("a", "a.b", False),
        ("a.b", "a", False),
        ("a.b", "a.*", False),
    ],
)
def test_matching(pattern: str, name: str, is_wider: bool) -> None:
    assert matches(pattern, name) is is_wider


@pytest.mark.parametrize("name", ["a", "a.b", "*", ">", "*.a", "a.*.b", "a.>", "*.>", "a b", "\u00e9", "\udcff"])
def test_names_of_overrides(name: str) -> None:
    check_override_name(name)


@pytest.mark.parametrize(
    "name", ["", ".", ".a", "a.", "a..b", "a/b", "a*", "*a", "a.b*", "a>", ">.a", "a.>.b", "**", ">>", "a.>>"]
)
def test_names_of_none(name: str) -> None:
    with pytest.raises(OptionsError) as caught:
        check_override_name(name)
    assert str(caught.value) == f'invalid channel name "{name}"'


@pytest.mark.row(109, 110)
@pytest.mark.parametrize(
    ("limits", "error"),
    [
        (Limits(max_channels=-1), "max channels limit cannot be negative (-1)"),
        (Limits(max_subscriptions=-1), "max subscriptions limit cannot be negative (-1)"),
        (Limits(max_messages=-5), "max messages limit cannot be negative (-5)"),
        (Limits(max_bytes=-1), "max bytes limit cannot be negative (-1)"),
        (Limits(max_age_ns=-S), "max age limit cannot be negative (-1s)"),
        (Limits(max_inactivity_ns=-S), "max inactivity limit cannot be negative (-1s)"),
        (Limits(per_channel=(override("a..b"),)), 'invalid channel name "a..b"'),
        (
            Limits(max_channels=1, per_channel=(override("a"), override("b.*"), override("b"), override("c"))),
            "too many channels defined (2). The max channels limit is set to 1",
        ),
    ],
)
def test_what_is_wrong_with_limits(limits: Limits, error: str) -> None:
    with pytest.raises(OptionsError) as caught:
        check_limits(limits)
    assert str(caught.value) == error


@pytest.mark.row(109)
@pytest.mark.parametrize("max_channels", [0, 2])
def test_only_literal_channels_count(max_channels: int) -> None:
    names = ("a", "b", "*", "a.*", "b.>", ">")
    check_limits(Limits(max_channels=max_channels, per_channel=tuple(override(name) for name in names)))
