"""Command lines to options: what the original does with the same line, and what is refused instead of ignored."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from durabus.config.checks import check_options
from durabus.config.command_line import Action, read_command_line
from durabus.config.flag_table import FLAGS
from durabus.config.flags import Flag, Kind, UsageError
from durabus.config.options import (
    BrokerOptions,
    Limits,
    LogOptions,
    MonitoringOptions,
    Options,
    OptionsError,
    StreamingOptions,
)
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
        "-hbf 9 -presence_grace 10s -p 1111 -a 127.0.0.1 -m 2222 -n me -SD -SV -D -V -max_traced_msg_len 64 -T=false -l f"
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
        ),
        monitoring=MonitoringOptions(port=2222),
    )


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
    "line", ["-h", "--help", "help", "Help", "-h foo", "help version", "-st BOGUS -h", "-encrypt -h"]
)
def test_asking_for_help(line: str) -> None:
    assert read_command_line(line.split()).action is Action.HELP


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


def test_values_are_checked() -> None:
    with pytest.raises(OptionsError, match=r"^unsupported store type: BOGUS$"):
        options("-st bogus")
    with pytest.raises(OptionsError, match="comes with the durable stores"):
        options("-st file")


def written_value(flag: Flag, value: object) -> str:
    if flag.kind is Kind.BOOL:
        return "true" if value else "false"
    return format_duration(value) if flag.kind is Kind.DURATION and isinstance(value, int) else str(value)


@pytest.mark.parametrize("flag", [flag for flag in FLAGS if flag.refused], ids=lambda flag: flag.names[0])
def test_a_flag_without_its_feature_is_refused_unless_it_asks_for_nothing(flag: Flag) -> None:
    other = {Kind.BOOL: not flag.default, Kind.STRING: "x"}.get(flag.kind, 12345)
    for name in flag.names:
        assert read_command_line([f"-{name}={written_value(flag, flag.default)}"]).options == Options()
        with pytest.raises(UsageError) as caught:
            read_command_line([f"--{name}={written_value(flag, other)}"])
        assert str(caught.value) == f"flag -{name} is not available: {flag.refused}"


def test_a_refused_flag_that_is_taken_back_is_harmless() -> None:
    assert options("-encrypt -encrypt=false") == Options()


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
    except (UsageError, OptionsError):
        return
    check_options(request.options)
