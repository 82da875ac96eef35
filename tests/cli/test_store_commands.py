"""`durabus store …` as a program: what it prints, its exit codes, and that it works beside a server under load."""

import asyncio
import itertools
import os
import re
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from durabus.cli import store_commands
from durabus.cli.main import main
from durabus.cli.store_words import COMMANDS
from durabus.stores.copying import copy_store
from durabus.stores.file.backup import BackupFiles
from durabus.stores.file.layout import segment_number
from durabus.stores.file.overlay import OverlayFiles
from durabus.stores.file.store import FileStore
from durabus.stores.memory import MemoryStore
from durabus.testing.disk import SimulatedDisk, SimulatedFiles
from tests.blackbox.stan_client import FIRST, StanClient, read_fields
from tests.conftest import ROOT
from tests.server_process import running_server
from tests.stores.copy_steps import Found, found_in
from tests.stores.original_file.original_writer import OriginalDirectory

PATIENCE_S = 60.0
SECRET = "s3cret"


def run(*words: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """Run the program to its end."""
    return subprocess.run(
        [sys.executable, "-m", "durabus", "store", *words],
        capture_output=True,
        text=True,
        timeout=PATIENCE_S,
        check=False,
        cwd=ROOT,
        env={**os.environ, **environment},
    )


def done(*words: str, **environment: str) -> list[str]:
    """Run it, and all is well; what it printed."""
    result = run(*words, **environment)
    assert result.returncode == 0, result.stdout + result.stderr
    return result.stdout.splitlines()


def failed(*words: str, **environment: str) -> str:
    """Run it, and something is not well; what it complained, which is one line, or one and where to read more."""
    result = run(*words, **environment)
    assert result.returncode == 1, result.stdout
    assert "Traceback" not in result.stderr
    lines = result.stderr.splitlines()
    assert len(lines) == 1 or (len(lines) == 2 and lines[1].startswith("run 'durabus store")), lines
    return lines[0]


# The command line.


@pytest.mark.parametrize(
    ("words", "complaint"),
    [
        ([], "a command for the store is missing"),
        (["destroy"], 'unrecognized command for the store: "destroy"'),
        (["check"], "`durabus store check` takes STORE; 0 given"),
        (["check", "env:NOT_SET_AT_ALL"], "the environment variable NOT_SET_AT_ALL is not set"),
        (["check", "/not/there"], "there is no directory /not/there"),
        (["copy", "/not/there", "/neither"], "there is no directory /not/there"),
        (["import", "/not/there", "--to", "backup:x"], "the original's data are taken over into a store"),
        (["import", "/not/there", "--to", "sqlite:/not/there/x", "--crc-poly", "x"], "--crc-poly: x is no number"),
        (["init", "sqlite:/not/there/x.db"], "sql: cannot open /not/there/x.db"),
        (["init", "/proc/nothing"], "the directory /proc/nothing cannot be used: no such file or directory"),
    ],
)
def test_mistakes_are_told_in_a_line(words: list[str], complaint: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["store", *words]) == 1
    shown = capsys.readouterr()
    assert shown.out == ""
    assert shown.err.startswith(complaint)
    assert len(shown.err.splitlines()) <= 2


@pytest.mark.parametrize("words", [["help"], ["--help"], *[[name, "--help"] for name in COMMANDS]])
def test_help(words: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["store", *words]) == 0
    shown = capsys.readouterr()
    assert shown.out.startswith("Usage: durabus store")
    assert shown.err == ""


def test_the_first_help_names_it(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["help"]) == 0
    assert "durabus store COMMAND" in capsys.readouterr().out


@pytest.mark.parametrize(
    "store",
    [
        f"postgres://me:{SECRET}@127.0.0.1:1/bus?sslmode=disable",
        f"postgres:host=127.0.0.1 port=1 user=me password={SECRET} sslmode=disable",
        f"postgres:host=127.0.0.1 password={SECRET} unknown='",
        f"mysql:me:{SECRET}@tcp(127.0.0.1:1)/bus",
        f"mysql:me:{SECRET}@nonsense",
    ],
)
def test_no_password_is_shown(store: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BUS", store)
    for words in (["check", store], ["check", "env:BUS"], ["init", store], ["copy", "env:BUS", "/not/there"]):
        assert main(["store", *words]) == 1
        shown = capsys.readouterr()
        assert SECRET not in shown.out + shown.err
        assert shown.err.startswith("sql: ")


def test_bugs_are_a_line_too(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    async def broken(usage: object) -> int:
        raise RuntimeError("oh")

    monkeypatch.setitem(store_commands._WORK, "check", broken)
    assert main(["store", "check", "x"]) == 1
    assert capsys.readouterr().err.startswith("internal error, please report it")
    monkeypatch.setenv("DURABUS_TRACEBACK", "1")
    with pytest.raises(RuntimeError):
        main(["store", "check", "x"])


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_who_is_told_to_end_puts_things_in_order(
    number: signal.Signals, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    ended: list[bool] = []

    async def endless(usage: object) -> int:
        try:
            asyncio.get_running_loop().call_soon(os.kill, os.getpid(), number)
            await asyncio.Event().wait()
        finally:
            ended.append(True)
        return 0

    former = signal.getsignal(signal.SIGTERM)
    monkeypatch.setitem(store_commands._WORK, "check", endless)
    assert main(["store", "check", "x"]) == 130
    assert ended == [True]
    assert capsys.readouterr().err == "interrupted; the same command can be given again\n"
    assert signal.getsignal(signal.SIGTERM) is former


# With the data of a server.


def publish(port: int, *channels: bytes, count: int = 20) -> None:
    with StanClient(port) as client:
        client.connect()
        for channel in channels:
            client.publish(channel, *[b"%d" % number for number in range(1, count + 1)])
        client.subscribe(channels[0], durable=b"position", start=FIRST, max_in_flight=5)


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A directory that a server has left."""
    folder = tmp_path_factory.mktemp("server") / "data"
    with running_server("-st", "FILE", "-dir", str(folder)) as server:
        publish(server.port, b"orders", b"bills")
    return folder


def test_a_life_of_data(data: Path, tmp_path: Path) -> None:
    (summary, verdict) = done("check", str(data), "--quiet")
    assert re.fullmatch(
        r'FILE of cluster "test-cluster": 2 channels, 40 messages \(.*\), 1 client, 1 subscription', summary
    )
    assert verdict == "nothing is damaged"
    backup, database, again = tmp_path / "night.tar", f"sqlite:{tmp_path}/bus.db", tmp_path / "again"
    assert done("backup", str(backup), "--from", str(data))[-1].startswith(f"backup: {backup} (")
    assert done("check", str(backup))[1].startswith("note: made at ")
    assert done("copy", str(backup), "env:TARGET", TARGET=database)[-1].startswith("copied 2 channels, 40 messages")
    assert done("copy", str(backup), "env:TARGET", TARGET=database) == ["everything was there already"]
    assert done("init", database) == [f"{database}: everything is there"]
    assert done("copy", database, str(again))[-1].startswith("copied 2 channels, 40 messages")
    assert done("copy", str(again), str(tmp_path / "last.tar"))[-1].startswith("backup: ")
    with running_server("-st", "FILE", "-dir", str(again)) as server, StanClient(server.port) as client:
        client.connect()
        subscription = client.subscribe(b"bills", start=FIRST)
        assert [got.sequence for got in client.deliveries(20, subscription)] == [*range(1, 21)]


def test_damage_is_found_and_set_aside(data: Path, tmp_path: Path) -> None:
    copy = tmp_path / "data"
    done("copy", str(data), str(copy))
    segment = max(copy.glob("*.segment"))
    whole = segment.read_bytes()
    at = whole.index(b"orders\x22") + 8  # in the data of a message
    segment.write_bytes(whole[:at] + bytes([whole[at] ^ 1]) + whole[at + 1 :])
    result = run("check", str(copy), "--quiet")
    assert (result.returncode, result.stderr) == (1, "")
    assert re.search(r'damaged: .*message \d+ of channel "orders" is damaged\n1 finding\n', result.stdout)
    assert run("repair", str(copy), "--dry-run", "--quiet").stdout == result.stdout
    aside = tmp_path / "aside"
    assert done("repair", str(copy), "--quarantine", str(aside))[-1] == "nothing is damaged"
    assert len(aside.read_text(encoding="utf-8").splitlines()) == 1
    lines = done("check", str(copy))
    assert [line for line in lines if "known as lost" in line] == ["note: 1 message known as lost, from before"]
    result = run("copy", str(copy), str(tmp_path / "other"), "--quiet")
    assert (result.returncode, result.stderr) == (1, "")
    assert re.search(r'lost: message \d+ of channel "orders"\n.*\n1 message could not be copied', result.stdout)


def test_a_server_at_work_keeps_others_away(tmp_path: Path) -> None:
    folder = tmp_path / "data"
    with running_server("-st", "FILE", "-dir", str(folder)) as server:
        publish(server.port, b"orders")
        assert "uses the directory" in failed("repair", str(folder))
        assert "uses the directory" in failed("copy", str(folder), str(tmp_path / "other"))
        assert "another server uses the directory" in failed("init", str(folder))
        note = done("check", str(folder))[1]
        assert note.startswith("note: in use by ")
        assert str(server.process.pid) in note


def test_a_directory_of_the_original_is_taken_over(tmp_path: Path) -> None:
    original = OriginalDirectory(tmp_path / "stan")
    channel = original.channel("orders")
    channel.publish(*[b"%d" % number for number in range(10)])
    original.write()
    assert "holds the data of a NATS Streaming Server" in failed("check", str(tmp_path / "stan"))
    target = f"sqlite:{tmp_path}/bus.db"
    assert done("import", str(tmp_path / "stan"), "--to", target)[-1].startswith("copied 1 channel, 10 messages")
    assert done("check", target, "--quiet")[0].startswith('SQL of cluster "test-cluster": 1 channel, 10 messages')


# Under load.

LIMITS = """
streaming {
  store_limits {
    max_channels: 10
    max_msgs: 300
    channels: { kept: { max_msgs: 0 } }
  }
}
"""
PADDING = b"." * 1500
KEPT_EVERY = 25
"""For a while each so manieth message goes to the channel that keeps all: so segments are mostly dead, and compacted."""
WHILE = 20
"""For so many hundred messages; then as many go to the other channel only: so segments are dead, and dropped."""


class Publisher(threading.Thread):
    """Publishes on two channels for as long as it may; what is acknowledged is in `acknowledged`."""

    def __init__(self, port: int) -> None:
        super().__init__(daemon=True)
        self.acknowledged = {b"limited": 0, b"kept": 0}
        self.ends = threading.Event()
        self.error = ""
        self._port = port

    def run(self) -> None:
        with StanClient(self._port) as client:
            client.connect()
            sent = {b"limited": 0, b"kept": 0}
            try:
                for turn in itertools.count():
                    if self.ends.is_set():
                        break
                    some = turn // WHILE % 2 == 1
                    channels = [b"kept" if some and n % KEPT_EVERY == 0 else b"limited" for n in range(100)]
                    for channel in channels:
                        sent[channel] += 1
                        client.send_publish(channel, b"%d " % sent[channel] + PADDING)
                    for _ in channels:
                        error = read_fields(client.receive().payload).text(2)
                        assert not error, error
                    self.acknowledged = dict(sent)
            except AssertionError as error:
                self.error = str(error)


@contextmanager
def loaded(folder: Path) -> Iterator[Publisher]:
    """A server under load that drops and compacts segments all the time."""
    config = folder / "limits.conf"
    config.write_text(LIMITS, encoding="utf-8")
    flags = ("-st", "FILE", "-dir", str(folder / "data"), "-file_slice_max_bytes", "1MB", "-sc", str(config))
    with running_server(*flags) as server:
        publisher = Publisher(server.port)
        publisher.start()
        try:
            yield publisher
        finally:
            publisher.ends.set()
            publisher.join(PATIENCE_S)
        assert not publisher.error, publisher.error


def in_backup(path: Path) -> Found:
    async def read() -> Found:
        source = FileStore("backup", OverlayFiles(BackupFiles(path), SimulatedFiles(SimulatedDisk())))
        target = MemoryStore()
        try:
            await copy_store(source, target, lambda _: None)
            return await found_in(target)
        finally:
            await source.close()

    return asyncio.run(read())


def newest_segment(folder: Path) -> int:
    return max((segment_number(path.name) for path in (folder / "data").iterdir()), default=0)


def test_a_backup_under_load_has_all_that_was_acknowledged(tmp_path: Path) -> None:
    with loaded(tmp_path) as publisher:
        newest = 0
        for number in range(6):
            before = dict(publisher.acknowledged)
            path = tmp_path / f"{number}.tar"
            done("backup", str(path), "--from", str(tmp_path / "data"))
            found = in_backup(path)
            for channel, acknowledged in before.items():
                first, last, bodies = found.channels.get(channel, (0, 0, []))
                assert last >= acknowledged, channel
                assert len(bodies) == (last + 1 - first if last else 0)
                for sequence, body in enumerate(bodies, first):
                    assert read_fields(body).text(4) == b"%d " % sequence + PADDING
            done("check", str(path), "--quiet")
            assert newest_segment(tmp_path) > newest, "the server did nothing meanwhile"
            newest = newest_segment(tmp_path)
    sizes = [path.stat().st_size for path in (tmp_path / "data").iterdir() if segment_number(path.name)]
    assert len(sizes) < newest, "no segment was dropped"
    assert min(sizes) < 200_000, "no segment was compacted"
