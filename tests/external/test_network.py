"""The bus over a real nats-server: what is said is heard, what is lost is made again, and nothing of it ends the bus."""

import asyncio
import signal
from pathlib import Path

import pytest

from durabus.errors import StartError
from durabus.wire.framing import is_no_responders
from tests.external.harness import (
    NAME,
    LoopFactory,
    Station,
    connected,
    open_sockets,
    run,
    settings_for,
    until,
)
from tests.nats_server import closed_port, running_nats_server

GONE = f'[ERR] connection "{NAME}" has been disconnected: '
BACK = f'[INF] connection "{NAME}" reconnected to NATS Server at '


async def back_again(station: Station, times: int = 1) -> None:
    """Wait until the connection was lost and stands again."""
    await until(lambda: station.changes == [False, True] * times, "a new connection")


async def refusal(servers: str) -> str:
    """Why there is no connection."""
    station = Station(settings_for(servers))
    with pytest.raises(StartError) as caught:
        await station.start()
    assert not station.uplink.is_connected()
    await station.uplink.stop()
    return str(caught.value)


def test_what_is_published_is_heard(tmp_path: Path, make_loop: LoopFactory) -> None:
    async def scenario() -> None:
        async with connected(settings_for(server.url)) as one, connected(settings_for(server.url)) as other:
            await one.listen(b"foo.*")
            await other.listen(b"foo.bar")
            assert other.say(b"foo.bar", b"a", b"b", b"", b"\r\nPING\r\n")
            await one.hears(b"a", b"b", b"", b"\r\nPING\r\n")
            await other.hears(b"a", b"b", b"", b"\r\nPING\r\n")
            other.bus.unsubscribe(b"foo.bar")
            one.bus.publish(b"foo.bar", b"_INBOX.x", b"c")
            assert await one.uplink.sync() and await other.uplink.sync()
            assert [(run.subject, run.reply, run.payloads) for run in one.listener.runs] == [
                (b"foo.bar", b"_INBOX.x", [b"c"])
            ]
            assert other.listener.payloads == []
            assert one.lines == other.lines == [] and one.changes == []

    with running_nats_server(tmp_path) as server:
        run(make_loop, scenario())


def test_many_and_large_messages_in_order(tmp_path: Path, make_loop: LoopFactory) -> None:
    sizes = [64 * 1024 - 1, 64 * 1024, 64 * 1024 + 1, 300_000, 1024 * 1024, 0, 1]
    large = [bytes([65 + i]) * size for i, size in enumerate(sizes)]
    small = [b"%05d" % i for i in range(20_000)]

    async def scenario() -> None:
        async with connected(settings_for(server.url)) as one, connected(settings_for(server.url)) as other:
            await one.listen(b"foo")
            assert other.say(b"foo", *large)
            await one.hears(*large)
            assert other.say(b"foo", *small)
            await one.hears(*small)
            assert await other.uplink.sync(), "and what was large did not end the connection"

    with running_nats_server(tmp_path) as server:
        run(make_loop, scenario())


def test_a_head_and_many_bodies(tmp_path: Path, make_loop: LoopFactory) -> None:
    async def scenario() -> None:
        async with connected(settings_for(server.url)) as one:
            await one.listen(b"foo")
            assert one.bus.publish_run(b"foo", b"head:", [b"a", b"bb", b"cc"])
            one.uplink.flush()
            await one.hears(b"head:a", b"head:bb", b"head:cc")

    with running_nats_server(tmp_path) as server:
        run(make_loop, scenario())


