"""What no server can start with: the original's texts where it has some, and never a secret."""

from itertools import pairwise

import pytest

from durabus.config.checks import check_options
from durabus.config.options import ChannelOverride, Options, OptionsError, Setting, with_settings
from durabus.errors import StartError

S = 10**9


def error_of(settings: dict[str, Setting]) -> str:
    with pytest.raises(OptionsError) as caught:
        check_options(with_settings(Options(), settings))
    assert isinstance(caught.value, StartError)
    return str(caught.value)


@pytest.mark.row(110)
@pytest.mark.parametrize(
    ("name", "value", "error"),
    [
        # the original's texts
        ("streaming.store", "BOGUS", "unsupported store type: BOGUS"),
        ("streaming.store", "", "unsupported store type: "),
        ("limits.max_channels", -3, "max channels limit cannot be negative (-3)"),
        ("limits.max_subscriptions", -3, "max subscriptions limit cannot be negative (-3)"),
        ("limits.max_messages", -5, "max messages limit cannot be negative (-5)"),
        ("limits.max_bytes", -3, "max bytes limit cannot be negative (-3)"),
        ("limits.max_age_ns", -3 * S, "max age limit cannot be negative (-3s)"),
        ("limits.max_inactivity_ns", -3 * S, "max inactivity limit cannot be negative (-3s)"),
        # ours, where it would start and then misbehave
        ("streaming.heartbeat_interval_ns", 0, "heartbeat interval must be greater than zero (0s)"),
        ("streaming.heartbeat_timeout_ns", -S, "heartbeat timeout must be greater than zero (-1s)"),
        ("streaming.heartbeat_fail_count", -1, "heartbeat fail count cannot be negative (-1)"),
        ("streaming.presence_grace_ns", -1, "presence grace cannot be negative (-1ns)"),
        ("streaming.io_batch_size", 0, "I/O batch size must be at least 1 (0)"),
        ("broker.port", 65536, "invalid client port 65536: use 1 to 65535, or -1 for any free port"),
        ("broker.port", -2, "invalid client port -2: use 1 to 65535, or -1 for any free port"),
        ("monitoring.port", 99999, "invalid monitoring port 99999: use 1 to 65535, or -1 for any free port"),
        ("monitoring.https_port", -7, "invalid monitoring port -7: use 1 to 65535, or -1 for any free port"),
        ("broker.max_payload_bytes", -1, "max_payload must be greater than zero (-1)"),
        ("broker.max_control_line_bytes", -1, "max_control_line must be greater than zero (-1)"),
        ("broker.max_pending_bytes", -1, "max_pending must be greater than zero (-1)"),
        ("broker.ping_max", -1, "ping_max must be greater than zero (-1)"),
        ("broker.ping_interval_ns", -S, "ping_interval must be greater than zero (-1s)"),
        ("broker.write_deadline_ns", -S, "write_deadline must be greater than zero (-1s)"),
        ("auth.timeout_ns", -S, "authorization timeout cannot be negative (-1s)"),
        ("broker.server_name", "a\nb", "invalid server name 'a\nb': it has control characters or is not UTF-8"),
        ("broker.host", "\udcff", "invalid host '\udcff': it has control characters or is not UTF-8"),
    ],
)
def test_what_no_server_can_start_with(name: str, value: Setting, error: str) -> None:
    assert error_of({name: value}) == error


@pytest.mark.row(119)
@pytest.mark.parametrize("store", ["BOGUS", "file", "memory", ""])
def test_stores_that_nobody_knows(store: str) -> None:
    """The original's text; on the command line and in files the name may be in any case (`config/flag_table.py`)."""
    assert error_of({"streaming.store": store}) == f"unsupported store type: {store}"


FILE: dict[str, Setting] = {"streaming.store": "FILE", "file.directory": "data"}


@pytest.mark.row(119)
def test_the_file_store_needs_a_directory() -> None:
    check_options(with_settings(Options(), FILE))
    assert error_of({"streaming.store": "FILE"}) == "for FILE stores, root directory must be specified"
    assert "NUL" in error_of({**FILE, "file.directory": "a\0b"})


# The original's texts, in the order in which it looks at them.
FILE_VALUES: list[tuple[str, int, str]] = [
    ("write_buffer_bytes", -1, "buffer size value must be a positive number"),
    ("compact_interval_s", 0, "compact interval value must at least be 1 seconds"),
    ("compact_fragmentation_percent", 0, "compact fragmentation value must at least be 1"),
    ("compact_bytes_min", -1, "compact minimum file size value must be a positive number"),
    ("crc_polynomial", 0, "crc polynomial should be between 1 and 4294967295"),
    ("crc_polynomial", 2**32, "crc polynomial should be between 1 and 4294967295"),
    ("slice_messages_max", -1, "slice max values must be positive numbers"),
    ("slice_bytes_max", -1, "slice max values must be positive numbers"),
    ("slice_age_max_ns", -1, "slice max values must be positive numbers"),
    ("open_files_max", -1, "file descriptor limit must be a positive number"),
    ("parallel_recoveries", 0, "parallel recovery value must be at least 1"),
    ("read_buffer_bytes", -1, "read buffer size value must be a positive number"),
]


