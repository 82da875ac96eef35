"""What the uplink makes of servers that do not behave: they are left, said to be so, and tried again."""

import asyncio
import json
from collections.abc import Callable

import pytest

from durabus.broker import uplink as uplink_module
from durabus.broker.uplink import UplinkSettings, parse_servers
from durabus.errors import StartError
from tests.external.harness import NAME, LoopFactory, Station, connected, run, settings_for, until
from tests.external.scripted import INFO, Script, says, scripted, serve, serve_well, take

GONE = f'[ERR] connection "{NAME}" has been disconnected: '


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
    ],
)  # fmt: skip
def test_servers_that_do_not_take_us(make_loop: LoopFactory, script: Script, expected: str) -> None:
    async def scenario() -> None:
        async with scripted(script) as port:
            said = await refusal(port)
            assert said.startswith(expected) if expected.startswith(NO_NATS) else said == expected

    run(make_loop, scenario())


async def pongs_and_closes(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    await take(reader, writer)
    writer.close()
    await writer.wait_closed()


def test_a_server_that_takes_us_and_leaves(make_loop: LoopFactory) -> None:
    """Whether that is before or after we took notice."""

    async def scenario() -> None:
        async with scripted(pongs_and_closes) as port:
            station = Station(settings_for(f"nats://127.0.0.1:{port}"))
            try:
                await station.start()
            except StartError as error:
                station.lines.append(str(error))
            else:
                await until(lambda: station.changes[:3] == [False, True, False])
            assert station.lines[0] in (CLOSED, GONE + "EOF")
            await station.uplink.stop()

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
        loop = asyncio.get_running_loop()
        async with scripted(says(info)) as port:
            began = loop.time()
            assert await refusal(port) == "nats: timeout"
            assert loop.time() - began < 2.0, "nobody waits for a socket that the loop has closed already"
        async with scripted(nonsense) as port:
            assert await refusal(port) == "tls: wrong version number"
        async with scripted(leaves) as port:
            assert await refusal(port) == f"dial tcp 127.0.0.1:{port}: connection reset by peer"
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


def test_the_next_server_comes_first(make_loop: LoopFactory) -> None:
    """The one that sent us away is tried when all others were."""

    async def scenario() -> None:
        async with scripted(pongs_and_closes, serve_well) as one, scripted(serve_well) as other:
            station = Station(settings_for(f"nats://127.0.0.1:{one},nats://127.0.0.1:{other}"))
            await station.start()
            await until(lambda: str(station.uplink.address).endswith(f":{other}") and station.uplink.is_connected())
            await station.uplink.stop()

    run(make_loop, scenario())


def test_what_a_lost_connection_still_says_is_not_heard(make_loop: LoopFactory) -> None:
    async def scenario() -> None:
        async with scripted(serve_well) as port, connected(settings_for(f"nats://127.0.0.1:{port}")) as one:
            await one.listen(b"foo")
            old = one.uplink._connection
            assert old is not None
            one.uplink._lose(old, "a reason")
            old.data_received(b"MSG foo 1 1\r\nx\r\n")
            await until(lambda: one.changes == [False, True])
            old.data_received(b"MSG foo 1 1\r\nx\r\nNONSENSE\r\n")
            old.connection_lost(None)
            assert await one.uplink.sync()
            assert one.listener.runs == [] and one.changes == [False, True]
            assert one.lines[0] == GONE + "a reason"

    run(make_loop, scenario())


def test_another_server_is_tried_at_once(make_loop: LoopFactory) -> None:
    """What clients ask for while nobody listens is lost: only the server that was lost is given time to come back."""

    async def scenario() -> None:
        async with scripted(serve_well) as first, scripted(serve_well) as second:
            settings = settings_for(f"nats://127.0.0.1:{first},nats://127.0.0.1:{second}")
            settings.settled_s, settings.reconnect_wait_s = 0.0, 3600.0
            async with connected(settings) as one:
                await one.listen(b"foo")
                assert one.uplink._connection is not None
                one.uplink._lose(one.uplink._connection, "a reason")
                await until(lambda: one.changes == [False, True])
                assert str(one.uplink.address).endswith(f":{second}")
                assert one.say(b"foo", b"x")
                await one.hears(b"x")

    run(make_loop, scenario())


def test_servers_that_take_us_and_drop_us_in_turn(make_loop: LoopFactory, monkeypatch: pytest.MonkeyPatch) -> None:
    """We do not run between them without a pause."""
    pauses: list[float] = []
    sleep = asyncio.sleep

    async def noted(delay_s: float) -> None:
        pauses.append(delay_s)
        await sleep(0)

    async def drops(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await take(reader, writer)

    async def scenario() -> None:
        async with scripted(drops) as first, scripted(drops) as second:
            settings = settings_for(f"nats://127.0.0.1:{first},nats://127.0.0.1:{second}")
            settings.settled_s, settings.reconnect_wait_s = 3600.0, 1800.0
            monkeypatch.setattr(asyncio, "sleep", noted)
            station = Station(settings)
            await station.start()
            heard = asyncio.Event()
            station.uplink._on_change = lambda is_connected: heard.set() if len(station.lines) >= 8 else None
            async with asyncio.timeout(20):
                await heard.wait()
            await station.uplink.stop()
            monkeypatch.undo()
            lost = sum(line.startswith(GONE) for line in station.lines)
            assert lost >= 4
            assert pauses.count(1800.0) >= lost - 1

    run(make_loop, scenario())