def test_nobody_there_to_answer(tmp_path: Path, make_loop: LoopFactory) -> None:
    async def scenario() -> None:
        async with connected(settings_for(server.url)) as one, connected(settings_for(server.url)) as other:
            await one.listen(b"_INBOX.one.*")
            await other.listen(b"somebody")
            assert one.bus.publish(b"nobody", b"_INBOX.one.1", b"are you there?")
            assert one.bus.publish(b"somebody", b"_INBOX.one.2", b"are you there?")
            one.uplink.flush()
            await other.hears(b"are you there?")
            assert other.bus.publish(b"_INBOX.one.2", b"", b"NATS/1.0 503\r\n\r\n")
            other.uplink.flush()
            await until(lambda: len(one.listener.runs) == 2)
            nobody, somebody = one.listener.runs
            assert (nobody.subject, is_no_responders(nobody)) == (b"_INBOX.one.1", True)
            assert (somebody.subject, is_no_responders(somebody)) == (b"_INBOX.one.2", False)
            assert (nobody.header_bytes, nobody.payloads) == (16, [b"NATS/1.0 503\r\n\r\n"])

    with running_nats_server(tmp_path) as server:
        run(make_loop, scenario())


def test_nobody_at_the_address(make_loop: LoopFactory) -> None:
    async def scenario() -> None:
        assert await refusal(f"nats://127.0.0.1:{port}") == "nats: no servers available for connection"
        assert await refusal(f"nats://localhost:{port}") == "nats: no servers available for connection"
        two = f"nats://127.0.0.1:{port},localhost:{port}"
        assert await refusal(two) == "nats: no servers available for connection"
        assert await refusal("nats://no-such-host.invalid:4222") in (
            "dial tcp: lookup no-such-host.invalid: no such host",
            "nats: timeout",
        )

    with closed_port() as port:
        run(make_loop, scenario())


@pytest.mark.row(122)
def test_several_servers_first_down(tmp_path: Path, make_loop: LoopFactory) -> None:
    async def scenario() -> None:
        async with connected(settings_for(f"nats://127.0.0.1:{port}, {server.url}")) as one:
            await one.listen(b"foo")
            assert one.say(b"foo", b"x")
            await one.hears(b"x")
            assert str(one.uplink.address) == server.url

    with running_nats_server(tmp_path) as server, closed_port() as port:
        run(make_loop, scenario())


def test_several_servers_first_refuses(tmp_path: Path, make_loop: LoopFactory) -> None:
    async def scenario() -> None:
        async with connected(settings_for(f"{strict.url},{server.url}")) as one:
            await one.listen(b"foo")
            assert str(one.uplink.address) == server.url
            assert one.lines == []

    with (
        running_nats_server(tmp_path, "authorization { token: secret }") as strict,
        running_nats_server(tmp_path) as server,
    ):
        run(make_loop, scenario())


def test_what_is_refused_says_more_than_what_is_not_there(tmp_path: Path, make_loop: LoopFactory) -> None:
    async def scenario() -> None:
        refused = "nats: Authorization Violation"
        assert await refusal(f"{strict.url},nats://127.0.0.1:{port}") == refused
        assert await refusal(f"nats://127.0.0.1:{port},{strict.url}") == refused

    with running_nats_server(tmp_path, "authorization { token: secret }") as strict, closed_port() as port:
        run(make_loop, scenario())


USER = 'authorization { user: "jane", password: "p:w/@ %" }'
TOKEN = 'authorization { token: "s3cret" }'
ESCAPED = "p%3Aw%2F%40%20%25"


@pytest.mark.parametrize(
    ("configuration", "in_url", "settings", "is_taken"),
    [
        (USER, f"jane:{ESCAPED}@", {}, True),
        (USER, "", {"user": "jane", "password": "p:w/@ %"}, True),
        (USER, f"jane:{ESCAPED}@", {"user": "joe", "password": "wrong"}, True),
        (USER, "joe:wrong@", {"user": "jane", "password": "p:w/@ %"}, False),
        (USER, "jane:wrong@", {}, False),
        (USER, "jane@", {}, False),
        (USER, "", {"token": "s3cret"}, False),
        (USER, "", {}, False),
        (TOKEN, "s3cret@", {}, True),
        (TOKEN, "", {"token": "s3cret"}, True),
        (TOKEN, "s3cret@", {"token": "wrong"}, True),
        (TOKEN, "wrong@", {"token": "s3cret"}, False),
        (TOKEN, "", {"user": "jane", "password": "s3cret"}, False),
        (TOKEN, "", {}, False),
        ("", "jane:any@", {}, True),
    ],
)
def test_credentials(
    tmp_path: Path, configuration: str, in_url: str, settings: dict[str, str], is_taken: bool, make_loop: LoopFactory
) -> None:
    async def scenario() -> None:
        chosen = settings_for(f"nats://{in_url}127.0.0.1:{server.port}")
        for name, value in settings.items():
            setattr(chosen, name, value)
        station = Station(chosen)
        if is_taken:
            await station.start()
            await station.listen(b"foo")
            assert await station.uplink.sync()
        else:
            with pytest.raises(StartError, match=r"^nats: Authorization Violation$"):
                await station.start()
            assert not station.bus.is_open()
        await station.uplink.stop()
        assert station.lines == []

    with running_nats_server(tmp_path, configuration) as server:
        run(make_loop, scenario())


