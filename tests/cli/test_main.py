"""The two programs, called as functions and run as processes, with a stub in place of the server."""

import os
import re
import subprocess
import sys
import types
from collections.abc import Callable

import pytest

from durabus import version
from durabus.cli.main import main, main_alias
from durabus.config.options import Options
from durabus.config.refusals import CLUSTERED
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


@pytest.mark.parametrize("argument", ["-v", "--version", "version", "VERSION"])
def test_the_alias_tells_the_originals_form(argument: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main_alias([argument]) == 0
    assert capsys.readouterr() == ("nats-streaming-server version 0.25.6, nats-server: v2.9.10\n", "")


@pytest.mark.parametrize("argument", ["help", "--help", "-h"])
def test_durabus_explains_its_commands(argument: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([argument]) == 0
    assert "durabus serve [flags]" in capsys.readouterr().out


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
            [f"flag -clustered is not available: {CLUSTERED}", "run 'nats-streaming-server --help' for help"],
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


@pytest.mark.parametrize(
    ("arguments", "error"),
    [
        (["-mm", "-5"], r"max messages limit cannot be negative \(-5\)"),
        (["-ma", "-3s"], r"max age limit cannot be negative \(-3s\)"),
        (["-st", "bogus"], "unsupported store type: BOGUS"),
        (["-st", "FILE", "-dir", "x"], "store type FILE is not available yet: .*"),
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
