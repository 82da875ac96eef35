"""The files with the process ID and the ports: what is in them, when they go, and failures."""

import io
import json
import os
import sys
from pathlib import Path

import pytest

from durabus.config.options import LogOptions, ProcessOptions
from durabus.errors import StartError
from durabus.logs import LogOutput
from durabus.server.process_files import ProcessFiles, urls

PID = os.getpid()


class Files:
    """Process files with their log."""

    def __init__(self, pid_file: str = "", ports_folder: str = "") -> None:
        self.stream = io.StringIO()
        self.output = LogOutput(LogOptions(with_time=False), self.stream)
        self.files = ProcessFiles(ProcessOptions(pid_file=pid_file, ports_folder=ports_folder), self.output.broker)

    @property
    def log(self) -> str:
        return self.stream.getvalue()


@pytest.fixture(autouse=True)
def program(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "argv", ["/usr/bin/nats-streaming-server", "-m", "8222"])


def test_the_process_id(tmp_path: Path) -> None:
    path = tmp_path / "bus.pid"
    files = Files(str(path)).files
    files.write_pid()
    assert path.read_text() == str(PID)
    assert path.stat().st_mode & 0o007 == 0
    path.write_text("4711 of one that crashed")
    files.write_pid()
    assert path.read_text() == str(PID)
    files.remove()
    assert not path.exists()


def test_the_file_of_another_process_stays(tmp_path: Path) -> None:
    path = tmp_path / "bus.pid"
    files = Files(str(path)).files
    files.write_pid()
    path.write_text("4711")
    files.remove()
    assert path.read_text() == "4711"


def test_a_process_id_that_cannot_be_written(tmp_path: Path) -> None:
    for name, reason in ((f"{tmp_path}/nope/x", "no such file or directory"), ("a\0b", "invalid argument")):
        files = Files(name).files
        with pytest.raises(StartError) as caught:
            files.write_pid()
        assert str(caught.value) == f"Could not write pidfile: open {name}: {reason}"
        files.remove()


@pytest.mark.parametrize(
    ("argument", "name"),
    [
        ("/usr/bin/nats-streaming-server", "nats-streaming-server"),
        ("durabus", "durabus"),
        ("/x/durabus/__main__.py", "durabus"),
        ("-c", "durabus"),
        ("", "durabus"),
    ],
)
def test_the_ports(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, argument: str, name: str) -> None:
    monkeypatch.setattr(sys, "argv", [argument])
    files = Files(ports_folder=str(tmp_path)).files
    files.write_ports(["nats://a:1", "nats://b:1"], ["http://a:2"])
    path = tmp_path / f"{name}_{PID}.ports"
    assert path.read_text() == '{"nats":["nats://a:1","nats://b:1"],"monitoring":["http://a:2"]}'
    files.write_ports(["nats://a:1"], [])
    assert json.loads(path.read_text()) == {"nats": ["nats://a:1"]}
    files.remove()
    assert not path.exists()


def test_ports_that_cannot_be_written_or_removed_do_not_stop_the_server(tmp_path: Path) -> None:
    files = Files(ports_folder=f"{tmp_path}/nope")
    files.files.write_ports(["nats://a:1"], [])
    path = f"{tmp_path}/nope/nats-streaming-server_{PID}.ports"
    assert files.log.endswith(f"[ERR] Error writing ports file ({path}): open {path}: no such file or directory\n")
    files.files.remove()
    assert files.log.count("\n") == 1
    files = Files(ports_folder=str(tmp_path))
    files.files.write_ports(["nats://a:1"], [])
    path = files.files.ports_path()
    Path(path).unlink()
    files.files.remove()
    assert files.log.endswith(f"[ERR] Error cleaning up ports file {path}: remove {path}: no such file or directory\n")


def test_no_files_are_asked_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    files = Files()
    files.files.write_pid()
    files.files.write_ports(["nats://a:1"], [])
    files.files.remove()
    assert (list(tmp_path.iterdir()), files.log) == ([], "")


def test_other_files_while_the_server_runs(tmp_path: Path) -> None:
    one, two = tmp_path / "one", tmp_path / "two"
    one.mkdir()
    two.mkdir()
    files = Files(str(one / "pid"), str(one)).files
    files.write_pid()
    files.write_ports(["nats://a:1"], [])
    files.reload(ProcessOptions(pid_file=str(two / "pid"), ports_folder=str(two)))
    ports = f"nats-streaming-server_{PID}.ports"
    assert sorted(path.name for path in two.iterdir()) == [ports, "pid"]
    assert list(one.iterdir()) == []
    assert "nats://a:1" in (two / ports).read_text()
    files.reload(ProcessOptions())
    assert list(two.iterdir()) == []


def test_another_file_that_cannot_be_written_changes_nothing(tmp_path: Path) -> None:
    files = Files(str(tmp_path / "pid")).files
    files.write_pid()
    with pytest.raises(StartError):
        files.reload(ProcessOptions(pid_file=f"{tmp_path}/nope/x"))
    assert (tmp_path / "pid").exists()
    files.remove()
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("host", "url"),
    [("127.0.0.1", "nats://127.0.0.1:4222"), ("::1", "nats://[::1]:4222"), ("bus.example", "nats://bus.example:4222")],
)
def test_urls_of_one_address(host: str, url: str) -> None:
    assert urls("nats", host, 4222) == [url]


@pytest.mark.parametrize("host", ["0.0.0.0", ""])
def test_urls_of_all_addresses(host: str) -> None:
    found = urls("http", host, 8222)
    assert "http://127.0.0.1:8222" in found
    assert all(url.startswith("http://") and url.endswith(":8222") and "[" not in url for url in found)


def test_urls_of_all_addresses_of_both_kinds() -> None:
    found = urls("tls", "::", 4222)
    assert "tls://127.0.0.1:4222" in found
    assert set(urls("tls", "0.0.0.0", 4222)) <= set(found)
    assert urls("tls", "[::]", 4222) == found


def test_a_machine_that_does_not_tell_its_addresses(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr("socket.if_nameindex", lambda: [(1, "nope0")])
    monkeypatch.setattr("durabus.server.process_files.IPV6_ADDRESSES", tmp_path / "nope")
    assert urls("nats", "::", 1) == ["nats://127.0.0.1:1", "nats://[::1]:1"]
    (tmp_path / "v6").write_text("00000000000000000000000000000001 01 80 10 80       lo\n")
    monkeypatch.setattr("durabus.server.process_files.IPV6_ADDRESSES", tmp_path / "v6")
    assert urls("nats", "::", 1)[-1] == "nats://[::1]:1"