def test_a_full_server(tmp_path: Path, make_loop: LoopFactory) -> None:
    async def scenario() -> None:
        async with connected(settings_for(server.url)):
            assert await refusal(server.url) == "nats: maximum connections exceeded"

    with running_nats_server(tmp_path, "max_connections: 1") as server:
        run(make_loop, scenario())


@pytest.mark.row(79)
def test_killed_and_started_again(tmp_path: Path, make_loop: LoopFactory) -> None:
    async def scenario() -> None:
        async with connected(settings_for(server.url)) as one:
            await one.listen(b"foo")
            await one.listen(b"old")
            for life in range(1, 4):
                one.bus.publish(b"foo", b"", b"never sent")
                server.kill()
                await until(lambda: not one.bus.is_open())
                assert not one.say(b"foo", b"refused"), "nobody keeps what cannot leave"
                assert not one.bus.publish(b"foo", b"", b"refused")
                assert not await one.uplink.sync()
                one.bus.unsubscribe(b"old" if life == 1 else b"new%d" % (life - 1))
                one.bus.subscribe(b"new%d" % life, one.listener)
                await asyncio.sleep(0.1)
                server.start()
                await back_again(one, life)
                assert one.bus.output_bytes == 0 or await one.uplink.sync()
                assert one.say(b"old", b"-") and one.say(b"new%d" % life, b"1") and one.say(b"foo", b"2")
                await one.hears(b"1", b"2")
            assert one.lines == [GONE + "EOF", f'{BACK}"{server.url}"'] * 3

    with running_nats_server(tmp_path) as server:
        run(make_loop, scenario())


def test_killed_with_much_under_way(tmp_path: Path, make_loop: LoopFactory) -> None:
    """The end may come as a reset instead of an end of file: it does not matter which."""

    async def scenario() -> None:
        async with connected(settings_for(server.url)) as one:
            await one.listen(b"foo")
            for _ in range(50):
                assert one.say(b"foo", *[bytes(100_000)] * 10)
            server.kill()
            await until(lambda: one.changes == [False])
            server.start()
            await back_again(one)
            one.listener.runs.clear()
            assert one.say(b"foo", b"new")
            await one.hears(b"new")

    with running_nats_server(tmp_path) as server:
        run(make_loop, scenario())


def test_moves_on_to_the_next_server(tmp_path: Path, make_loop: LoopFactory) -> None:
    async def scenario() -> None:
        async with connected(settings_for(f"{first.url},nats://127.0.0.1:{port},{second.url}")) as one:
            await one.listen(b"foo")
            first.kill()
            await back_again(one)
            assert str(one.uplink.address) == second.url
            second.kill()
            first.start()
            await back_again(one, 2)
            assert str(one.uplink.address) == first.url
            assert one.say(b"foo", b"x")
            await one.hears(b"x")

    with running_nats_server(tmp_path) as first, running_nats_server(tmp_path) as second, closed_port() as port:
        run(make_loop, scenario())


