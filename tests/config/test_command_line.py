"""Command lines to options: what the original does with the same line, and what is refused instead of ignored."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from durabus.config.checks import check_options
from durabus.config.command_line import Action, Request, read_command_line
from durabus.config.flag_table import FLAGS
from durabus.config.flags import Flag, Kind, UsageError
from durabus.config.options import (
    AuthOptions,
    BrokerOptions,
    ChannelOverride,
    ConfigError,
    ExternalOptions,
    FileOptions,
    Limits,
    LogOptions,
    MonitoringOptions,
    Options,
    OptionsError,
    ProcessOptions,
    Setting,
    SqlOptions,
    StreamingOptions,
    TlsOptions,
    with_settings,
)
from durabus.config.refusals import CLUSTERING_MODE, ROUTES
from durabus.config.units import format_duration

S = 10**9


def options(line: str) -> Options:
    request = read_command_line(line.split())
    assert request.action is Action.SERVE
    return request.options


def test_nothing_asks_for_a_server_with_the_defaults() -> None:
    assert options("") == Options()


def test_the_arguments_of_a_common_deployment() -> None:
    assert options("-p 4222 -m 8222 -hbi 5s -hbt 5s -hbf 2 -SD -cid ticketing") == Options(
        streaming=StreamingOptions(
            cluster_id="ticketing", heartbeat_interval_ns=5 * S, heartbeat_timeout_ns=5 * S, heartbeat_fail_count=2
        ),
        broker=BrokerOptions(port=4222),
        log=LogOptions(streaming_debug=True),
        monitoring=MonitoringOptions(port=8222),
    )


def test_every_flag_that_is_there() -> None:
    line = (
        "-cid c -st memory -replace_durable -io_batch_size 5 -mc 1 -msu 2 -mm 3 -mb 4KB -ma 5s -mi 6s -hbi 7s -hbt 8s "
        "-hbf 9 -presence_grace 10s -p 1111 -a 127.0.0.1 -m 2222 -n me -SD -SV -D -V -max_traced_msg_len 64 -T=false -l f "
        "-user u -pass p -auth t -tlscert tc -tlskey tk -tlscacert ta -tlsverify -secure -tls_client_cert cc "
        "-tls_client_key ck -tls_client_cacert ca -log_size_limit 99 -s -r udp://h:514 -syslog_name sn -P pf "
        "-ports_file_dir pd"
    )
    assert options(line) == Options(
        streaming=StreamingOptions(
            cluster_id="c",
            replace_durable=True,
            io_batch_size=5,
            heartbeat_interval_ns=7 * S,
            heartbeat_timeout_ns=8 * S,
            heartbeat_fail_count=9,
            presence_grace_ns=10 * S,
        ),
        limits=Limits(
            max_channels=1,
            max_subscriptions=2,
            max_messages=3,
            max_bytes=4096,
            max_age_ns=5 * S,
            max_inactivity_ns=6 * S,
        ),
        broker=BrokerOptions(host="127.0.0.1", port=1111, server_name="me"),
        log=LogOptions(
            streaming_debug=True,
            streaming_trace=True,
            broker_debug=True,
            broker_trace=True,
            max_traced_message_bytes=64,
            with_time=False,
            file="f",
            file_bytes_max=99,
            syslog=True,
            remote_syslog="udp://h:514",
            syslog_name="sn",
        ),
        monitoring=MonitoringOptions(port=2222),
        auth=AuthOptions(user="u", password="p", token="t"),
        tls=TlsOptions(enabled=True, certificate_file="tc", key_file="tk", authority_file="ta", verify=True),
        external=ExternalOptions(secure=True, certificate_file="cc", key_file="ck", authority_file="ca"),
        process=ProcessOptions(pid_file="pf", ports_folder="pd"),
    )
    assert options("-ns nats://h:1").external.url == "nats://h:1"


def test_every_flag_of_a_store() -> None:
    line = (
        "-dir d -file_compact_enabled=false -file_compact_frag 1 -file_compact_interval 2 -file_compact_min_size 3KB "
        "-file_buffer_size 4KB -file_crc=false -file_crc_poly 5 -file_sync=false -file_slice_max_msgs 6 "
        "-file_slice_max_bytes 7MB -file_slice_max_age 8s -file_slice_archive_script s -file_fds_limit 9 "
        "-file_parallel_recovery 10 -file_truncate_bad_eof -file_read_buffer_size 11KB -file_auto_sync 12s "
        "-sql_driver postgres -sql_source there -sql_no_caching -sql_max_open_conns 13 -sql_bulk_insert_limit 14"
    )
    given = options(line)
    assert given.file == FileOptions(
        directory="d",
        compact=False,
        compact_fragmentation_percent=1,
        compact_interval_s=2,
        compact_bytes_min=3 * 1024,
        write_buffer_bytes=4 * 1024,
        check_crc=False,
        crc_polynomial=5,
        sync=False,
        slice_messages_max=6,
        slice_bytes_max=7 * 1024**2,
        slice_age_max_ns=8 * S,
        slice_archive_script="s",
        open_files_max=9,
        parallel_recoveries=10,
        truncate_bad_end=True,
        read_buffer_bytes=11 * 1024,
        auto_sync_interval_ns=12 * S,
    )
    assert given.sql == SqlOptions(
        driver="postgres", source="there", no_caching=True, connections_max=13, bulk_insert_messages=14
    )


@pytest.mark.row(129)
def test_zero_is_a_size_like_another() -> None:
    assert options("-st file -dir d -file_slice_max_bytes 0").file.slice_bytes_max == 0


def test_https_monitoring() -> None:
    assert options("-ms -1 -tlscert c -tlskey k").monitoring == MonitoringOptions(https_port=0)


@pytest.mark.row(123)
@pytest.mark.parametrize(("line", "port"), [("-p 0", 4222), ("-p -1", 0), ("-p 5", 5), ("-port=0x10", 16)])
def test_client_ports(line: str, port: int) -> None:
    assert options(line).broker.port == port


@pytest.mark.parametrize(("line", "port"), [("-m 0", None), ("-m -1", 0), ("-m 8222", 8222), ("", None)])
def test_monitoring_ports(line: str, port: int | None) -> None:
    assert options(line).monitoring.port == port


def test_an_empty_address_is_the_default() -> None:
    assert options("--net=") == Options()


@pytest.mark.parametrize(
    ("line", "debug", "trace", "verbose"),
    [
        ("-DV", True, True, False),
        ("-D=false -DV", True, True, False),
        ("-DV -D=false", True, True, False),
        ("-DV -V=false", True, True, False),
        ("-DV=false -D", False, False, False),
        ("-D -DV=false", False, False, False),
        ("-VV", False, True, True),
        ("-VV=false -V", False, False, False),
        ("-V -VV=false", False, False, False),
        ("-VV -V=false", False, True, True),
        ("-DVV", True, True, True),
        ("-DVV=false -D -V", False, False, False),
        ("-DV -DVV=false", False, False, False),
        ("-DVV -DV=false", True, True, True),
        ("-DVV -VV=false", True, False, False),
        ("-D", True, False, False),
    ],
)
def test_flags_short_for_others_count_last_as_in_the_original(
    line: str, debug: bool, trace: bool, verbose: bool
) -> None:
    log = options(line).log
    assert (log.broker_debug, log.broker_trace, log.broker_trace_verbose) == (debug, trace, verbose)


@pytest.mark.parametrize(
    ("line", "debug", "trace"),
    [("-SDV", True, True), ("-SDV -SD=false", True, True), ("-SD -SDV=false", False, False), ("-SV", False, True)],
)
def test_the_same_for_streaming(line: str, debug: bool, trace: bool) -> None:
    log = options(line).log
    assert (log.streaming_debug, log.streaming_trace) == (debug, trace)


@pytest.mark.parametrize(
    "line", ["-v", "--version", "version", "VERSION", "-h -v", "-v foo", "-D version", "version foo"]
)
def test_asking_for_the_version(line: str) -> None:
    assert read_command_line(line.split()).action is Action.VERSION


@pytest.mark.parametrize(
    "line", ["-h", "--help", "help", "Help", "-h foo", "help version", "-st BOGUS -h", "-clustered -h"]
)
def test_asking_for_help(line: str) -> None:
    assert read_command_line(line.split()).action is Action.HELP


@pytest.mark.row(116)
@pytest.mark.parametrize(
    ("line", "error"),
    [
        ("foo", 'unrecognized command: "foo"'),
        ("-", 'unrecognized command: "-"'),
        ("-hbi 5s -- -p 3", 'unrecognized command: "-p"'),
        ("-v -nosuch", "flag provided but not defined: -nosuch"),
        ("-st BOGUS foo", 'unrecognized command: "foo"'),
        ("-D false", 'unrecognized command: "false"'),
    ],
)
def test_lines_that_cannot_be_followed(line: str, error: str) -> None:
    with pytest.raises(UsageError) as caught:
        read_command_line(line.split())
    assert str(caught.value) == error


@pytest.mark.row(119)
def test_values_are_checked() -> None:
    with pytest.raises(OptionsError, match=r"^-st: unsupported store type: BOGUS$"):
        options("-st bogus")
    with pytest.raises(OptionsError, match=r"^for FILE stores, root directory must be specified$"):
        options("-st file")
    with pytest.raises(OptionsError, match=r"^-dir: for FILE stores, root directory must be specified$"):
        read_command_line(["-st", "FILE", "-dir", ""])
    with pytest.raises(OptionsError, match=r'^sql: unknown driver "" '):
        options("-st sql")


def written_value(flag: Flag, value: object) -> str:
    if flag.kind is Kind.BOOL:
        return "true" if value else "false"
    return format_duration(value) if flag.kind is Kind.DURATION and isinstance(value, int) else str(value)


@pytest.mark.row(32, 163)
@pytest.mark.parametrize("flag", [flag for flag in FLAGS if flag.refused], ids=lambda flag: flag.names[0])
def test_a_flag_without_its_feature_is_refused_unless_it_asks_for_nothing(flag: Flag) -> None:
    other = {Kind.BOOL: not flag.default, Kind.STRING: "x"}.get(flag.kind, 12345)
    for name in flag.names:
        assert read_command_line([f"-{name}={written_value(flag, flag.default)}"]).options == Options()
        with pytest.raises(UsageError) as caught:
            read_command_line([f"--{name}={written_value(flag, other)}"])
        assert str(caught.value) == f"flag -{name} is not available: {flag.refused}"


def test_a_refused_flag_that_is_taken_back_is_harmless() -> None:
    assert options("-clustered -clustered=false") == Options()


NAMES = st.sampled_from([name for flag in FLAGS for name in flag.names] + ["nosuch", ""])
VALUES = st.one_of(
    st.text(),
    st.integers().map(str),
    st.integers(-(10**18), 10**18).map(format_duration),
    st.sampled_from(["true", "false", "MEMORY", "FILE", "1KB", "-1", "0", "1.5KB", "version"]),
)
ARGUMENTS = st.one_of(
    st.tuples(st.sampled_from(["-", "--"]), NAMES, st.sampled_from(["", "="]), VALUES).map("".join),
    st.tuples(st.sampled_from(["-", "--"]), NAMES).map("".join),
    VALUES,
)


@given(st.lists(ARGUMENTS, max_size=8))
def test_any_line_is_followed_or_refused(arguments: list[str]) -> None:
    try:
        request = read_command_line(arguments)
    except (UsageError, ConfigError, OptionsError):
        return
    check_options(request.options)


# TLS by flags.


@pytest.mark.row(121)
@pytest.mark.parametrize(
    ("line", "error"),
    [
        ("-tls", "TLS Server certificate must be present and valid"),
        ("-tlsverify", "TLS Server certificate must be present and valid"),
        ("-tlsverify=false", "TLS Server certificate must be present and valid"),
        ("-tlscacert a", "TLS Server certificate must be present and valid"),
        ("-tls -tlscert a", "TLS Server private key must be present and valid"),
    ],
)
def test_tls_needs_a_certificate(line: str, error: str) -> None:
    with pytest.raises(OptionsError) as caught:
        options(line)
    assert str(caught.value) == error


@pytest.mark.parametrize("line", ["-tls=false -tlscert a", "-tlsverify -tls=false", "-tls -tls=false"])
def test_tls_can_be_turned_off(line: str) -> None:
    assert not options(line).tls.enabled


def test_certificates_for_another_server_ask_for_none_of_our_own() -> None:
    """In the original `-tls_client_cacert` demands a server certificate, because its name begins with tls."""
    line = "-ns nats://h:1 -tls_client_cacert ca -tls_client_cert c -tls_client_key k"
    assert options(line).tls == TlsOptions()


# Files.


def file(folder: Path, text: str, name: str = "bus.conf") -> str:
    path = folder / name
    path.write_text(text, encoding="utf-8")
    return str(path)


def request(*arguments: str, environment: dict[str, str] | None = None) -> Request:
    return read_command_line(arguments, environment or {})


FILE = """
port: 4333
debug: true
http: 8333
ping_interval: "5s"
authorization { user: filed, password: filed }
streaming {
    id: filed
    hbi: 6s
    store_limits { mm: 7, channels { "a.>" { mm: 8 } } }
}
"""
FILED: dict[str, Setting] = {
    "broker.port": 4333,
    "log.broker_debug": True,
    "monitoring.port": 8333,
    "broker.ping_interval_ns": 5 * S,
    "auth.user": "filed",
    "auth.password": "filed",
    "streaming.cluster_id": "filed",
    "streaming.heartbeat_interval_ns": 6 * S,
    "limits.max_messages": 7,
    "limits.per_channel": (ChannelOverride(name="a.>", max_messages=8),),
}


@pytest.mark.row(128)
@pytest.mark.parametrize("flag", ["-c", "--config", "-sc", "-stan_config"])
def test_a_file_comes_before_what_is_built_in(tmp_path: Path, flag: str) -> None:
    name = file(tmp_path, FILE)
    assert request(flag, name).options == with_settings(Options(), {**FILED, "process.config_file": name})


@pytest.mark.row(128)
def test_the_command_line_comes_before_a_file_wherever_it_stands(tmp_path: Path) -> None:
    name = file(tmp_path, FILE)
    flags = ["-p", "1", "-D=false", "-m", "2", "-user", "given", "-cid", "given", "-hbi", "3s", "-mm", "4"]
    expected = with_settings(
        Options(),
        {
            **FILED,
            "process.config_file": name,
            "broker.port": 1,
            "log.broker_debug": False,
            "monitoring.port": 2,
            "auth.user": "given",
            "streaming.cluster_id": "given",
            "streaming.heartbeat_interval_ns": 3 * S,
            "limits.max_messages": 4,
        },
    )
    assert request(*flags, "-c", name).options == request("-sc", name, *flags).options == expected


@pytest.mark.row(128)
@pytest.mark.parametrize(
    ("line", "option", "value"),
    [
        ("-p 0", "broker.port", 4222),
        ("-m 0", "monitoring.port", None),
        ("-mm 0", "limits.max_messages", 0),
        ("-DV=false", "log.broker_debug", False),
        ("-user=", "auth.user", ""),
    ],
)
def test_a_flag_that_gives_the_default_counts_as_well(tmp_path: Path, line: str, option: str, value: Setting) -> None:
    name = file(tmp_path, FILE.replace("password: filed", ""))
    section, _, field = option.partition(".")
    assert getattr(getattr(request("-c", name, *line.split()).options, section), field) == value


@pytest.mark.row(128)
def test_two_files(tmp_path: Path) -> None:
    one = file(tmp_path, FILE)
    other = file(tmp_path, "id: other\nport: 5", "other.conf")
    found = request("-c", one, "-sc", other).options
    assert (found.broker.port, found.streaming.cluster_id, found.process.config_file) == (4333, "other", one)
    assert found.limits == Limits()


def test_the_environment_is_for_variables(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    name = file(tmp_path, "port: $PORT_OF_THE_BUS")
    assert request("-c", name, environment={"PORT_OF_THE_BUS": "5"}).options.broker.port == 5
    monkeypatch.setenv("PORT_OF_THE_BUS", "6")
    assert read_command_line(["-c", name]).options.broker.port == 6


@pytest.mark.row(163)
@pytest.mark.parametrize(
    ("text", "line", "error"),
    [
        (
            "streaming { store: file }",
            "",
            OptionsError("bus.conf:1:13: store: for FILE stores, root directory must be specified"),
        ),
        (
            "streaming { store: file, dir: x, file { sync: no } }",
            "",
            OptionsError("bus.conf:1:41: sync: -file_sync with the FILE store "),
        ),
        (
            "streaming { store: file, dir: x }",
            "-file_crc_poly 0",
            OptionsError("-file_crc_poly: crc polynomial should be between "),
        ),
        ("streaming { dir: x }", "-clustered", UsageError(f"flag -clustered is not available: {CLUSTERING_MODE}")),
        ("cluster {}\nstreaming {}", "-mm -5", ConfigError(f"bus.conf:1:1: cluster is not available: {ROUTES}")),
        ("port: 99999", "", OptionsError("bus.conf:1:1: port: invalid client port 99999")),
        ("port: x\ncluster {}", "", ConfigError('bus.conf:1:1: parameter "port" value is expected')),
        (
            "streaming { store_limits { mm: -5 } }",
            "",
            OptionsError("bus.conf:1:28: mm: max messages limit cannot be negative (-5)"),
        ),
        (
            "streaming { limits { mc: 1, channels { a {}, b {} } } }",
            "",
            OptionsError("bus.conf:1:29: channels: too many channels defined (2). "),
        ),
        (
            "streaming { ft_group: g }",
            "",
            OptionsError("bus.conf:1:13: ft_group: ft: only FILE or SQL stores supported in FT mode"),
        ),
        ("streaming { ns: '127.0.0.1:24999' }", "", OptionsError("bus.conf:1:13: ns: malformed url: 127.0.0.1:24999")),
        (
            "streaming { partitioning: true, cluster {} }",
            "",
            OptionsError("stan: channels partitioning in clustering mode is not supported"),
        ),
        (
            "streaming { partitioning: true }",
            "-clustered",
            OptionsError("stan: channels partitioning in clustering mode is not supported"),
        ),
        ("streaming { partitioning: true }", "-cluster_sync", UsageError("flag -cluster_sync is not available: ")),
        (
            "streaming { cluster {} }",
            "",
            ConfigError(
                "bus.conf:1:13: cluster is not available: stan: clustering mode not supported with MEMORY store"
            ),
        ),
        ("", "-nosuch", UsageError("flag provided but not defined: -nosuch")),
    ],
)
def test_which_mistake_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, text: str, line: str, error: Exception
) -> None:
    monkeypatch.chdir(tmp_path)
    file(tmp_path, text)
    with pytest.raises(type(error)) as caught:
        request("-c", "bus.conf", *line.split())
    assert str(caught.value).startswith(str(error))


@pytest.mark.row(127)
@pytest.mark.parametrize(
    ("text", "line", "error"),
    [
        ("a: 1\nhbf: -1", "", "bus.conf:2:1: hbf: heartbeat fail count cannot be negative (-1)"),
        ("streaming {\n  HBI: 0s\n}", "", "bus.conf:2:3: HBI: heartbeat interval must be greater than zero (0s)"),
        ("discover_prefix: 'a b'", "", "bus.conf:1:1: discover_prefix: invalid discover prefix 'a b': "),
        ("\nmax_payload: -5", "", "bus.conf:2:1: max_payload: max_payload must be greater than zero (-5)"),
        ("listen: 'h:99999'", "", "bus.conf:1:1: listen: invalid client port 99999"),
        ("http: 99999", "", "bus.conf:1:1: http: invalid monitoring port 99999"),
        (
            "max_pending: 5",
            "",
            "bus.conf:1:1: max_pending: max_payload (1048576) cannot be higher than max_pending (5)",
        ),
        ("authorization { pass: x }", "", "bus.conf:1:17: pass: a password without a user protects nothing"),
        ("tls { timeout: -1, cert_file: a, key_file: b }", "", "bus.conf:1:7: timeout: TLS timeout must be "),
        ("tls {}", "", "bus.conf:1:1: tls: TLS Server certificate must be present and valid"),
        ("store_limits { mm: -5 }", "-mm -6", "-mm: max messages limit cannot be negative (-6)"),
        ("", "-max_msgs -6", "-max_msgs: max messages limit cannot be negative (-6)"),
        ("hbf: -1", "-mm -6", "-mm: max messages limit cannot be negative (-6)"),
        ("", "-tls", "TLS Server certificate must be present and valid"),
    ],
)
def test_a_value_of_no_use_is_told_with_its_place(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, text: str, line: str, error: str
) -> None:
    monkeypatch.chdir(tmp_path)
    file(tmp_path, text)
    with pytest.raises(OptionsError) as caught:
        request("-c", "bus.conf", *line.split())
    assert str(caught.value).startswith(error)


def test_an_included_file_is_the_one_that_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    file(tmp_path, "include other.conf")
    file(tmp_path, "\nport: 99999", "other.conf")
    with pytest.raises(OptionsError, match=r"other\.conf:2:1: port: invalid client port 99999"):
        request("-c", "bus.conf")


def test_the_command_line_can_mend_a_file(tmp_path: Path) -> None:
    name = file(tmp_path, "port: 99999\nstreaming { store: file, store_limits { mm: -5 } }")
    assert request("-c", name, "-p", "1", "-st", "memory", "-mm", "5").options.limits.max_messages == 5
    name = file(tmp_path, "streaming { store: file, dir: x, file { sync: no, buffer_size: -1 } }")
    assert request("-c", name, "-file_sync", "-file_buffer_size", "0").options.file == FileOptions(
        directory="x", write_buffer_bytes=0
    )


def test_warnings_are_handed_on(tmp_path: Path) -> None:
    (warning,) = request("-c", file(tmp_path, "ping_interval: 5")).warnings
    assert warning.endswith("ping_interval should be converted to a duration")


# What is no server.


@pytest.mark.parametrize("flag", ["-c", "-sc"])
def test_a_check_reads_the_files_and_all_flags(tmp_path: Path, flag: str) -> None:
    name = file(tmp_path, FILE)
    assert request("-t", flag, name).action is Action.CHECK
    with pytest.raises(OptionsError):
        request("-t", flag, name, "-mm", "-5")
    with pytest.raises(ConfigError):
        request("-t", flag, file(tmp_path, "port: x"))


def test_a_check_tells_what_has_no_effect(tmp_path: Path) -> None:
    name = file(tmp_path, "streaming { store: file, dir: x, file { crc: no } }")
    (warning,) = request("-t", "-c", name).warnings
    assert warning.startswith("-file_crc has no effect here: ")
    assert request("-c", name).warnings == (), "the log of a server tells it"


def test_a_check_needs_a_file() -> None:
    with pytest.raises(UsageError) as caught:
        request("-t")
    assert str(caught.value) == "must specify [-c, --config] option to check configuration file syntax"
    assert request("-t=false").action is Action.SERVE


@pytest.mark.parametrize("flag", ["-sl", "--signal"])
def test_a_signal_comes_before_the_files(flag: str) -> None:
    found = request(flag, "reload=5", "-c", "nope.conf", "-clustered")
    assert (found.action, found.signal) == (Action.SIGNAL, "reload=5")
    assert request("-sl", "").action is Action.SERVE
    assert request("-sl", "stop", "version").action is Action.VERSION


def test_help_about_tls() -> None:
    assert request("-help_tls", "-clustered").action is Action.TLS_HELP