@pytest.mark.parametrize(("name", "value", "error"), FILE_VALUES)
def test_values_that_the_original_refuses(name: str, value: int, error: str) -> None:
    assert error_of({**FILE, f"file.{name}": value}) == error
    check_options(with_settings(Options(), {f"file.{name}": value}))  # another store does not look at it


def test_the_first_of_several_mistakes_is_told() -> None:
    """Of two neighbours the former one, so the order is the original's."""
    for (name, value, error), (other, other_value, _) in pairwise(FILE_VALUES):
        if name != other:
            assert error_of({**FILE, f"file.{other}": other_value, f"file.{name}": value}) == error


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("write_buffer_bytes", 0),
        ("read_buffer_bytes", 0),
        ("slice_bytes_max", 0),
        ("crc_polynomial", 2**32 - 1),
        ("auto_sync_interval_ns", -1),
        ("compact_fragmentation_percent", 101),
    ],
)
def test_values_that_the_original_takes(name: str, value: int) -> None:
    check_options(with_settings(Options(), {**FILE, f"file.{name}": value}))


@pytest.mark.parametrize(
    ("name", "value", "flag"),
    [
        ("sync", False, "-file_sync"),
        ("slice_archive_script", "keep.sh", "-file_slice_archive_script"),
        ("truncate_bad_end", True, "-file_truncate_bad_eof"),
    ],
)
def test_what_would_change_the_promise_is_refused(name: str, value: Setting, flag: str) -> None:
    error = error_of({**FILE, f"file.{name}": value})
    assert error.startswith(f"{flag} with the FILE store is not available: ")
    assert "leave it out" in error
    check_options(with_settings(Options(), {f"file.{name}": value}))


@pytest.mark.row(160)
@pytest.mark.parametrize(
    ("settings", "error"),
    [
        ({"encryption.enabled": True}, "encryption key required"),
        ({"encryption.key": "k", "encryption.cipher": "DES"}, "encryption cipher not supported"),
        ({"encryption.enabled": True, "encryption.cipher": "DES"}, "encryption cipher not supported"),
    ],
)
def test_encryption_that_cannot_be(settings: dict[str, Setting], error: str) -> None:
    assert error_of(settings) == error


@pytest.mark.parametrize("cipher", ["", "AES", "aes", "CHACHA", "ChaCha"])
def test_ciphers(cipher: str) -> None:
    check_options(with_settings(Options(), {"encryption.key": "k", "encryption.cipher": cipher}))
    check_options(with_settings(Options(), {"encryption.cipher": "DES"}))


@pytest.mark.parametrize("driver", ["postgres", "mysql", "sqlite"])
def test_kinds_of_databases(driver: str) -> None:
    check_options(with_settings(Options(), {"streaming.store": "SQL", "sql.driver": driver, "sql.source": "x"}))
    assert "-sql_source" in error_of({"streaming.store": "SQL", "sql.driver": driver})


@pytest.mark.parametrize("driver", ["", "nope", "Postgres"])
def test_kinds_of_databases_that_nobody_knows(driver: str) -> None:
    error = error_of({"streaming.store": "SQL", "sql.driver": driver, "sql.source": "x"})
    assert error == f'sql: unknown driver "{driver}" (forgotten import?)'


@pytest.mark.parametrize("cluster_id", ["test-cluster", "a.b", "\u00e9", "a*b"])
def test_cluster_ids_that_make_subjects(cluster_id: str) -> None:
    check_options(with_settings(Options(), {"streaming.cluster_id": cluster_id}))


@pytest.mark.parametrize("cluster_id", ["", "a b", "a..b", ".b", "b.", "a.*", ">", "a\nb", "a\tb", "\udcff", "\x00"])
def test_cluster_ids_that_make_none(cluster_id: str) -> None:
    with pytest.raises(OptionsError, match=r"^invalid cluster ID "):
        check_options(with_settings(Options(), {"streaming.cluster_id": cluster_id}))


@pytest.mark.parametrize("prefix", ["", "a b", "_STAN.>", "_STAN."])
def test_prefixes_that_make_no_subject(prefix: str) -> None:
    assert error_of({"streaming.discover_prefix": prefix}).startswith(f"invalid discover prefix '{prefix}': ")


@pytest.mark.row(161)
def test_standby_servers_need_a_store_that_they_share() -> None:
    assert error_of({"streaming.ft_group": "g"}) == "ft: only FILE or SQL stores supported in FT mode"
    check_options(with_settings(Options(), {**FILE, "streaming.ft_group": "g"}))


def test_partitions_may_have_a_directory_each() -> None:
    settings: dict[str, Setting] = {"streaming.partitioning": True, "limits.per_channel": (ChannelOverride(name="a"),)}
    check_options(with_settings(Options(), {**FILE, **settings}))