@pytest.mark.row(122)
def test_refused_after_the_restart(tmp_path: Path, make_loop: LoopFactory) -> None:
    """Said once, not four times a second; and when the old password holds again, all is well again."""

    async def scenario() -> None:
        async with connected(settings_for(f"nats://jane:hidden@127.0.0.1:{server.port}")) as one:
            server.kill()
            server.configure("authorization { user: jane, password: other }")
            server.start()
            refused = f'[ERR] connection "{NAME}" cannot be made again yet: nats: Authorization Violation'
            await until(lambda: refused in one.lines)
            await asyncio.sleep(0.2)
            assert one.lines == [GONE + "EOF", refused]
            server.kill()
            server.configure("authorization { user: jane, password: hidden }")
            server.start()
            await back_again(one)
            assert one.lines[-1] == f'{BACK}"nats://[REDACTED]@127.0.0.1:{server.port}"'
            assert "hidden" not in "\n".join(one.lines) and "jane" not in "\n".join(one.lines)

    with running_nats_server(tmp_path, "authorization { user: jane, password: hidden }") as server:
        run(make_loop, scenario())


def test_a_server_that_stands_still(tmp_path: Path, make_loop: LoopFactory) -> None:
    async def scenario() -> None:
        settings = settings_for(server.url)
        settings.ping_interval_s = 0.05
        settings.connect_timeout_s = 0.2
        async with connected(settings) as one:
            await one.listen(b"foo")
            await asyncio.sleep(0.5)
            assert one.changes == [], "a server that answers is not lost"
            server.signal(signal.SIGSTOP)
            await until(lambda: one.changes == [False])
            await asyncio.sleep(0.5)
            assert one.lines == [
                GONE + "nats: stale connection",
                f'[ERR] connection "{NAME}" cannot be made again yet: nats: timeout',
            ]
            server.signal(signal.SIGCONT)
            await back_again(one)
            assert one.say(b"foo", b"x")
            await one.hears(b"x")

    with running_nats_server(tmp_path) as server:
        run(make_loop, scenario())


def test_too_large_for_the_server(tmp_path: Path, make_loop: LoopFactory) -> None:
    async def scenario() -> None:
        async with connected(settings_for(server.url)) as one:
            await one.listen(b"foo")
            assert one.say(b"foo", b"x" * 1000)
            assert not one.say(b"foo", b"x" * 1001)
            assert not one.bus.publish(b"foo", b"", b"x" * 1001)
            assert not one.bus.publish_run(b"foo", b"12345", [b"a", b"x" * 996, b"b"])
            assert await one.uplink.sync()
            await one.hears(b"x" * 1000, b"12345a", b"12345b")
            assert one.changes == []
            assert one.lines == [
                f'[ERR] connection "{NAME}": nats: maximum payload exceeded: a message to foo (more than 1000 bytes)'
            ]
            server.kill()
            server.configure("max_payload: 2000")
            server.start()
            await back_again(one)
            assert one.say(b"foo", b"x" * 2000) and not one.say(b"foo", b"x" * 2001)
            await one.hears(b"x" * 2000)

    with running_nats_server(tmp_path, "max_payload: 1000") as server:
        run(make_loop, scenario())


def test_inboxes_that_are_no_subjects(tmp_path: Path, make_loop: LoopFactory) -> None:
    """What a client calls its inbox must not become an operation of ours."""

    async def scenario() -> None:
        async with connected(settings_for(server.url)) as one:
            await one.listen(b"foo")
            for subject in (b"", b"foo 1", b"foo 1\r\nx\r\nPUB foo", b"foo\tx", b"x\n", b"x" * 5000):
                assert not one.say(subject, b"1")
                assert not one.bus.publish(b"bar", subject or b"a b", b"1")
                one.bus.subscribe(subject, one.listener)
            assert one.say(b"foo.*.>..x", b"strange, but the server takes it")
            assert one.say(b"x" * 4000, b"long, but it has a place")
            assert one.say(b"foo", b"x")
            await one.hears(b"x")
            assert await one.uplink.sync()
            assert one.changes == [] and one.lines == []

    with running_nats_server(tmp_path) as server:
        run(make_loop, scenario())


