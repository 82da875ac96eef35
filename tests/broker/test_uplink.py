"""The uplink: what addresses may look like, and what it makes of servers that do not behave.

Servers that do behave are in tests/external, where a real nats-server is.
"""

import asyncio
import errno
import json
import socket
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from durabus.broker import uplink as uplink_module
from durabus.broker.uplink import (
    NO_SERVERS,
    SKIP_VERIFY_WARNING,
    ServerAddress,
    UplinkSettings,
    make_tls_context,
    parse_address,
    parse_servers,
)
from durabus.errors import StartError
from tests.external.certificates import Certificates, make_certificates
from tests.external.harness import LOOPS, NAME, LoopFactory, Station, connected, run, settings_for, until

Script = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]
INFO = b'INFO {"server_id":"x","max_payload":1048576} \r\n'
GONE = f'[ERR] connection "{NAME}" has been disconnected: '


@pytest.fixture(params=LOOPS.values(), ids=LOOPS)
def make_loop(request: pytest.FixtureRequest) -> LoopFactory:
    factory: LoopFactory = request.param
    return factory


@pytest.fixture(scope="module")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> Certificates:
    return make_certificates(tmp_path_factory.mktemp("certificates"))


# Addresses.


def parts(address: ServerAddress) -> tuple[str, int, str, str, str, bool]:
    """Everything about an address."""
    return (address.host, address.port, address.user, address.password, address.token, address.is_tls)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("nats://localhost:4222", [("localhost", 4222, "", "", "", False)]),
        ("nats://10.0.0.1:1/", [("10.0.0.1", 1, "", "", "", False)]),
        ("nats://[::1]:4222", [("::1", 4222, "", "", "", False)]),
        ("nats://:4222", [("localhost", 4222, "", "", "", False)]),
        ("tls://bus.example:4443", [("bus.example", 4443, "", "", "", True)]),
        ("http://bus.example:4443", [("bus.example", 4443, "", "", "", False)]),
        ("nats://jane:pw@bus.example", [("bus.example", 4222, "jane", "pw", "", False)]),
        ("jane:pw@bus.example", [("bus.example", 4222, "jane", "pw", "", False)]),
        ("jane:pw@[::1]:7", [("::1", 7, "jane", "pw", "", False)]),
        ("nats://jane:p%40w%3A@h:1", [("h", 1, "jane", "p@w:", "", False)]),
        ("nats://jane:p@w@h:1", [("h", 1, "jane", "p@w", "", False)]),
        ("nats://jane:@h:1", [("h", 1, "jane", "", "", False)]),
        ("nats://t0ken@h:1", [("h", 1, "", "", "t0ken", False)]),
        ("tls://t0ken@h:1", [("h", 1, "", "", "t0ken", True)]),
        (
            "nats://a:1, b ,tls://c:3,u:p@d,t@e:5",
            [
                ("a", 1, "", "", "", False),
                ("b", 4222, "", "", "", False),
                ("c", 3, "", "", "", True),
                ("d", 4222, "u", "p", "", False),
                ("e", 5, "", "", "t", False),
            ],
        ),
    ],
)
def test_addresses(text: str, expected: list[tuple[str, int, str, str, str, bool]]) -> None:
    assert [parts(address) for address in parse_servers(text)] == expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("127.0.0.1:24999", "malformed url: 127.0.0.1:24999"),
        ("localhost", "malformed url: localhost"),
        ("nats://a://b", "malformed url: nats://a://b"),
        ("", "malformed url: "),
        ("nats://localhost", "address localhost: missing port in address"),
        ("nats://[::1]", "address [::1]: missing port in address"),
        ("nats://::1:4222", "address ::1:4222: too many colons in address"),
        ("nats://localhost:port", "malformed url: nats://localhost:port"),
        ("nats://localhost:99999", "malformed url: nats://localhost:99999"),
        ("nats://local host:4222", "malformed url: nats://local host:4222"),
        ("nats://[::1:4222", "address [::1:4222: too many colons in address"),
        ("nats://]:4222", "malformed url: nats://]:4222"),
        ("ws://a:80", "malformed url: ws://a:80: WebSocket is not supported, use nats:// or tls://"),
        ("nats://a:1,", "malformed url: "),
        ("nats://a:1,,nats://b:2", "malformed url: "),
        ("nats://a:1,nats://b:x", "malformed url: nats://b:x"),
        ("nats://jane:secret@h:x", "malformed url: [REDACTED]"),
        ("nats://jane:se/cret@h:1", "malformed url: [REDACTED]"),
        ("nats://jane:sec[ret@h:1", "malformed url: [REDACTED]"),
        ("nats://jane:12/34@h:1", "malformed url: [REDACTED]"),
        ("nats://jane:12#34@h:1", "malformed url: [REDACTED]"),
        ("nats://jane:sec,ret@h:1", "malformed url: [REDACTED] (number 1 of 2)"),
        ("nats://a:1,nats://jane:secret@h:x", "malformed url: [REDACTED] (number 2 of 2)"),
        ("wss://jane:secret@h", "malformed url: [REDACTED]: WebSocket is not supported, use nats:// or tls://"),
    ],
)
def test_malformed_addresses(text: str, expected: str) -> None:
    with pytest.raises(StartError) as caught:
        parse_servers(text)
    assert str(caught.value) == expected
    assert caught.value.__suppress_context__ or caught.value.__context__ is None, "a traceback would quote it"


