"""Values of configuration files: their kinds and texts are Go's, secrets are hidden, nothing gets long."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from durabus.config.document import Date, Entry, Place, Section, Value, is_secret, kind_of, text_of
from durabus.config.options import ConfigError

HERE = Place("bus.conf", 3, 5)


def entry(value: Value, key: str = "", secret: bool = False) -> Entry:
    return Entry(key, value, HERE, secret)


def section(*entries: Entry) -> Section:
    made = Section()
    for one in entries:
        made.put(one)
    return made


def test_a_place_is_written_as_editors_read_it() -> None:
    assert str(HERE) == "bus.conf:3:5"
    assert str(ConfigError("wrong", HERE)) == "bus.conf:3:5: wrong"
    assert str(ConfigError("wrong")) == "wrong"


def test_an_error_is_one_line() -> None:
    assert str(ConfigError("a\nb\x1b[2J", HERE)) == "bus.conf:3:5: a\\x0ab\\x1b[2J"


def test_a_key_that_is_given_again_replaces_the_earlier_one() -> None:
    made = section(entry(1, "a"), entry(2, "b"), entry(3, "a"))
    assert [(one.key, one.value) for one in made] == [("b", 2), ("a", 3)]
    assert made.find("A") is None


@pytest.mark.parametrize(
    ("value", "kind", "text"),
    [
        (True, "bool", "true"),
        (False, "bool", "false"),
        (5, "int64", "5"),
        (-1.5, "float64", "-1.5"),
        (1.0, "float64", "1"),
        ("a b", "string", "a b"),
        (Date("2016-05-04 18:53:41 +0000 UTC"), "struct", "2016-05-04 18:53:41 +0000 UTC"),
        ((), "slice", "[]"),
        ((entry("a"), entry(1)), "slice", "[a 1]"),
        (section(entry("c", "b"), entry("d", "a")), "map", "map[a:d b:c]"),
        ((entry("a"), entry(section(entry("c", "b")))), "slice", "[a map[b:c]]"),
    ],
)
def test_kinds_and_texts_are_those_of_go(value: Value, kind: str, text: str) -> None:
    assert kind_of(value) == kind
    assert text_of(entry(value)) == text


def test_secrets_are_not_in_the_text() -> None:
    inner = section(entry("bob", "user"), entry("s3cret", "password", secret=True))
    assert text_of(entry((entry(inner),))) == "[map[password:[REDACTED] user:bob]]"
    assert text_of(entry("s3cret", "token", secret=True)) == "[REDACTED]"


@pytest.mark.parametrize(
    "key",
    ["password", "pass", "Token", "nkey_seed_file", "encryption_key", "authorization", "users", "ns", "nats_server", "NATS_server_url", "source"],
)  # fmt: skip
def test_keys_of_secrets(key: str) -> None:
    assert is_secret(key)


@pytest.mark.parametrize("key", ["port", "id", "max_msgs", "streaming", "tls", "hbi", "insecure"])
def test_other_keys(key: str) -> None:
    assert not is_secret(key)


def test_a_long_text_is_cut_off() -> None:
    assert text_of(entry("x" * 1000)) == "x" * 200 + "..."


def test_values_that_stand_for_each_other_make_no_endless_text() -> None:
    value: Value = "x"
    for _ in range(100_000):  # as deep as variables can make it
        value = (entry(value),)
    assert text_of(entry(value)) == "[" * 17 + "..." + "]" * 17
    wide: Value = "x"
    for _ in range(15):
        wide = (entry(wide),) * 100
    assert len(text_of(entry(wide))) < 300


@given(st.text())
def test_any_text_is_one_line(text: str) -> None:
    assert str(ConfigError(text, HERE)).isprintable()