def test_what_is_not_permitted(tmp_path: Path, make_loop: LoopFactory) -> None:
    configuration = """authorization { users = [
        {user: jane, password: pw, permissions: {publish: ["foo"], subscribe: {deny: "secret"}}} ] }"""

    async def scenario() -> None:
        async with connected(settings_for(f"nats://jane:pw@127.0.0.1:{server.port}")) as one:
            await one.listen(b"foo")
            await one.listen(b"secret")
            for _ in range(3):
                one.say(b"bar", b"x")
            assert one.say(b"foo", b"x")
            await one.hears(b"x")
            assert [line.replace('"', "'") for line in one.lines] == [
                f"[ERR] connection '{NAME}': nats: Permissions Violation for Subscription to 'secret'",
                f"[ERR] connection '{NAME}': nats: Permissions Violation for Publish to 'bar'",
            ]
            assert one.changes == []

    with running_nats_server(tmp_path, configuration) as server:
        run(make_loop, scenario())


def test_a_server_that_leaves_a_cluster(tmp_path: Path, make_loop: LoopFactory) -> None:
    """In lame duck mode it tells who else is there, closes, and we are with another that nobody told us of."""
    common = "lame_duck_duration: 30s, lame_duck_grace_period: 100ms, authorization { token: secret }\n"

    async def scenario() -> None:
        async with connected(settings_for(f"nats://secret@127.0.0.1:{first.port}")) as one:
            await one.listen(b"foo")
            await until(lambda: str(second.port).encode() in one.bus.info, "word of the other server")
            first.signal(signal.SIGUSR2)
            await back_again(one)
            assert str(one.uplink.address) == f"nats://[REDACTED]@127.0.0.1:{second.port}"
            assert b'"ldm":true' not in one.bus.info
            assert one.say(b"foo", b"x")
            await one.hears(b"x")

    with running_nats_server(tmp_path, common + 'cluster { name: a, listen: "127.0.0.1:-1" }') as first:
        routes = first.wait_line("Listening for route connections on").rpartition(":")[2]
        joining = f'cluster {{ name: a, listen: "127.0.0.1:-1", routes: ["nats-route://127.0.0.1:{routes}"] }}'
        with running_nats_server(tmp_path, common + joining) as second:
            run(make_loop, scenario())


def test_nothing_is_left_open(tmp_path: Path, make_loop: LoopFactory) -> None:
    async def scenario() -> None:
        before = open_sockets()
        station = Station(settings_for(server.url))
        await station.start()
        await station.listen(b"foo")
        assert open_sockets() == before + 1
        station.bus.publish_run(b"foo", b"", [b"x" * 100_000] * 100)
        await station.uplink.stop()
        assert open_sockets() == before
        assert station.changes == [] and station.lines == [] and station.listener.runs == []
        await station.uplink.stop()

    async def heard_by_others() -> None:
        async with connected(settings_for(server.url)) as other:
            await other.listen(b"foo")
            station = Station(settings_for(server.url))
            await station.start()
            assert station.bus.publish_run(b"foo", b"", [b"%05d" % i for i in range(10_000)])
            await station.uplink.stop()
            await other.hears(*(b"%05d" % i for i in range(10_000)))

    with running_nats_server(tmp_path) as server:
        run(make_loop, scenario())
        run(make_loop, heard_by_others())


def test_stopped_while_it_looks_for_a_server(tmp_path: Path, make_loop: LoopFactory) -> None:
    async def scenario() -> None:
        settings = settings_for(server.url)
        settings.reconnect_wait_s = 0.0
        station = Station(settings)
        await station.start()
        server.kill()
        await until(lambda: station.changes == [False])
        await station.uplink.stop()
        assert not station.uplink.is_connected()

    with running_nats_server(tmp_path) as server:
        run(make_loop, scenario())


def test_stopped_while_the_server_stands_still(tmp_path: Path, make_loop: LoopFactory) -> None:
    async def scenario() -> None:
        station = Station(settings_for(server.url))
        await station.start()
        server.signal(signal.SIGSTOP)
        assert station.bus.publish_run(b"foo", b"", [b"x" * 1_000_000] * 20)
        async with asyncio.timeout(10):
            await station.uplink.stop()

    with running_nats_server(tmp_path) as server:
        run(make_loop, scenario())
