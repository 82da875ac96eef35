"""A server with encryption at rest: what it keeps, what it says, and what nobody gets to see (docs/encryption.md)."""

import json
import os
import signal
import urllib.request
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.blackbox.stan_client import FIRST, StanClient
from tests.server_process import ServerProcess, failed_start, running_server

VARIABLE = "NATS_STREAMING_ENCRYPTION_KEY"
KEY = "s3cret"
IS_OURS = "DURABUS_TEST_SERVER" not in os.environ
DATA = (b"a letter", b"", b"\x01" + b"another one that begins like what is encrypted", b"z" * 20_000)

Flags = Callable[..., tuple[str, ...]]


@pytest.fixture
def flags(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Flags:
    """The flags of a server on one directory, with whatever is added to them; its key is in the environment."""
    monkeypatch.setenv(VARIABLE, KEY)

    def told(*more: str) -> tuple[str, ...]:
        return ("-st", "FILE", "-dir", str(tmp_path / "data"), *more)

    return told


def publish(server: ServerProcess, *all_data: bytes) -> None:
    with StanClient(server.port).connect() as client:
        client.publish(b"foo", *all_data)
        client.disconnect()


def read(server: ServerProcess, count: int) -> list[bytes]:
    """The first `count` messages of the channel, as somebody new gets them."""
    with StanClient(server.port).connect() as client:
        sub = client.subscribe(b"foo", start=FIRST)
        found = [one.data for one in client.deliveries(count, sub)]
        client.disconnect()
    return found


def all_bytes(directory: Path) -> bytes:
    return b"".join(path.read_bytes() for path in sorted(directory.rglob("*")) if path.is_file())


@pytest.mark.row(160)
def test_data_are_encrypted_and_come_back(flags: Flags, tmp_path: Path) -> None:
    with running_server(*flags("-encrypt")) as server:
        publish(server, *DATA)
        assert read(server, 4) == list(DATA)
    stored = all_bytes(tmp_path)
    assert b"foo" in stored
    assert not any(data in stored for data in DATA if data)
    # Each cipher reads what the other one wrote, and what is kept is all of it.
    for cipher in ("CHACHA", "aes"):
        with running_server(*flags("-encrypt", "-encryption_cipher", cipher)) as server:
            publish(server, cipher.encode())
    with running_server(*flags("-encryption_key", "not the one that counts")) as server:
        assert read(server, 6) == [*DATA, b"CHACHA", b"aes"]


@pytest.mark.row(160)
def test_what_was_plain_is_read_as_it_is(flags: Flags, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(VARIABLE)
    with running_server(*flags()) as server:
        publish(server, b"plain")
    with running_server(*flags("-encryption_key", KEY)) as server:
        publish(server, b"encrypted")
        assert read(server, 2) == [b"plain", b"encrypted"]


@pytest.mark.row(160)
@pytest.mark.skipif(not IS_OURS, reason="the original finds out when somebody wants a message")
def test_another_key_is_told_at_the_start(flags: Flags, monkeypatch: pytest.MonkeyPatch) -> None:
    with running_server(*flags("-encrypt")) as server:
        publish(server, b"data")
    monkeypatch.setenv(VARIABLE, "a wr0ng one")
    done = failed_start("-p", "-1", *flags("-encrypt"))
    assert done.returncode == 1
    assert (
        "Failed to start: the encryption key is not that of the stored messages: "
        'message 1 of channel "foo" cannot be decrypted with it; start with the key that they were encrypted with'
    ) in done.stderr
    assert "wr0ng" not in done.stdout + done.stderr
    monkeypatch.setenv(VARIABLE, KEY)
    with running_server(*flags("-encrypt")) as server:
        assert read(server, 1) == [b"data"], "nothing was changed"


@pytest.mark.row(160)
@pytest.mark.parametrize(
    ("arguments", "error"),
    [
        (["-encrypt"], "encryption key required"),
        (["-encryption_key", KEY, "-encryption_cipher", "DES"], "encryption cipher not supported"),
    ],
)
def test_what_cannot_be(
    flags: Flags, arguments: list[str], error: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.delenv(VARIABLE)
    done = failed_start("-p", "-1", *flags(*arguments))
    assert done.returncode == (1 if IS_OURS else 0)
    said = done.stdout + done.stderr
    assert error in said
    assert KEY not in said
    if IS_OURS:
        assert not (tmp_path / "data").exists()


@pytest.mark.skipif(not IS_OURS, reason="the original keeps the variable, and does not check files")
def test_the_key_is_nowhere_to_be_seen(flags: Flags, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Not in the log, though everything is traced; not in monitoring, in `ps`, in a check or in a reload's complaint."""
    file = tmp_path / "bus.conf"
    file.write_text("streaming { encrypt: true }\n", encoding="utf-8")
    said = ""
    with running_server(*flags("-SDV", "-DVV", "-m", "-1", "-c", str(file))) as server:
        publish(server, b"data")
        process = Path(f"/proc/{server.process.pid}")
        assert KEY.encode() not in process.joinpath("cmdline").read_bytes()
        pages = (
            "varz",
            "connz",
            "routez",
            "subsz",
            "streaming/serverz",
            "streaming/storez",
            "streaming/channelsz?subs=1",
        )
        for page in pages:
            with urllib.request.urlopen(f"http://127.0.0.1:{server.monitor_port}/{page}") as answer:
                said += answer.read().decode()
        file.write_text("streaming { encryption_key: an0ther }\n", encoding="utf-8")
        server.process.send_signal(signal.SIGHUP)
        server.wait_line("Reloaded server configuration")
        monkeypatch.delenv(VARIABLE)
        file.write_text("streaming { encryption_key: 5, encryption_key: { s3cret: 5 } }\n", encoding="utf-8")
        server.process.send_signal(signal.SIGHUP)
        server.wait_line('parameter "encryption_key" value is expected to be string, got map')
        publish(server, b"more")
    said += server.log
    file.write_text("streaming { encryption_key: s3cret, encryption_cipher: an0ther }\n", encoding="utf-8")
    for arguments in (["-t"], ["-p", "-1"]):
        done = failed_start(*arguments, "-c", str(file))
        said += done.stdout + done.stderr
    assert "encryption cipher not supported" in said
    assert KEY not in said
    assert "an0ther" not in said


@pytest.mark.row(160)
def test_sizes_are_those_of_what_is_stored(flags: Flags) -> None:
    """As the original counts them in memory: 17 bytes of an empty message, 48 and more of one with data."""
    with running_server("-encrypt", "-m", "-1", "-mb", "500") as server:
        found = []
        for size in (5, 0, 98, 99, 100, 50, 30, 1):
            publish(server, b"d" * size)
            url = f"http://127.0.0.1:{server.monitor_port}/streaming/channelsz?channel=foo"
            with urllib.request.urlopen(url) as answer:
                figures = json.load(answer)
            found.append((figures["msgs"], figures["bytes"], figures["first_seq"]))
    assert found == [
        (1, 53, 1),
        (2, 70, 1),
        (3, 216, 1),
        (4, 364, 1),
        (4, 460, 2),
        (3, 395, 4),
        (4, 473, 4),
        (4, 374, 5),
    ]


@pytest.mark.skipif(not IS_OURS, reason="the original says nothing")
def test_a_key_without_encryption_is_told(flags: Flags, tmp_path: Path) -> None:
    with running_server(*flags()) as server:
        server.wait_line(f"{VARIABLE} is set, but nothing is encrypted: that takes -encrypt")
        publish(server, b"plain text")
    assert b"plain text" in all_bytes(tmp_path)


@pytest.mark.skipif(not IS_OURS, reason="the original says nothing")
def test_encryption_that_was_forgotten_is_told(flags: Flags, monkeypatch: pytest.MonkeyPatch) -> None:
    with running_server(*flags("-encrypt")) as server:
        server.wait_line("The data of messages are encrypted in the store")
        publish(server, b"data")
    monkeypatch.delenv(VARIABLE)
    with running_server(*flags()) as server:
        server.wait_line('message 1 of channel "foo" looks encrypted, and is delivered as it is stored')
