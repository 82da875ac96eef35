"""Every key of the durable half under every name: what it sets, and the original's words for a value of another kind."""

from collections.abc import Iterator

import pytest

from durabus.config.files import own_section
from durabus.config.keys import Draft, Key, read_section
from durabus.config.options import ChannelOverride, ConfigError, Options, Setting, with_settings
from durabus.config.parser import parse_text
from durabus.config.refusals import CLUSTERING_MODE, NKEYS, refusal
from durabus.config.streaming_keys import CHANNEL_LIMITS, STREAMING

S = 10**9
MIB = 1024**2


def read(text: str) -> Draft:
    draft = Draft()
    read_section(own_section(parse_text(text, "f", {})), STREAMING, draft)
    return draft


def error_of(text: str) -> str:
    with pytest.raises(ConfigError) as caught:
        read(text)
    return str(caught.value)


# All keys of the original with all their names, in the order of its documentation, with a value and what it sets.
SET: dict[str, tuple[str, str, Setting]] = {
    "id cid cluster_id": ("bus", "streaming.cluster_id", "bus"),
    "discover_prefix": ("_FOO", "streaming.discover_prefix", "_FOO"),
    "st store store_type storetype": ("file", "streaming.store", "FILE"),
    "dir datastore": ("/data/bus", "file.directory", "/data/bus"),
    "sd stan_debug": ("yes", "log.streaming_debug", True),
    "sv stan_trace": ("on", "log.streaming_trace", True),
    "ns nats_server nats_server_url": ("nats://h:1", "external.url", "nats://h:1"),
    "username user": ("u", "external.user", "u"),
    "password pass": ("p", "external.password", "p"),
    "token": ("t", "external.token", "t"),
    "secure": ("true", "external.secure", True),
    "hbi hb_interval server_to_client_hb_interval": ("5s", "streaming.heartbeat_interval_ns", 5 * S),
    "hbt hb_timeout server_to_client_hb_timeout": ("6s", "streaming.heartbeat_timeout_ns", 6 * S),
    "hbf hb_fail_count server_to_client_hb_fail_count": ("7", "streaming.heartbeat_fail_count", 7),
    "ft_group ft_group_name": ("g", "streaming.ft_group", "g"),
    "partitioning": ("true", "streaming.partitioning", True),
    "syslog_name": ("s", "log.syslog_name", "s"),
    "replace_durable replace_durables replace_duplicate_durable replace_duplicate_durables": (
        "yes",
        "streaming.replace_durable",
        True,
    ),
    "presence_grace": ("8s", "streaming.presence_grace_ns", 8 * S),
    "encrypt": ("yes", "encryption.enabled", True),
    "encryption_cipher": ("AES", "encryption.cipher", "AES"),
}
SET_IN: dict[str, dict[str, tuple[str, str, Setting]]] = {
    "tls": {
        "client_cert": ("c", "external.certificate_file", "c"),
        "client_key": ("k", "external.key_file", "k"),
        "client_ca client_cacert": ("a", "external.authority_file", "a"),
        "server_name server_hostname": ("n", "external.server_name", "n"),
        "skip_verify insecure": ("yes", "external.skip_verify", True),
    },
    "limits store_limits storelimits": {
        "mc max_channels maxchannels": ("1", "limits.max_channels", 1),
        "msu max_subs max_subscriptions maxsubscriptions": ("2", "limits.max_subscriptions", 2),
        "mm max_msgs maxmsgs max_count maxcount": ("3k", "limits.max_messages", 3000),
        "mb max_bytes maxbytes": ("4KB", "limits.max_bytes", 4096),
        "ma max_age maxage": ("5s", "limits.max_age_ns", 5 * S),
        "mi max_inactivity maxinactivity": ("6s", "limits.max_inactivity_ns", 6 * S),
    },
    "file file_options": {
        "compact compact_enabled": ("no", "file.compact", False),
        "compact_frag compact_fragmentation": ("1", "file.compact_fragmentation_percent", 1),
        "compact_interval": ("2", "file.compact_interval_s", 2),
        "compact_min_size": ("3MB", "file.compact_bytes_min", 3 * MIB),
        "buffer_size": ("4KB", "file.write_buffer_bytes", 4096),
        "crc do_crc": ("no", "file.check_crc", False),
        "crc_poly": ("5", "file.crc_polynomial", 5),
        "sync do_sync sync_on_flush": ("no", "file.sync", False),
        "slice_max_msgs slice_max_count slice_msgs slice_count": ("6", "file.slice_messages_max", 6),
        "slice_max_bytes slice_max_size slice_bytes slice_size": ("7MB", "file.slice_bytes_max", 7 * MIB),
        "slice_max_age slice_age slice_max_time slice_time_limit": ("8s", "file.slice_age_max_ns", 8 * S),
        "slice_archive_script slice_archive slice_script": ("x", "file.slice_archive_script", "x"),
        "file_descriptors_limit fds_limit": ("9", "file.open_files_max", 9),
        "parallel_recovery": ("10", "file.parallel_recoveries", 10),
        "file_read_buffer_size read_buffer_size": ("11KB", "file.read_buffer_bytes", 11 * 1024),
        "file_auto_sync auto_sync": ("12s", "file.auto_sync_interval_ns", 12 * S),
    },
    "sql sql_options": {
        "driver": ("postgres", "sql.driver", "postgres"),
        "source": ("s3cret", "sql.source", "s3cret"),
        "no_caching": ("yes", "sql.no_caching", True),
        "max_open_conns max_conns": ("1", "sql.connections_max", 1),
        "bulk_insert_limit": ("2", "sql.bulk_insert_messages", 2),
        "create_tables": ("no", "sql.create_tables", False),
    },
}
REFUSED: dict[str, tuple[str, str]] = {
    "credentials": ("x", NKEYS),
    "nkey_seed_file": ("x", NKEYS),
    "cluster": ("{}", CLUSTERING_MODE),
}
CLUSTER = {
    "node_id": "a",
    "bootstrap": "yes",
    "peers": "[a, b\n]",
    "log_path": "p",
    "log_cache_size": "1",
    "log_snapshots": "1",
    "trailing_logs": "1",
    "sync": "yes",
    "proceed_on_restore_failure": "yes",
    "allow_add_remove_node": "yes",
    "raft_logging": "yes",
    "raft_heartbeat_timeout": "1s",
    "raft_election_timeout": "1s",
    "raft_lease_timeout": "1s",
    "raft_commit_timeout": "1s",
    "bolt_free_list_sync": "yes",
    "bolt_free_list_map": "yes",
    "nodes_connections": "yes",
}