@given(st.text(max_size=30), st.sampled_from(["nats://jane:hidden@%s", "nats://hidden@h:%s", "nats://a:1,hidden:%s@h"]))
def test_no_malformed_address_shows_a_credential(text: str, form: str) -> None:
    shown: list[object] = []
    try:
        shown += parse_servers(form % text.replace("hidden", ""))
    except StartError as error:
        shown.append(error)
    assert shown
    for one in shown:
        assert "hidden" not in str(one) and "hidden" not in repr(one)


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        ("nats://h:1", "nats://h:1"),
        ("tls://h:1", "tls://h:1"),
        ("jane:pw@h", "nats://[REDACTED]@h:4222"),
        ("token@[::1]:7", "nats://[REDACTED]@[::1]:7"),
        (":pw@h:1", "nats://[REDACTED]@h:1"),
    ],
)
def test_addresses_in_the_log(url: str, expected: str) -> None:
    assert str(parse_address(url)) == expected


# TLS files.


def test_contexts(certificates: Certificates) -> None:
    trusting = make_tls_context(str(certificates.authority))
    assert (trusting.verify_mode, trusting.check_hostname) == (ssl.CERT_REQUIRED, True)
    assert len(trusting.get_ca_certs()) == 1, "the given authority, and nobody else's"
    careless = make_tls_context(skip_verify=True)
    assert (careless.verify_mode, careless.check_hostname) == (ssl.CERT_NONE, False)
    key = certificates.key(certificates.client)
    make_tls_context("", str(certificates.client), str(key))
    assert trusting.minimum_version >= ssl.TLSVersion.TLSv1_2
    assert "DO NOT USE IN PRODUCTION!" in SKIP_VERIFY_WARNING


def test_files_of_no_use(certificates: Certificates, tmp_path: Path) -> None:
    nothing = tmp_path / "nothing.pem"
    nonsense = tmp_path / "nonsense.pem"
    nonsense.write_text("nonsense", encoding="ascii")
    client, key = certificates.client, certificates.key(certificates.client)
    loading = "nats: error loading client certificate: "
    wrong = {
        (nothing, "", ""): f"nats: error loading or parsing rootCA file: open {nothing}: no such file or directory",
        (tmp_path, "", ""): f"nats: error loading or parsing rootCA file: open {tmp_path}: is a directory",
        (nonsense, "", ""): f'nats: failed to parse root certificate from "{nonsense}"',
        ("", nothing, key): f"{loading}open {nothing}: no such file or directory",
        ("", client, nothing): f"{loading}open {nothing}: no such file or directory",
        ("", client, ""): f"{loading}open : no such file or directory",
        ("", "", key): f"{loading}open : no such file or directory",
        ("", nonsense, key): f"{loading}tls: pem lib",
        ("", client, certificates.key(certificates.server)): f"{loading}tls: key values mismatch",
    }
    for (authority, certificate, private), expected in wrong.items():
        with pytest.raises(StartError) as caught:
            make_tls_context(str(authority), str(certificate), str(private))
        assert str(caught.value) == expected


