"""Subjects against a naive model, and the tables of what is valid."""

import itertools
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from durabus.wire.subjects import has_wildcard, is_channel_name, is_literal_subject, is_subject, matches, overlap

literal_tokens = st.sampled_from([b"a", b"b", b"ab", b"a*", b"*a", b">a", b"\xff"])
literals = st.lists(literal_tokens, min_size=1, max_size=5).map(b".".join)
pattern_tokens = literal_tokens | st.just(b"*")


@st.composite
def patterns(draw: st.DrawFn) -> bytes:
    """A valid subscription subject."""
    tokens = draw(st.lists(pattern_tokens, min_size=1, max_size=4))
    if draw(st.booleans()):
        tokens.append(b">")
    return b".".join(tokens) if draw(st.integers(0, 9)) else b">"


def naive_matches(pattern: bytes, subject: bytes) -> bool:
    """The same by a regular expression."""
    parts = []
    for token in pattern.split(b"."):
        parts.append({b"*": rb"[^.]+", b">": rb".+"}.get(token, re.escape(token)))
    return re.fullmatch(rb"\.".join(parts), subject, re.DOTALL) is not None


@given(patterns(), literals)
def test_matches_as_the_model_does(pattern: bytes, subject: bytes) -> None:
    assert matches(pattern, subject) == naive_matches(pattern, subject)


@given(st.data(), literals)
def test_a_pattern_made_from_a_subject_matches_it(data: st.DataObject, subject: bytes) -> None:
    tokens = subject.split(b".")
    stars = data.draw(st.lists(st.booleans(), min_size=len(tokens), max_size=len(tokens)))
    pattern = [b"*" if star else token for token, star in zip(tokens, stars, strict=True)]
    assert matches(b".".join(pattern), subject)
    tail = data.draw(st.integers(0, len(tokens) - 1))
    assert matches(b".".join([*pattern[:tail], b">"]), subject)
    assert not matches(b".".join([*pattern, b">"]), subject), "`>` stands for one token at least"
    assert not matches(b".".join([*pattern, b"*"]), subject)


few_tokens = st.sampled_from([b"a", b"b", b"*"])


@st.composite
def few_patterns(draw: st.DrawFn) -> bytes:
    """A short pattern of few words, so that two of them often have something in common."""
    tokens = draw(st.lists(few_tokens, min_size=1, max_size=3))
    return b".".join([*tokens, b">"] if draw(st.booleans()) else tokens)


SHORT_SUBJECTS = [
    b".".join(tokens) for count in range(1, 5) for tokens in itertools.product((b"a", b"b"), repeat=count)
]
"""If two of those patterns have a subject in common, it is one of these."""


@given(few_patterns(), few_patterns())
def test_what_two_patterns_have_in_common(one: bytes, other: bytes) -> None:
    common = any(naive_matches(one, subject) and naive_matches(other, subject) for subject in SHORT_SUBJECTS)
    assert overlap(one, other) == overlap(other, one) == common


@given(patterns(), literals)
def test_a_pattern_and_a_subject_have_the_subject_in_common(pattern: bytes, subject: bytes) -> None:
    assert overlap(pattern, subject) == matches(pattern, subject)


@given(patterns())
def test_patterns_and_literals_are_told_apart(pattern: bytes) -> None:
    assert is_subject(pattern)
    assert has_wildcard(pattern) == bool({b"*", b">"} & set(pattern.split(b".")))
    assert is_literal_subject(pattern) != has_wildcard(pattern)


@given(st.lists(st.sampled_from([b"", b"a", b"*", b">", b"a b", b"\t", b"\r", b"\n", b"a>"]), max_size=4))
def test_valid_subjects_by_a_model(tokens: list[bytes]) -> None:
    subject = b".".join(tokens)
    expected = re.fullmatch(rb"((\*|[^\s.>*]+>?|)\.)*(>|\*|[^\s.>*]+>?)", subject) is not None and b".." not in subject
    assert is_subject(subject) == (expected and not subject.startswith(b"."))


@pytest.mark.parametrize(
    "subject",
    [
        b"foo",
        b"foo.bar",
        b"foo.*",
        b"*.bar",
        b"*",
        b">",
        b"foo.>",
        b"*.>",
        b"*.*",
        b"foo*.bar",
        b"f>o",
        b"fo>",
        b"\xff\xfe",
    ],
)
def test_valid(subject: bytes) -> None:
    assert is_subject(subject)


@pytest.mark.parametrize(
    "subject",
    [
        b"", b".", b".foo", b"foo.", b"foo..bar", b"..", b"foo.>.bar", b">.", b">.>", b">.foo", b"foo bar", b" foo",
        b"foo ", b"foo\tbar", b"foo\r", b"foo\nbar",
    ],
)  # fmt: skip
def test_invalid(subject: bytes) -> None:
    assert not is_subject(subject)
    assert not is_literal_subject(subject)


@pytest.mark.parametrize(
    ("pattern", "subject", "expected"),
    [
        (b"foo", b"foo", True),
        (b"foo", b"Foo", False),
        (b"foo", b"foo.bar", False),
        (b"foo.bar", b"foo", False),
        (b"foo.*", b"foo.bar", True),
        (b"foo.*", b"foo", False),
        (b"foo.*", b"foo.bar.baz", False),
        (b"*.bar", b"foo.bar", True),
        (b"*.bar", b"foo.baz", False),
        (b">", b"foo", True),
        (b">", b"foo.bar.baz", True),
        (b"foo.>", b"foo.bar", True),
        (b"foo.>", b"foo.bar.baz", True),
        (b"foo.>", b"foo", False),
        (b"foo.>", b"bar.foo", False),
        (b"*.*", b"foo.bar", True),
        (b"*.*.>", b"foo.bar", False),
        (b"f*", b"foo", False),
        (b"f*", b"f*", True),
    ],
)
def test_matches(pattern: bytes, subject: bytes, expected: bool) -> None:
    assert matches(pattern, subject) is expected


@pytest.mark.parametrize(
    "name",
    [
        b"foo",
        b"foo.bar",
        b"order:created",
        b"a b",
        b"\t",
        b" ",
        b"\xff\xfe",
        "größe".encode(),
        b"\x00",
        b"a\r\nb",
        b"$x",
    ],
)
def test_channel_names(name: bytes) -> None:
    assert is_channel_name(name)


@pytest.mark.parametrize(
    "name",
    [
        b"",
        b".",
        b"..",
        b".foo",
        b"foo.",
        b"foo..bar",
        b"foo/bar",
        b"/",
        b"foo.*",
        b"*",
        b">",
        b"foo.>",
        b"f*o",
        b"fo>o",
        b"foo>",
    ],
)
def test_what_is_no_channel_name(name: bytes) -> None:
    assert not is_channel_name(name)


@given(st.lists(st.sampled_from([b"a", b".", b"/", b"*", b">", b" "]), max_size=6).map(b"".join))
def test_channel_names_by_a_model(name: bytes) -> None:
    assert is_channel_name(name) == (re.fullmatch(rb"[^./*>]+(\.[^./*>]+)*", name) is not None)


def test_thousands_of_tokens() -> None:
    subject = b".".join([b"x"] * 5000)
    assert is_literal_subject(subject)
    assert matches(subject + b".>", subject + b".y")
    assert matches(b".".join([b"*"] * 5000), subject)
    assert not matches(b".".join([b"*"] * 5001), subject)