def cases() -> Iterator[tuple[str, str, Setting]]:
    """A text for every name of every key that sets something, the option, and its value."""
    for names, (value, option, set_to) in SET.items():
        yield from ((f"{name}: {value}", option, set_to) for name in names.split())
    for sections, table in SET_IN.items():
        for names, (value, option, set_to) in table.items():
            outer = sections.split()[0]
            yield from ((f"{outer} {{ {name}: {value} }}", option, set_to) for name in names.split())
        first, (value, option, set_to) = next(iter(table.items()))
        yield from ((f"{name} {{ {first.split()[0]}: {value} }}", option, set_to) for name in sections.split())


@pytest.mark.row(127)
@pytest.mark.parametrize(("text", "option", "value"), list(cases()))
@pytest.mark.parametrize("form", ["{}", "streaming {{\n{}\n}}", "other: 1\nSTREAMING = {{ {} }}"])
def test_every_name_of_every_key(form: str, text: str, option: str, value: Setting) -> None:
    draft = read(form.format(text))
    assert draft.settings == {option: value}
    assert draft.refusals == draft.warnings == []
    with_settings(Options(), draft.settings)


@pytest.mark.row(160)
@pytest.mark.parametrize("key", ["s3cret", ""])
def test_a_key_turns_encryption_on(key: str) -> None:
    assert read(f'encryption_key: "{key}"').settings == {"encryption.key": key, "encryption.enabled": True}


@pytest.mark.parametrize("change", [str.upper, str.capitalize])
def test_keys_are_in_any_case(change: type) -> None:
    assert read(f"{change('cluster_id')}: x\n{change('store_limits')} {{ {change('mm')}: 5 }}").settings == {
        "streaming.cluster_id": "x",
        "limits.max_messages": 5,
    }


