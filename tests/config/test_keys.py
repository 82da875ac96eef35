"""Keys of configuration files: kinds and their errors, refusals, what is ignored."""

import pytest

from durabus.config import keys
from durabus.config.document import Entry, Section
from durabus.config.keys import Draft, Key, read_section
from durabus.config.options import ConfigError, OptionsError, Setting
from durabus.config.parser import parse_text


def section_of(text: str) -> Section:
    return parse_text(text, "f", {})


def read(text: str, *table: Key) -> Draft:
    draft = Draft()
    read_section(section_of(text), table, draft)
    return draft


def error_of(text: str, *table: Key) -> str:
    with pytest.raises(ConfigError) as caught:
        read(text, *table)
    return str(caught.value)


WRONG = {
    "string": "text",
    "bool": "yes",
    "int64": "5",
    "float64": "1.5",
    "struct": "2016-05-04T18:53:41Z",
    "slice": "[1]",
    "map": "{a: 1}",
}
TAKEN = {
    keys.text("k", "a.b"): "string",
    keys.switch("k", "a.b"): "bool",
    keys.number("k", "a.b"): "int64",
    keys.duration("k", "a.b"): "string",
    keys.refused("k", keys.SLICE, None, "why"): "slice",
    keys.refused("k", keys.MAP, None, "why"): "map",
}


@pytest.mark.parametrize("kind", WRONG)
@pytest.mark.parametrize(("key", "wanted"), TAKEN.items(), ids=lambda value: str(getattr(value, "kind", value)))
def test_a_value_of_another_kind(key: Key, wanted: str, kind: str) -> None:
    if kind == wanted:
        return
    text = f"\n  K: {WRONG[kind]}"
    assert error_of(text, key) == f'f:2:3: parameter "K" value is expected to be {wanted}, got {kind}'


@pytest.mark.parametrize(
    ("key", "text", "value"),
    [
        (keys.text("k", "a.b"), "k: x", "x"),
        (keys.text("j k", "a.b"), "K: x", "x"),
        (keys.switch("k", "a.b"), "k: on", True),
        (keys.switch("k", "a.b", lambda value: not value), "k: on", False),
        (keys.number("k", "a.b"), "k: 64KB", 65536),
        (keys.duration("k", "a.b"), "k: '1m30s'", 90 * 10**9),
        (keys.duration("k", "a.b"), "k: 30s", 30 * 10**9),
    ],
)
def test_settings(key: Key, text: str, value: Setting) -> None:
    assert read(text, key).settings == {"a.b": value}


def test_a_duration_that_is_none_names_its_key() -> None:
    key = keys.duration("hbi", "a.b")
    assert error_of("hbi: '5'", key) == 'f:1:1: parameter "hbi": time: missing unit in duration "5"'
    assert error_of("hbi: '1d'", key) == 'f:1:1: parameter "hbi": time: unknown unit "d" in duration "1d"'


def test_a_value_that_is_refused_gets_its_place() -> None:
    def refuse(value: Setting) -> Setting:
        raise OptionsError(f"no {value}")

    assert error_of("k: x", keys.text("k", "a.b", refuse)) == "f:1:1: no x"


def test_keys_that_nobody_knows_are_ignored() -> None:
    assert read("other: [1]\nk: x", keys.text("k", "a.b")).settings == {"a.b": "x"}


def test_the_last_of_two_names_counts() -> None:
    assert read("k: x\nlong_k: y", keys.text("k long_k", "a.b")).settings == {"a.b": "y"}


def test_sections() -> None:
    key = keys.section("limits", "store limits", (keys.number("mm", "a.b"),))
    assert read("Limits { MM: 5 }", key).settings == {"a.b": 5}
    assert error_of("limits: 5", key) == "f:1:1: expected store limits to be a map/struct, got 5"
    assert error_of("limits: [a, {b: c}]", key) == "f:1:1: expected store limits to be a map/struct, got [a map[b:c]]"
    assert error_of("limits { mm: x }", key) == 'f:1:10: parameter "mm" value is expected to be int64, got string'


def test_a_section_can_be_refused_as_a_whole_but_its_mistakes_come_first() -> None:
    key = keys.section("cluster", "cluster", (keys.number("mm", "a.b"),), "why not")
    assert read("\ncluster {}", key).refusals == ["f:2:1: cluster is not available: why not"]
    assert "expected to be int64" in error_of("cluster { mm: x }", key)


def test_a_refused_key_may_ask_for_nothing() -> None:
    table = (
        keys.refused("sync", keys.BOOL, True, "why"),
        keys.refused("size", keys.INT64, 0, "why"),
        keys.refused("dir", keys.STRING, "", "why"),
        keys.refused("any", keys.ANY, None, "why"),
    )
    assert read("sync: yes, size: 0, dir: ''", *table).refusals == []
    assert read("Sync: no", *table).refusals == ["f:1:1: Sync is not available: why"]
    assert len(read("size: 1, dir: x, any: {}", *table).refusals) == 3
    assert read("any: false", keys.refused("any", keys.ANY, False, "why")).refusals == []
    assert len(read("any: 0", keys.refused("any", keys.ANY, False, "why")).refusals) == 1


def test_a_refusal_does_not_tell_the_value() -> None:
    draft = read("seed: s3cret", keys.refused("seed", keys.STRING, "", "why"))
    assert draft.refusals == ["f:1:1: seed is not available: why"]


def test_a_key_without_effect_has_a_kind() -> None:
    key = keys.without_effect("reports", keys.INT64)
    assert read("reports: 5", key) == Draft()
    assert "expected to be int64" in error_of("reports: x", key)


def test_wrong_kinds_of_secrets_are_told_without_them() -> None:
    entry = section_of("pass: [s3cret]").find("pass")
    assert isinstance(entry, Entry)
    assert str(keys.wrong_kind(entry, "string")) == (
        'f:1:1: parameter "pass" value is expected to be string, got slice'
    )
    assert "s3cret" not in error_of("users: s3cret", keys.section("users", "users", ()))