@pytest.mark.row(161)
@pytest.mark.parametrize("group", ["a b", "a.*", ">", "a.", "\udcff"])
def test_groups_that_make_no_subject(group: str) -> None:
    assert error_of({"streaming.ft_group": group}).startswith(f"invalid fault-tolerance group '{group}': ")


@pytest.mark.row(162)
def test_partitioning_needs_channels() -> None:
    assert error_of({"streaming.partitioning": True}) == "stan: no configured channel"
    check_options(
        with_settings(Options(), {"streaming.partitioning": True, "limits.per_channel": (ChannelOverride(name="foo"),)})
    )


def test_a_message_must_fit_into_what_may_wait() -> None:
    settings: dict[str, Setting] = {"broker.max_payload_bytes": 2000, "broker.max_pending_bytes": 1000}
    assert error_of(settings) == "max_payload (2000) cannot be higher than max_pending (1000)"


@pytest.mark.row(109)
def test_limits_of_channels_are_checked() -> None:
    two = (ChannelOverride(name="a"), ChannelOverride(name="b"))
    assert error_of({"limits.max_channels": 1, "limits.per_channel": two}) == (
        "too many channels defined (2). The max channels limit is set to 1"
    )


@pytest.mark.parametrize(
    ("settings", "error"),
    [
        ({"tls.enabled": True}, "TLS Server certificate must be present and valid"),
        (
            {"tls.enabled": True, "tls.certificate_file": "a"},
            "TLS Server private key must be present and valid",
        ),
        (
            {"tls.enabled": True, "tls.certificate_file": "a", "tls.key_file": "b", "tls.timeout_ns": 0},
            "TLS timeout must be greater than zero (0s)",
        ),
        (
            {"monitoring.port": 8222, "monitoring.https_port": 8223},
            "Can't start monitoring: can't specify both HTTP (8222) and HTTPs (8223) ports",
        ),
        (
            {"monitoring.port": 0, "monitoring.https_port": 0},
            "Can't start monitoring: can't specify both HTTP (-1) and HTTPs (-1) ports",
        ),
        ({"monitoring.https_port": 8223}, "Can't start monitoring: TLS cert and key required for HTTPS"),
    ],
)
def test_certificates_and_their_keys(settings: dict[str, Setting], error: str) -> None:
    assert error_of(settings) == error


def test_tls_files_without_tls_do_not_matter() -> None:
    check_options(with_settings(Options(), {"tls.certificate_file": "a"}))


@pytest.mark.row(122)
@pytest.mark.parametrize(
    ("url", "error"),
    [
        ("127.0.0.1:24999", "malformed url: 127.0.0.1:24999"),
        ("://", "malformed url: ://"),
        ("nats://127.0.0.1:24999/x://y", "malformed url: nats://127.0.0.1:24999/x://y"),
        ("nats://127.0.0.1", "address 127.0.0.1: missing port in address"),
        ("nats://[::1]", "address [::1]: missing port in address"),
        ("nats://a:b:c", "address a:b:c: too many colons in address"),
    ],
)
def test_urls_that_lead_nowhere(url: str, error: str) -> None:
    assert error_of({"external.url": url}) == error


@pytest.mark.parametrize(
    "url", ["nats://h:4222", "tls://[::1]:4222", "a,b", "user:pass@h", "nats://u:p@h:1, nats://i:2"]
)
def test_urls_that_are_tried(url: str) -> None:
    check_options(with_settings(Options(), {"external.url": url}))


def test_a_client_certificate_has_a_key() -> None:
    common: dict[str, Setting] = {"external.url": "nats://h:1"}
    assert error_of(common | {"external.certificate_file": "a"}) == (
        "the client certificate for the NATS server needs its key, too"
    )
    assert error_of(common | {"external.key_file": "a"}) == (
        "the client key for the NATS server needs its certificate, too"
    )


def test_a_password_needs_a_user() -> None:
    assert error_of({"auth.password": "s3cret"}) == ("a password without a user protects nothing: give the user, too")
    check_options(with_settings(Options(), {"auth.password": "s3cret", "external.url": "nats://h:1"}))


@pytest.mark.parametrize("prefix", ["$2a$", "$2b$", "$2y$"])
@pytest.mark.parametrize("settings", [{"auth.user": "bob", "auth.password": "{}"}, {"auth.token": "{}"}])
def test_hashes_are_no_passwords_yet(prefix: str, settings: dict[str, str]) -> None:
    hashed = f"{prefix}11$abcdefghij"
    error = error_of({name: value.format(hashed) for name, value in settings.items()})
    assert "is a bcrypt hash, which is not available yet" in error
    assert hashed not in error


def test_hashes_of_several_users() -> None:
    error = error_of({"auth.users": (("amy", "plain"), ("bob", "$2a$11$abc"))})
    assert error.startswith("the password of user 'bob' is a bcrypt hash")


def test_what_clients_cannot_show() -> None:
    for settings in ({"auth.user": "a", "auth.password": "s3cret\udcff"}, {"auth.token": "s3cret\udcff"}):
        error = error_of(dict(settings))
        assert error == "users, passwords and tokens must be UTF-8, because clients can show nothing else"