def refusals() -> Iterator[tuple[str, str, str]]:
    """A text for every name of every key that is refused, the name, and the reason."""
    for names, (value, why) in REFUSED.items():
        yield from ((f"{name}: {value}", name, why) for name in names.split())
    for name, value in CLUSTER.items():
        yield f"cluster {{ {name}: {value} }}", "cluster", CLUSTERING_MODE


@pytest.mark.row(163)
@pytest.mark.parametrize(("text", "name", "why"), list(refusals()))
def test_what_is_not_there_is_refused(text: str, name: str, why: str) -> None:
    draft = read(text)
    assert draft.settings == {}
    assert refusal(name, why) in draft.refusals[-1]
    assert "s3cret" not in "".join(draft.refusals)


def test_every_key_is_tested() -> None:
    def names(keys: tuple[Key, ...]) -> set[str]:
        return {" ".join(key.names) for key in keys}

    by_name = {key.names: key for key in STREAMING}
    assert names(STREAMING) == {*SET, *SET_IN, *REFUSED, "encryption_key"}
    inner: dict[str, set[str]] = {section: {*table} for section, table in SET_IN.items()}
    for section, table in inner.items():
        channels = {"channels channels_limits channelslimits per_channel per_channel_limits"}
        assert names(by_name[tuple(section.split())].keys) - channels == table
    assert names(by_name["cluster",].keys) == {*CLUSTER}


WRONG = {"string": "x", "bool": "yes", "int64": "5", "map": "{}", "slice": "[]", "float64": "1.5"}
KINDS = {"duration": "string"}


def wrong_kinds() -> Iterator[tuple[str, str, str]]:
    """For every name of every key a text with a value of another kind, and the two kinds."""
    for key in STREAMING:
        for inner in key.keys:
            kind = KINDS.get(inner.kind, inner.kind)
            wrong = "int64" if kind != "int64" else "string"
            if kind not in ("map", "slice"):
                for name in inner.names:
                    yield f"{key.names[0]} {{ {name}: {WRONG[wrong]} }}", kind, wrong
        kind = KINDS.get(key.kind, key.kind)
        wrong = "int64" if kind != "int64" else "string"
        if kind != "map":
            for name in key.names:
                yield f"{name}: {WRONG[wrong]}", kind, wrong


@pytest.mark.row(127)
@pytest.mark.parametrize(("text", "wanted", "given"), list(wrong_kinds()))
def test_values_of_another_kind(text: str, wanted: str, given: str) -> None:
    name = text.rpartition(": ")[0].rpartition(" ")[2]
    place = text.index(f"{name}:") + 1
    assert error_of(text) == f'f:1:{place}: parameter "{name}" value is expected to be {wanted}, got {given}'


NO_MAP = "f:1:1: expected streaming section to be a map/struct, got "


# What the original said about the same text, with our place in front.
@pytest.mark.row(119, 127)
@pytest.mark.parametrize(
    ("text", "error"),
    [
        ("streaming: 5", "f:1:1: expected streaming section to be a map/struct, got 5"),
        (
            "streaming: [a, {b: c}, 2016-05-04T18:53:41Z, 1.5, yes]",
            f"{NO_MAP}[a map[b:c] 2016-05-04 18:53:41 +0000 UTC 1.5 true]",
        ),
        ("tls: 5", "f:1:1: expected TLS to be a map/struct, got 5"),
        ("store_limits 5", "f:1:1: expected store limits to be a map/struct, got 5"),
        ("file_options: x", "f:1:1: expected file options to be a map/struct, got x"),
        ("sql: yes", "f:1:1: expected SQL options to be a map/struct, got true"),
        ("cluster: 5", "f:1:1: expected cluster to be a map/struct, got 5"),
        ("cluster { peers: [1 ] }", 'f:1:19: parameter "peers" value is expected to be string, got int64'),
        ("hbf: yes", 'f:1:1: parameter "hbf" value is expected to be int64, got bool'),
        ("hbf: '7'", 'f:1:1: parameter "hbf" value is expected to be int64, got string'),
        ("sd: 'true'", 'f:1:1: parameter "sd" value is expected to be bool, got string'),
        ("store_limits { mm: 1.5 }", 'f:1:16: parameter "mm" value is expected to be int64, got float64'),
        ("cluster { peers: a }", 'f:1:11: parameter "peers" value is expected to be slice, got string'),
        ("store_limits { channels 5 }", "f:1:16: expected per channel limits to be a map/struct, got 5"),
        ("store_limits { channels { foo 5 } }", "f:1:27: expected channel limits to be a map/struct, got 5"),
        (
            'store_limits { channels { "foo..bar" {mm 1} } }',
            'f:1:27: invalid channel name "foo..bar"',
        ),
        ("store_limits { channels { a/b {} } }", 'f:1:27: invalid channel name "a/b"'),
        (
            "store_limits { channels { a { mm: x } } }",
            'f:1:31: parameter "mm" value is expected to be int64, got string',
        ),
        ("st: bogus", "f:1:1: unknown store type: bogus"),
        ("st: ''", "f:1:1: unknown store type: "),
        ("hbi: '5'", 'f:1:1: parameter "hbi": time: missing unit in duration "5"'),
        ("hbi: 5m", 'f:1:1: parameter "hbi" value is expected to be string, got int64'),
    ],
)  # fmt: skip
def test_mistakes(text: str, error: str) -> None:
    assert error_of(text) == error


