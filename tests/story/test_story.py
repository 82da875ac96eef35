"""The story of examples/ticketing holds on Durabus, and notices a bus that forgets or that does not deliver again."""

import os
import shlex
import signal
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from examples.ticketing.story.bus import free_ports

pytestmark = [pytest.mark.once, pytest.mark.timeout(180)]

LAUNCHER = Path(__file__).with_name("bus_without_redelivery.py")
HOLDS, BROKEN, NOT_BEGUN = 0, 1, 2


def story_command(*arguments: str) -> list[str]:
    return [sys.executable, "-m", "examples.ticketing.story", *arguments]


def play(root: Path, scratch: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Play the story to its end, with free ports; what it leaves behind goes where pytest cleans up."""
    return subprocess.run(
        story_command("--once", *arguments),
        cwd=root,
        env={**os.environ, "TMPDIR": str(scratch)},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=170,
        check=False,
    )


def greets(port: int) -> bool:
    """Whether a bus listens there."""
    try:
        with socket.create_connection(("127.0.0.1", port), timeout=5) as connection:
            return connection.recv(5) == b"INFO "
    except OSError:
        return False


def last_line(played: subprocess.CompletedProcess[str]) -> str:
    return played.stdout.rstrip().splitlines()[-1]


def test_the_story_holds(root: Path, tmp_path: Path) -> None:
    played = play(root, tmp_path)
    assert played.returncode == HOLDS, played.stdout
    assert last_line(played).startswith("The story holds: ")
    steps = [line.split()[1] for line in played.stdout.splitlines() if line.startswith("Step ")]
    assert steps == ["1", "2", "3", "4", "5", "6", "7", "8", "9"]
    assert list(tmp_path.iterdir()) == [], "a story that holds leaves nothing behind"


def test_a_bus_that_keeps_one_message_per_channel_fails_at_the_catch_up(root: Path, tmp_path: Path) -> None:
    played = play(root, tmp_path, "--bus-args=-mm 1")
    assert played.returncode == BROKEN, played.stdout
    assert last_line(played) == "The story does not hold: it failed at step 4 (catch-up)"


def test_a_bus_that_keeps_one_message_per_channel_fails_at_the_rebuild(root: Path, tmp_path: Path) -> None:
    played = play(root, tmp_path, "--bus-args=-mm 1", "--steps=rebuild")
    assert played.returncode == BROKEN, played.stdout
    assert last_line(played) == "The story does not hold: it failed at step 5 (rebuild)"


def test_a_bus_that_keeps_one_message_per_channel_fails_at_the_read_model(root: Path, tmp_path: Path) -> None:
    played = play(root, tmp_path, "--bus-args=-mm 1", "--steps=read-model")
    assert played.returncode == BROKEN, played.stdout
    assert last_line(played) == "The story does not hold: it failed at step 9 (read-model)"


def test_a_bus_without_redelivery_fails_at_the_hung_instance(root: Path, tmp_path: Path) -> None:
    played = play(root, tmp_path, "--bus", shlex.join([sys.executable, str(LAUNCHER)]))
    assert played.returncode == BROKEN, played.stdout
    assert last_line(played) == "The story does not hold: it failed at step 3 (hung-instance)"


def test_a_bus_that_does_not_start_is_told_in_one_line(root: Path, tmp_path: Path) -> None:
    played = play(root, tmp_path, "--bus", "false")
    assert played.returncode == NOT_BEGUN, played.stdout
    assert last_line(played) == "the bus ended with exit code 1 before it was open"
    played = play(root, tmp_path, "--bus", "no-such-program")
    assert played.returncode == NOT_BEGUN, played.stdout
    assert last_line(played) == "cannot start the bus with no-such-program: No such file or directory"


def test_after_the_story_the_bus_goes_on_until_ctrl_c(root: Path, tmp_path: Path) -> None:
    port, monitor_port = free_ports()
    command = story_command("--steps=rebuild", "--port", str(port), "--monitor-port", str(monitor_port))
    environment = {**os.environ, "TMPDIR": str(tmp_path), "ONCE": ""}
    with subprocess.Popen(command, cwd=root, env=environment, stdout=subprocess.PIPE, text=True) as story:
        assert story.stdout is not None
        told = ""
        for line in story.stdout:
            told += line
            if line.startswith("Ctrl-C ends it."):
                break
        assert greets(port), told
        story.send_signal(signal.SIGINT)
        assert story.wait(timeout=30) == HOLDS
    assert not greets(port)
    assert list(tmp_path.iterdir()) == []
