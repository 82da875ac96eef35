"""The two programs, called as functions and run as processes, with a stub in place of the server."""

import os
import re
import subprocess
import sys
import types
from collections.abc import Callable
from pathlib import Path

import pytest

from durabus import version
from durabus.cli.main import main, main_alias
from durabus.cli.send_signal import SignalError
from durabus.config.options import ConfigError, Options, OptionsError
from durabus.config.refusals import CLUSTERING_MODE, ROUTES
from durabus.errors import DurabusError, StartError

FATAL = r"\[\d+\] \d{4}/\d\d/\d\d \d\d:\d\d:\d\d\.\d{6} \[FTL\] STREAM: "

# Runs one of the programs in a process of its own, with a server that prints its options instead of serving.
STUBBED = """
import sys, types
from durabus.cli.main import {program}
server = types.ModuleType("durabus.server")
def run(options, read_again):
    print("running", options.streaming.cluster_id, options.broker.port)
    print("loaded", [name for name in {heavy!r} if name in sys.modules])
    {body}
server.run = run
sys.modules["durabus.server"] = server
sys.exit({program}())
"""
HEAVY = ("argparse", "asyncio", "msgspec", "starlette", "uvicorn", "uvloop", "logging", "durabus.wire.parser")


def stubbed(
    program: str, *arguments: str, body: str = "return 143", environment: dict[str, str] | None = None
) -> subprocess.CompletedProcess[str]:
    script = STUBBED.format(program=program, heavy=HEAVY, body=body)
    return subprocess.run(
        [sys.executable, "-c", script, *arguments],
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
        env={**os.environ, **(environment or {})},
    )


Read = Callable[[], Options]
Serve = Callable[[Callable[[Options, Read], int]], None]


@pytest.fixture
def serve(monkeypatch: pytest.MonkeyPatch) -> Serve:
    """Put a function in the place of the server."""

    def replace(run: Callable[[Options, Read], int]) -> None:
        server = types.ModuleType("durabus.server")
        server.run = run  # type: ignore[attr-defined]
        monkeypatch.setitem(sys.modules, "durabus.server", server)

    return replace