def test_the_section_of_the_bus_stands_for_the_whole_file() -> None:
    assert read("id: a\nstreaming { cid: b }\nmax_subs: 5").settings == {"streaming.cluster_id": "b"}


# Limits of channels.


def overrides(text: str) -> tuple[ChannelOverride, ...]:
    found = read(text).settings["limits.per_channel"]
    assert isinstance(found, tuple)
    return tuple(override for override in found if isinstance(override, ChannelOverride))


@pytest.mark.parametrize("name", ["channels", "channels_limits", "ChannelsLimits", "per_channel", "per_channel_limits"])
def test_limits_of_channels(name: str) -> None:
    text = f'limits {{ {name} {{ "foo.>" {{ mm: 5, ma: "1s" }}, foo.* {{ }}, Bar {{ mb: 1KB }} }} }}'
    assert overrides(text) == (
        ChannelOverride(name="foo.>", max_messages=5, max_age_ns=S),
        ChannelOverride(name="foo.*"),
        ChannelOverride(name="Bar", max_bytes=1024),
    )


@pytest.mark.row(127)
@pytest.mark.parametrize(
    ("name", "zero"), [*((name, "0") for name in ("mc", "msu", "mm", "mb")), ("ma", "0s"), ("mi", "0s")]
)
def test_a_limit_of_0_is_no_limit_and_not_the_default(name: str, zero: str) -> None:
    draft = read(f"limits {{ {name}: {zero} }}")
    assert list(draft.settings.values()) == [0]
    (option,) = (option.removeprefix("limits.") for option in draft.settings)
    assert getattr(with_settings(Options(), draft.settings).limits, option) == 0


@pytest.mark.row(127)
@pytest.mark.parametrize(
    ("name", "kind", "option"),
    [(name, kind, option) for names, kind, option in CHANNEL_LIMITS for name in names.split()],
)
@pytest.mark.parametrize(("number", "limit"), [(7, 7), (0, 0), (-7, 0)])
def test_every_limit_of_a_channel(name: str, kind: str, option: str, number: int, limit: int) -> None:
    value = f'"{number}s"' if kind == "duration" else str(number)
    (override,) = overrides(f"limits {{ channels {{ a {{ {name}: {value} }} }} }}")
    assert override == ChannelOverride(name="a", **{option: limit * S if kind == "duration" else limit})


def test_a_channel_has_no_number_of_channels() -> None:
    assert overrides("limits { channels { a { max_channels: 5, other: x } } }") == (ChannelOverride(name="a"),)


def test_channels_of_several_sections_add_up() -> None:
    text = "limits { channels { a { mm: 1 }, b { mm: 2 } }\n per_channel { b { mm: 3 }, c {} } }"
    assert [(override.name, override.max_messages) for override in overrides(text)] == [("a", 1), ("b", 3), ("c", None)]


def test_a_key_with_a_secret_never_shows_it() -> None:
    assert "s3cret" not in error_of("password: [s3cret]")
    assert "s3cret" not in error_of("streaming: [{password: s3cret}]")
    assert "s3cret" not in error_of("ns: [s3cret]")
    assert "s3cret" not in error_of("sql { source: [s3cret] }")
    assert "s3cret" not in repr(with_settings(Options(), read("sql { source: s3cret }").settings))
