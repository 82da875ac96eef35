"""The keys of the durable half: those of `streaming { ... }`, or of a whole file without that section."""

import dataclasses

from durabus.config.document import Entry
from durabus.config.flag_table import store_type
from durabus.config.flags import Kind
from durabus.config.keys import (
    BOOL,
    DURATION,
    INT64,
    MAP,
    SLICE,
    STRING,
    Draft,
    Key,
    array_of,
    duration,
    number,
    read_section,
    refused,
    section,
    section_of,
    special,
    switch,
    text,
    text_value,
    wrong_kind,
)
from durabus.config.limits import check_override_name
from durabus.config.options import ChannelOverride, ConfigError, OptionsError, Setting
from durabus.config.refusals import CLUSTERED, CLUSTERING_MODE, NKEYS
from durabus.config.store_table import STORE_TABLE

__all__ = ["CHANNEL_LIMITS", "STREAMING"]

KNOWN_STORES = ("FILE", "MEMORY", "SQL")

CHANNEL_LIMITS: tuple[tuple[str, str, str], ...] = (
    ("msu max_subs max_subscriptions maxsubscriptions", INT64, "max_subscriptions"),
    ("mm max_msgs maxmsgs max_count maxcount", INT64, "max_messages"),
    ("mb max_bytes maxbytes", INT64, "max_bytes"),
    ("ma max_age maxage", DURATION, "max_age_ns"),
    ("mi max_inactivity maxinactivity", DURATION, "max_inactivity_ns"),
)
"""The limits that a channel may have of its own: names, kind, option. In a channel's own limits 0 is unlimited."""


def known_store(value: Setting) -> Setting:
    """A type of store in capital letters; one that nobody knows is an error here, before anything else is read."""
    if store_type(value) not in KNOWN_STORES:
        raise OptionsError(f"unknown store type: {value}")
    return store_type(value)


def common_limit(names: str, kind: str, option: str) -> Key:
    """A limit for all channels."""
    return (duration if kind == DURATION else number)(names, f"limits.{option}")


def read_per_channel(entry: Entry, draft: Draft) -> None:
    """Limits by the names or patterns of channels; those of several such sections add up."""
    given = draft.settings.get("limits.per_channel", ())
    assert isinstance(given, tuple)
    overrides = {override.name: override for override in given if isinstance(override, ChannelOverride)}
    for channel in section_of(entry, "per channel limits"):
        limits = section_of(channel, "channel limits")
        try:
            check_override_name(channel.key)
        except OptionsError as error:
            raise ConfigError(str(error), channel.place) from None
        own = Draft()
        read_section(limits, [common_limit(*row) for row in CHANNEL_LIMITS], own)
        # A negative limit is unlimited, as 0 is; one that is not given is inherited.
        values = {name: max(value, 0) for name, value in own.settings.items() if isinstance(value, int)}
        overrides[channel.key] = ChannelOverride(
            name=channel.key,
            max_subscriptions=values.get("limits.max_subscriptions"),
            max_messages=values.get("limits.max_messages"),
            max_bytes=values.get("limits.max_bytes"),
            max_age_ns=values.get("limits.max_age_ns"),
            max_inactivity_ns=values.get("limits.max_inactivity_ns"),
        )
    draft.put(entry, "limits.per_channel", tuple(overrides.values()))


def read_encryption_key(entry: Entry, draft: Draft) -> None:
    """A key, which turns encryption on, also when it is empty: then it comes from somewhere else, or is missing."""
    draft.put(entry, "encryption.key", text_value(entry))
    draft.put(entry, "encryption.enabled", True)


def read_peers(entry: Entry, draft: Draft) -> None:
    """A list of texts."""
    for peer in array_of(entry):
        if not isinstance(peer.value, str):
            raise wrong_kind(dataclasses.replace(peer, key=entry.key), STRING)


TLS = (
    text("client_cert", "external.certificate_file"),
    text("client_key", "external.key_file"),
    text("client_ca client_cacert", "external.authority_file"),
    text("server_name server_hostname", "external.server_name"),
    switch("skip_verify insecure", "external.skip_verify"),
)

STORE_LIMITS = (
    number("mc max_channels maxchannels", "limits.max_channels"),
    *(common_limit(*row) for row in CHANNEL_LIMITS),
    special("channels channels_limits channelslimits per_channel per_channel_limits", MAP, read_per_channel),
)

KEY_OF_KIND = {Kind.BOOL: switch, Kind.INT: number, Kind.SIZE: number, Kind.DURATION: duration, Kind.STRING: text}


def of_store(store: str) -> tuple[Key, ...]:
    """The keys of a store's section."""
    entries = [entry for entry in STORE_TABLE if entry.store == store and entry.keys]
    return tuple(KEY_OF_KIND[entry.kind](entry.keys, entry.option) for entry in entries)


# The section as a whole is refused; its keys are still of the kinds that the original takes.
CLUSTER = (
    *(refused(name, STRING, "", CLUSTERED) for name in ("node_id", "log_path")),
    *(
        refused(name, BOOL, False, CLUSTERED)
        for name in (
            "bootstrap",
            "sync",
            "proceed_on_restore_failure",
            "allow_add_remove_node",
            "raft_logging",
            "bolt_free_list_sync",
            "bolt_free_list_map",
            "nodes_connections",
        )
    ),
    *(refused(name, INT64, 0, CLUSTERED) for name in ("log_cache_size", "log_snapshots", "trailing_logs")),
    *(refused(f"raft_{name}_timeout", DURATION, 0, CLUSTERED) for name in ("heartbeat", "election", "lease", "commit")),
    special("peers", SLICE, read_peers),
)

STREAMING = (
    text("id cid cluster_id", "streaming.cluster_id"),
    text("discover_prefix", "streaming.discover_prefix"),
    text("st store store_type storetype", "streaming.store", known_store),
    text("dir datastore", "file.directory"),
    switch("sd stan_debug", "log.streaming_debug"),
    switch("sv stan_trace", "log.streaming_trace"),
    text("ns nats_server nats_server_url", "external.url"),
    refused("credentials", STRING, "", NKEYS),
    text("username user", "external.user"),
    text("password pass", "external.password"),
    text("token", "external.token"),
    refused("nkey_seed_file", STRING, "", NKEYS),
    switch("secure", "external.secure"),
    section("tls", "TLS", TLS),
    section("limits store_limits storelimits", "store limits", STORE_LIMITS),
    section("file file_options", "file options", of_store("FILE")),
    section("sql sql_options", "SQL options", of_store("SQL")),
    duration("hbi hb_interval server_to_client_hb_interval", "streaming.heartbeat_interval_ns"),
    duration("hbt hb_timeout server_to_client_hb_timeout", "streaming.heartbeat_timeout_ns"),
    number("hbf hb_fail_count server_to_client_hb_fail_count", "streaming.heartbeat_fail_count"),
    text("ft_group ft_group_name", "streaming.ft_group"),
    switch("partitioning", "streaming.partitioning"),
    section("cluster", "cluster", CLUSTER, CLUSTERING_MODE),
    text("syslog_name", "log.syslog_name"),
    switch("encrypt", "encryption.enabled"),
    text("encryption_cipher", "encryption.cipher"),
    special("encryption_key", STRING, read_encryption_key),
    switch(
        "replace_durable replace_durables replace_duplicate_durable replace_duplicate_durables",
        "streaming.replace_durable",
    ),
    duration("presence_grace", "streaming.presence_grace_ns"),
)
"""All keys; the last one is ours."""