@pytest.mark.parametrize(
    ("run", "arguments"),
    [
        (main, ["version"]),
        (main, ["--version"]),
        (main, ["-v"]),
        (main, ["serve", "-v"]),
        (main, ["serve", "version"]),
    ],
)
def test_durabus_tells_its_own_version(
    run: Callable[[list[str]], int], arguments: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(arguments) == 0
    assert capsys.readouterr() == (version.version_line() + "\n", "")


@pytest.mark.row(116)
@pytest.mark.parametrize("argument", ["-v", "--version", "version", "VERSION"])
def test_the_alias_tells_the_originals_form(argument: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main_alias([argument]) == 0
    assert capsys.readouterr() == ("nats-streaming-server version 0.25.6, nats-server: v2.9.10\n", "")


@pytest.mark.parametrize("argument", ["help", "--help", "-h"])
def test_durabus_explains_its_commands(argument: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([argument]) == 0
    assert "durabus serve [flags]" in capsys.readouterr().out


@pytest.mark.row(116)
@pytest.mark.parametrize(
    ("run", "arguments", "program"),
    [
        (main, ["serve", "--help"], "durabus serve"),
        (main, ["serve", "help"], "durabus serve"),
        (main_alias, ["-help"], "nats-streaming-server"),
        (main_alias, ["help"], "nats-streaming-server"),
    ],
)
def test_the_flags_are_explained(
    run: Callable[[list[str]], int], arguments: list[str], program: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(arguments) == 0
    assert capsys.readouterr().out.startswith(f"Usage: {program} [flags]\n")


@pytest.mark.row(116, 163)
@pytest.mark.parametrize(
    ("run", "arguments", "lines"),
    [
        (main, [], ["a command is missing", "run 'durabus help' for help"]),
        (main, ["nope"], ['unrecognized command: "nope"', "run 'durabus help' for help"]),
        (
            main,
            ["-p", "4222"],
            ["a command must come first: -p is a flag of `durabus serve`", "run 'durabus help' for help"],
        ),
        (
            main,
            ["serve", "-nosuch"],
            ["flag provided but not defined: -nosuch", "run 'durabus serve --help' for help"],
        ),
        (
            main_alias,
            ["-ma", "10"],
            ['invalid value "10" for flag -ma: parse error', "run 'nats-streaming-server --help' for help"],
        ),
        (main_alias, ["serve"], ['unrecognized command: "serve"', "run 'nats-streaming-server --help' for help"]),
        (
            main_alias,
            ["-clustered"],
            [f"flag -clustered is not available: {CLUSTERING_MODE}", "run 'nats-streaming-server --help' for help"],
        ),
        (
            main_alias,
            ["-a\nb\x1b[2J"],
            ["flag provided but not defined: -a\\x0ab\\x1b[2J", "run 'nats-streaming-server --help' for help"],
        ),
    ],
)
def test_a_line_that_cannot_be_followed_is_one_line_and_a_hint(
    run: Callable[[list[str]], int], arguments: list[str], lines: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(arguments) == 1
    captured = capsys.readouterr()
    assert captured.out == ""
    assert captured.err.splitlines() == lines


@pytest.mark.row(116)
@pytest.mark.parametrize(
    ("arguments", "error"),
    [
        (["-mm", "-5"], r"-mm: max messages limit cannot be negative \(-5\)"),
        (["-ma", "-3s"], r"-ma: max age limit cannot be negative \(-3s\)"),
        (["-st", "bogus"], "-st: unsupported store type: BOGUS"),
        (["-st", "FILE"], "for FILE stores, root directory must be specified"),
        (
            ["-st", "FILE", "-dir", "x", "-file_crc_poly", "0"],
            "-file_crc_poly: crc polynomial should be between 1 and 4294967295",
        ),
        (["-st", "FILE", "-dir", "x", "-file_sync=false"], "-file_sync with the FILE store is not available: .*"),
        (["-st", "SQL"], r'sql: unknown driver "" \(forgotten import\?\)'),
    ],
)
def test_values_that_no_server_can_start_with_are_one_line_of_the_log(
    arguments: list[str], error: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main_alias(arguments) == 1
    captured = capsys.readouterr()
    assert captured.out == ""
    assert re.fullmatch(rf"{FATAL}Failed to start: {error}\n", captured.err)


def test_the_server_gets_the_options_and_gives_the_exit_code(serve: Serve) -> None:
    given: list[Options] = []

    def run(options: Options, read_again: Read) -> int:
        given.append(options)
        return 143

    serve(run)
    assert main(["serve", "-cid", "a"]) == 143
    assert main_alias(["-cid", "a"]) == 143
    assert given[0] == given[1]
    assert given[0].streaming.cluster_id == "a"


@pytest.mark.parametrize(
    ("error", "line"),
    [
        (StartError("the port is taken"), "Failed to start: the port is taken"),
        (DurabusError("the disk is gone"), "the disk is gone"),
        (OSError(98, "Address already in use"), r"\[Errno 98\] Address already in use"),
        (
            ZeroDivisionError("division\nby zero"),
            r"internal error, please report it with what DURABUS_TRACEBACK=1 shows: ZeroDivisionError: division\\x0aby zero",
        ),
    ],
)
def test_what_ends_the_server_is_one_line(
    serve: Serve, error: Exception, line: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("DURABUS_TRACEBACK", raising=False)

    def run(options: Options, read_again: Read) -> int:
        raise error

    serve(run)
    assert main_alias([]) == 1
    assert re.fullmatch(f"{FATAL}{line}\n", capsys.readouterr().err)


def test_a_bug_can_be_looked_at(serve: Serve, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DURABUS_TRACEBACK", "1")

    def run(options: Options, read_again: Read) -> int:
        raise ZeroDivisionError

    serve(run)
    with pytest.raises(ZeroDivisionError):
        main_alias([])


def test_the_key_of_the_environment_is_taken_out_of_it(serve: Serve, monkeypatch: pytest.MonkeyPatch) -> None:
    """What the server may start has no use for it; a reload still finds that nothing has changed."""
    monkeypatch.setenv("NATS_STREAMING_ENCRYPTION_KEY", "s3cret")
    seen: list[str | None] = []

    def run(options: Options, read_again: Read) -> int:
        seen.append(os.environ.get("NATS_STREAMING_ENCRYPTION_KEY"))
        assert options.encryption.key == "s3cret"
        assert read_again() == options
        return 0

    serve(run)
    assert main_alias(["-encrypt"]) == 0
    assert seen == [None]


def test_an_interrupt_is_no_traceback(serve: Serve, capsys: pytest.CaptureFixture[str]) -> None:
    def run(options: Options, read_again: Read) -> int:
        raise KeyboardInterrupt

    serve(run)
    assert main_alias([]) == 130
    assert capsys.readouterr() == ("", "interrupted\n")


@pytest.mark.parametrize("program", ["main_alias", "main"])
def test_as_a_process(program: str) -> None:
    words = ["serve"] if program == "main" else []
    done = stubbed(program, *words, "-p", "4333", "--cluster_id=ticketing", "-hbi", "5s")
    assert (done.returncode, done.stderr) == (143, "")
    assert done.stdout.splitlines() == ["running ticketing 4333", "loaded []"]


def test_arguments_that_are_not_utf8_are_an_error_like_any_other() -> None:
    script = STUBBED.format(program="main_alias", heavy=HEAVY, body="return 0")
    done = subprocess.run([sys.executable, "-c", script, "-cid", b"a\xff"], capture_output=True, check=False)
    assert done.returncode == 1
    assert b"invalid cluster ID 'a\\xff'" in done.stderr
    assert b"Traceback" not in done.stderr


def test_a_flag_error_is_told_before_anything_slow_is_loaded() -> None:
    script = (
        "import sys; from durabus.cli.main import main_alias; main_alias(['-nosuch']); main_alias(['-v']); "
        f"print([name for name in {HEAVY!r} if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[1] == "[]"


def test_python_m_durabus_is_the_command() -> None:
    done = subprocess.run([sys.executable, "-m", "durabus", "-v"], capture_output=True, text=True, check=True)
    assert done.stdout == version.version_line() + "\n"


def test_a_reader_that_goes_away_is_no_reason_to_complain() -> None:
    reading, writing = os.pipe()
    os.close(reading)
    with os.fdopen(writing, "wb") as stdout:
        done = subprocess.run(
            [sys.executable, "-m", "durabus", "serve", "-h"], stdout=stdout, stderr=subprocess.PIPE, check=False
        )
    assert (done.returncode, done.stderr) == (0, b"")


def test_without_standard_output_and_error() -> None:
    script = (
        "import os, sys; sys.stdout = sys.stderr = None; "
        "from durabus.cli.main import main_alias; os._exit(10 * main_alias(['-v']) + main_alias(['-nosuch']))"
    )
    assert subprocess.run([sys.executable, "-c", script], check=False).returncode == 1


# Configuration files and what goes with them.


def test_a_mistake_in_a_file_is_one_line_without_a_hint(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "bus.conf"
    path.write_text("\nport: x")
    assert main_alias(["-c", str(path)]) == 1
    assert capsys.readouterr() == (
        "",
        f'{path}:2:1: parameter "port" value is expected to be int64, got string\n',
    )


def test_a_key_that_is_refused_says_what_to_do_instead(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "bus.conf"
    path.write_text("leafnodes { port: 7422 }")
    assert main(["serve", "-c", str(path)]) == 1
    assert capsys.readouterr().err == f"{path}:1:1: leafnodes is not available: {ROUTES}\n"


def test_a_warning_does_not_stop_the_server(serve: Serve, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "bus.conf"
    path.write_text("ping_interval: 5")
    serve(lambda options, read_again: 0)
    assert main_alias(["-c", str(path)]) == 0
    assert capsys.readouterr().err == (
        f'{path}:1:1: invalid use of field "ping_interval": ping_interval should be converted to a duration\n'
    )


def test_the_server_can_read_its_configuration_again(serve: Serve, tmp_path: Path) -> None:
    path = tmp_path / "bus.conf"
    path.write_text("port: 1")
    seen: list[int] = []

    def run(options: Options, read_again: Read) -> int:
        seen.append(options.broker.port)
        path.write_text("port: 2")
        seen.append(read_again().broker.port)
        path.write_text("port: x")
        with pytest.raises(ConfigError):
            read_again()
        return 0

    serve(run)
    assert main_alias(["-c", str(path), "-cid", "x"]) == 0
    assert seen == [1, 2]


def test_a_check_ends_with_a_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "bus.conf"
    path.write_text("port: 4333")
    assert main_alias(["-t", "-c", str(path)]) == 0
    assert capsys.readouterr() == ("", f"nats-streaming-server: configuration file {path} is valid\n")
    path.write_text("port: 99999")
    assert main_alias(["-t", "-c", str(path)]) == 1
    assert "invalid client port 99999" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("text", "error"),
    [
        (
            'tls { cert_file: "/nope", key_file: "/nope" }',
            "bus.conf:1:7: cert_file: error parsing X509 certificate/key pair: open /nope: no such file or directory",
        ),
        (
            "streaming {\n ns: 'nats://127.0.0.1:1'\n tls { client_ca: '/nope' } }",
            "bus.conf:3:8: client_ca: nats: error loading or parsing rootCA file: open /nope: no such file or directory",
        ),
        (
            "log_file: 'no/where/log'",
            "bus.conf:1:1: log_file: error opening file: open no/where/log: no such file or directory",
        ),
        (
            "pid_file: 'no/where/pid'",
            "bus.conf:1:1: pid_file: Could not write pidfile: open no/where/pid: no such file or directory",
        ),
    ],
)
def test_a_check_finds_what_a_start_would_find(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    text: str,
    error: str,
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "bus.conf").write_text(text)
    assert main_alias(["-t", "-c", "bus.conf"]) == 1
    captured = capsys.readouterr()
    assert captured.err.endswith(f"Failed to start: {error}\n")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["bus.conf"], "nothing is created"


def test_a_check_names_the_flag(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "bus.conf"
    path.write_text("port: 4333")
    log = tmp_path / "no" / "log"
    assert main_alias(["-t", "-c", str(path), "-l", str(log)]) == 1
    assert f"-l: error opening file: open {log}: no such file or directory" in capsys.readouterr().err


def test_a_start_tells_where_an_option_was_set(
    serve: Serve, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    def run(options: Options, read_again: Read) -> int:
        raise OptionsError("the file is of no use", "tls.certificate_file")

    path = tmp_path / "bus.conf"
    path.write_text("tls { cert_file: a\n key_file: b }")
    serve(run)
    assert main_alias(["-c", str(path)]) == 1
    assert capsys.readouterr().err.endswith(f"Failed to start: {path}:1:7: cert_file: the file is of no use\n")


def test_help_about_tls(capsys: pytest.CaptureFixture[str]) -> None:
    assert main_alias(["--help_tls"]) == 0
    shown = capsys.readouterr().out
    assert "-tlscert server.pem" in shown
    assert "    TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256\n" in shown
    assert shown.isascii()


def test_a_signal_is_sent(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    sent: list[tuple[int, int]] = []
    monkeypatch.setattr("os.kill", lambda pid, number: sent.append((pid, number)))
    assert main_alias(["-sl", "reload=4711"]) == 0
    assert main(["serve", "--signal=quit=4712"]) == 0
    assert sent == [(4711, 1), (4712, 2)]
    assert capsys.readouterr() == ("", "")


def test_a_signal_that_cannot_be_sent(capsys: pytest.CaptureFixture[str]) -> None:
    assert main_alias(["-sl", "nope=4711"]) == 1
    assert capsys.readouterr().err == 'unknown signal "nope"\n'


def test_several_servers_are_told_one_per_line(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def refuse(request: str) -> None:
        raise SignalError("multiple nats-streaming-server processes running:\n1\n2")

    monkeypatch.setattr("durabus.cli.send_signal.send_signal", refuse)
    assert main_alias(["-sl", "stop"]) == 1
    assert capsys.readouterr().err == "multiple nats-streaming-server processes running:\n1\n2\n"


def test_secrets_of_the_command_line_are_not_told(capsys: pytest.CaptureFixture[str]) -> None:
    for line in (
        ["-pass", "s3cret"],
        ["-user", "bob", "-pass", "$2a$11$s3cret"],
        ["-auth", "$2a$11$s3cret"],
        ["-encryption_key", "s3cret", "-encryption_cipher", "DES"],
        ["-ns", "nats://bob:s3cret@h:1", "-mm", "-5"],
    ):
        assert main_alias(line) == 1
        assert "s3cret" not in "".join(capsys.readouterr())