# What goes wrong, in words.


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        (ConnectionRefusedError(errno.ECONNREFUSED, "Connect call failed ('127.0.0.1', 1)"), ""),
        (OSError("Multiple exceptions: [Errno 111] Connect call failed ('::1', 1, 0, 0), [Errno 111] Co"), ""),
        (socket.gaierror(-2, "Name or service not known"), "dial tcp: lookup h: no such host"),
        (UnicodeError("label too long"), "dial tcp: lookup h: no such host"),
        (TimeoutError(), "dial tcp h:7: i/o timeout"),
        (OSError(errno.ENETUNREACH, "Network is unreachable"), "dial tcp h:7: network is unreachable"),
        (OSError(), "dial tcp h:7: oserror"),
        (ConnectionResetError(), "dial tcp h:7: connection reset by peer"),
        (ssl.SSLError(1, "[SSL: WRONG_VERSION_NUMBER] wrong version number (_ssl.c:1)"), "tls: "),
    ],
)
def test_words_for_errors(error: OSError | ValueError, expected: str) -> None:
    words = uplink_module._network_words(error, ServerAddress("h", 7, "", "secret", "", False))
    assert words.startswith(expected) if expected == "tls: " else words == expected


# Servers by script.


@asynccontextmanager
async def scripted(*scripts: Script) -> AsyncIterator[int]:
    """A port where each connection meets the next of these scripts, and the last one from then on."""
    running: set[asyncio.Task[None]] = set()
    queue = list(scripts)

    async def meet(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        running.add(task)
        try:
            await (queue.pop(0) if len(queue) > 1 else queue[0])(reader, writer)
        except (ConnectionError, asyncio.IncompleteReadError, asyncio.CancelledError):
            pass
        finally:
            writer.transport.abort()
            running.discard(task)

    server = await asyncio.start_server(meet, "127.0.0.1", 0)
    try:
        yield server.sockets[0].getsockname()[1]
    finally:
        server.close()
        for task in running:
            task.cancel()
        if running:
            await asyncio.wait(set(running), timeout=5)
        await asyncio.sleep(0.01)


def says(*words: bytes, then_closes: bool = False) -> Script:
    """Says these words at once, and nothing more."""

    async def script(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"".join(words))
        await writer.drain()
        if then_closes:
            writer.close()
            await writer.wait_closed()
        else:
            await reader.read()

    return script


async def take(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, info: bytes = INFO) -> dict[str, object]:
    """Take the client; what it says of itself."""
    writer.write(info)
    line = await reader.readuntil(b"\r\n")
    assert line.startswith(b"CONNECT ")
    assert await reader.readexactly(6) == b"PING\r\n"
    writer.write(b"PONG\r\n")
    said: dict[str, object] = json.loads(line[8:])
    return said


async def serve_well(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Take the client, and serve it."""
    await take(reader, writer)
    await serve(reader, writer)


async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Answer pings, and give every message back to subscription 1."""
    while line := await reader.readline():
        words = line.split()
        if words[0] == b"PING":
            writer.write(b"PONG\r\n")
        elif words[0] == b"PUB":
            payload = await reader.readexactly(int(words[-1]) + 2)
            writer.write(b"MSG " + words[1] + b" 1 " + words[-1] + b"\r\n" + payload)


async def refusal(port: int, change: Callable[[UplinkSettings], None] | None = None) -> str:
    """Why there is no connection."""
    settings = settings_for(f"nats://jane:secret@127.0.0.1:{port}")
    settings.connect_timeout_s = 0.3
    if change is not None:
        change(settings)
    station = Station(settings)
    with pytest.raises(StartError) as caught:
        await station.start()
    assert not station.uplink.is_connected() and not station.bus.is_open()
    assert station.lines == [] and station.changes == []
    assert await station.uplink.sync() is False
    await station.uplink.stop()
    assert "secret" not in str(caught.value)
    return str(caught.value)


async def pongs_and_closes(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    await take(reader, writer)
    writer.close()
    await writer.wait_closed()


NO_NATS = "nats: this is no NATS server: "
CLOSED = "nats: the server closed the connection: EOF"


@pytest.mark.parametrize(
    ("script", "expected"),
    [
        (says(), "nats: timeout"),
        (says(INFO), "nats: timeout"),
        (says(b"INF"), "nats: timeout"),
        (says(INFO, b"PING\r\n" * 3), "nats: timeout"),
        (says(then_closes=True), CLOSED),
        (says(INFO[:20], then_closes=True), CLOSED),
        (says(INFO, b"-ERR 'maximum connections exceeded'\r\n"), "nats: maximum connections exceeded"),
        (says(b"-ERR 'no'\r\n", INFO, then_closes=True), "nats: no"),
        (says(INFO, b"-ERR\r\n"), "nats: "),
        (says(b"INFO {nonsense\r\n"), NO_NATS + "its INFO is not understood: "),
        (says(b'INFO {"max_payload":"x"}\r\n'), NO_NATS + "its INFO is not understood: "),
        (says(b"HTTP/1.1 400 Bad Request\r\n\r\n"), NO_NATS + "the line b'HTTP/1.1 400 Bad Request'"),
        (says(b"220 mail.example ESMTP\r\n"), NO_NATS + "the line b'220 mail.example ESMTP'"),
        (says(INFO, b"\x00\x01\x02"), NO_NATS),
        (pongs_and_closes, ""),
    ],
)  # fmt: skip
def test_servers_that_do_not_take_us(make_loop: LoopFactory, script: Script, expected: str) -> None:
    async def scenario() -> None:
        async with scripted(script) as port:
            if script is pongs_and_closes:
                station = Station(settings_for(f"nats://127.0.0.1:{port}"))
                with_error = False
                try:
                    await station.start()
                except StartError as error:
                    with_error = str(error) == CLOSED
                await until(lambda: with_error or not station.uplink.is_connected())
                await station.uplink.stop()
            else:
                said = await refusal(port)
                assert said.startswith(expected) if expected.startswith(NO_NATS) else said == expected

    run(make_loop, scenario())


def test_tls_that_is_none(make_loop: LoopFactory) -> None:
    info = b'INFO {"tls_required":true}\r\n'

    async def nonsense(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(info)
        await reader.read(10)
        writer.write(b"-ERR 'Unknown Protocol Operation'\r\n")
        await reader.read()

    async def leaves(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(info)
        await reader.read(10)

    async def scenario() -> None:
        async with scripted(says(info)) as port:
            assert await refusal(port) == "nats: timeout"
        async with scripted(nonsense) as port:
            assert await refusal(port) == "tls: wrong version number"
        async with scripted(leaves) as port:
            assert (await refusal(port)) != NO_SERVERS
        async with scripted(says(INFO)) as port:

            def must(settings: UplinkSettings) -> None:
                settings.must_be_tls = True

            assert await refusal(port, must) == "nats: secure connection not available"

    run(make_loop, scenario())


def test_the_last_reason_that_says_something(make_loop: LoopFactory) -> None:
    async def scenario() -> None:
        async with scripted(says(INFO, b"-ERR 'one'\r\n")) as one, scripted(says(INFO, b"-ERR 'two'\r\n")) as two:
            both = f"nats://127.0.0.1:{one},nats://127.0.0.1:{two}"
            station = Station(settings_for(both))
            with pytest.raises(StartError, match=r"^nats: two$"):
                await station.start()
            await station.uplink.stop()

    run(make_loop, scenario())


def test_what_we_say_of_ourselves(make_loop: LoopFactory) -> None:
    said: list[dict[str, object]] = []

    async def listens(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        said.append(await take(reader, writer))
        await serve(reader, writer)

    async def scenario() -> None:
        async with scripted(listens) as port:
            settings = settings_for(f"nats://127.0.0.1:{port}")
            async with connected(settings):
                pass
            settings.user, settings.password, settings.token = "joe", "pw", "t"
            async with connected(settings):
                pass
            async with connected(settings_for(f"nats://jane:p%25@127.0.0.1:{port}")):
                pass
            settings.addresses = parse_servers(f"token@127.0.0.1:{port}")
            async with connected(settings):
                pass

    run(make_loop, scenario())
    plain, from_settings, user, token = said
    assert (plain["name"], plain["verbose"], plain["echo"], plain["tls_required"]) == (NAME, False, True, False)
    assert (plain["headers"], plain["no_responders"]) == (True, True)
    credentials = [{key: one.get(key) for key in ("user", "pass", "auth_token")} for one in said]
    assert credentials == [
        {"user": None, "pass": None, "auth_token": None},
        {"user": "joe", "pass": "pw", "auth_token": "t"},
        {"user": "jane", "pass": "p%", "auth_token": None},
        {"user": None, "pass": None, "auth_token": "token"},
    ]
    assert from_settings["name"] == user["name"] == token["name"] == NAME


def test_pings_are_answered(make_loop: LoopFactory) -> None:
    answers: list[bytes] = []

    async def curious(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"PING\r\n" + INFO)
        answers.append(await reader.readline())
        await reader.readline()
        await reader.readline()
        writer.write(b"PING\r\n")
        answers.append(await reader.readline())
        writer.write(b"PONG\r\n+OK\r\nPING\r\n")
        answers.append(await reader.readline())
        await serve(reader, writer)

    async def scenario() -> None:
        async with scripted(curious) as port, connected(settings_for(f"nats://127.0.0.1:{port}")):
            await until(lambda: answers == [b"PONG\r\n"] * 3)

    run(make_loop, scenario())


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (b"NONSENSE\r\n", ["nats: this is no NATS server: the line b'NONSENSE'"]),
        (b"MSG foo 1 5\r\n1234567", ["nats: this is no NATS server: a payload does not end where its size says"]),
        (b"MSG foo 1 999999999\r\n", ["nats: this is no NATS server: a payload of 999999999 bytes"]),
    ],
)
def test_a_server_that_begins_to_talk_nonsense(make_loop: LoopFactory, words: bytes, expected: list[str]) -> None:
    async def goes_mad(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await take(reader, writer)
        assert await reader.readline() == b"PUB foo 1\r\n"
        writer.write(words)
        await reader.read()

    async def scenario() -> None:
        async with scripted(goes_mad, serve_well) as port, connected(settings_for(f"nats://127.0.0.1:{port}")) as one:
            assert one.say(b"foo", b"1")
            await until(lambda: one.changes == [False, True])
            assert one.lines[:1] == [GONE + text for text in expected]
            await one.listen(b"foo")
            assert one.say(b"foo", b"x")
            await one.hears(b"x")

    run(make_loop, scenario())


def test_a_server_that_sends_us_away(make_loop: LoopFactory) -> None:
    async def sends_away(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await take(reader, writer)
        await reader.readexactly(len(b"SUB foo 1\r\nPING\r\n"))
        writer.write(b"PONG\r\nMSG foo 1 1\r\nx\r\n-ERR 'Stale Connection'\r\n")
        writer.close()

    async def scenario() -> None:
        async with scripted(sends_away, serve_well) as port, connected(settings_for(f"nats://127.0.0.1:{port}")) as one:
            await one.listen(b"foo")
            await one.hears(b"x")
            await until(lambda: one.changes == [False, True])
            assert one.lines[:2] == [f'[ERR] connection "{NAME}": nats: Stale Connection', GONE + "EOF"]

    run(make_loop, scenario())


def test_a_server_that_answers_no_pings(make_loop: LoopFactory) -> None:
    pings: list[bytes] = []

    async def deaf(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await take(reader, writer)
        while line := await reader.readline():
            pings.append(line)
            writer.write(b"MSG foo 1 1\r\nx\r\n")

    async def scenario() -> None:
        async with scripted(deaf, serve_well) as port:
            settings = settings_for(f"nats://127.0.0.1:{port}")
            settings.ping_interval_s = 0.05
            settings.pings_out_max = 3
            async with connected(settings) as one:
                assert await one.uplink.sync(0.01) is False
                await until(lambda: one.changes == [False, True])
                assert one.lines[:1] == [GONE + "nats: stale connection"]
                assert pings == [b"PING\r\n"] * 3
                await asyncio.sleep(0.3)
                assert one.changes == [False, True], "this one answers"

    run(make_loop, scenario())


def test_a_server_that_reads_nothing(make_loop: LoopFactory, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(uplink_module, "_UNSENT_BYTES_MAX", 1024 * 1024)
    release = asyncio.Event

    async def stuck(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await take(reader, writer)
        writer.transport.pause_reading()  # type: ignore[attr-defined]
        await release().wait()

    async def scenario() -> None:
        async with scripted(stuck, serve_well) as port, connected(settings_for(f"nats://127.0.0.1:{port}")) as one:
            for _ in range(100):
                if not one.say(b"foo", *[bytes(1_000_000)] * 2):
                    break
            assert one.changes == [False]
            assert one.lines == [GONE + "nats: the server takes nothing of what is sent to it"]
            await until(lambda: one.changes == [False, True])
            await one.listen(b"foo")
            assert one.say(b"foo", b"x")
            await one.hears(b"x")

    run(make_loop, scenario())


def test_servers_that_it_is_told_of(make_loop: LoopFactory) -> None:
    async def scenario() -> None:
        async with scripted(serve_well) as other:
            document = {"connect_urls": ["", "a:b:c", 7, None, "[::1", f"127.0.0.1:{other}", "127.0.0.1:1"]}

            async def tells(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
                await take(reader, writer, b"INFO " + json.dumps(document).encode() + b"\r\n")

            async with (
                scripted(tells, says(then_closes=True)) as port,
                connected(settings_for(f"nats://127.0.0.1:{port}")) as one,
            ):
                await until(lambda: one.changes == [False, True])
                assert str(one.uplink.address) == f"nats://127.0.0.1:{other}"

    run(make_loop, scenario())


def test_cancelled_while_it_connects(make_loop: LoopFactory) -> None:
    async def scenario() -> None:
        for script in (says(), says(INFO), says(b'INFO {"tls_required":true}\r\n')):
            async with scripted(script) as port:
                station = Station(settings_for(f"nats://127.0.0.1:{port}"))
                starting = asyncio.ensure_future(station.start())
                await asyncio.sleep(0.05)
                starting.cancel()
                with pytest.raises(asyncio.CancelledError):
                    await starting
                await station.uplink.stop()
                assert not station.uplink.is_connected()

    run(make_loop, scenario())


def test_stopped_while_it_connects_again(make_loop: LoopFactory) -> None:
    async def scenario() -> None:
        for script in (says(), says(INFO), says(b'INFO {"tls_required":true}\r\n'), says(then_closes=True)):
            async with scripted(pongs_and_closes, script) as port:
                station = Station(settings_for(f"nats://127.0.0.1:{port}"))
                try:
                    await station.start()
                    await until(lambda station=station: station.changes == [False])  # type: ignore[misc]
                    await asyncio.sleep(0.05)
                except StartError:
                    assert not station.uplink.is_connected()
                await station.uplink.stop()
                await station.uplink.stop()

    run(make_loop, scenario())


def test_stopped_before_it_was_started(make_loop: LoopFactory) -> None:
    async def scenario() -> None:
        station = Station(settings_for("nats://127.0.0.1:1"))
        station.uplink.flush()
        assert not await station.uplink.sync()
        await station.uplink.stop()
        assert not station.uplink.is_connected()

    run(make_loop, scenario())


def test_a_receiver_that_fails_costs_its_connection_only(make_loop: LoopFactory) -> None:
    """A mistake of ours must not end the network: the loop reports it, and the uplink connects again."""

    async def scenario() -> None:
        loop = asyncio.get_running_loop()
        reported: list[object] = []
        loop.set_exception_handler(lambda _, context: reported.append(context.get("exception")))
        async with scripted(serve_well) as port, connected(settings_for(f"nats://127.0.0.1:{port}")) as one:
            await one.listen(b"foo")
            good = one.listener.on_publish
            one.listener.on_publish = lambda publish: 1 / 0  # type: ignore[assignment]
            assert one.say(b"foo", b"x")
            await until(lambda: one.changes == [False, True])
            one.listener.on_publish = good  # type: ignore[method-assign]
            assert one.say(b"foo", b"y")
            await one.hears(b"y")
        assert [type(error) for error in reported] == [ZeroDivisionError]

    run(make_loop, scenario())
