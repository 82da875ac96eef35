"""New options for a broker that runs: who is cut off, who stays, and what holds for newcomers."""

import asyncio
import io
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from durabus.broker.broker import Broker
from durabus.broker.router import Router
from durabus.clock import SystemClock
from durabus.config.options import AuthOptions, LogOptions, Options, Setting, with_settings
from durabus.errors import StartError
from durabus.logs import LogOutput
from durabus.server.network import broker_settings
from durabus.server.reload_broker import BrokerReload, remaining_users

PATIENCE_S = 20


class Running:
    """A broker on a free port, with what reloads it."""

    def __init__(self, settings: dict[str, Setting]) -> None:
        self.options = with_settings(Options(), {"broker.host": "127.0.0.1", "broker.port": 0, **settings})
        self.stream = io.StringIO()
        self.log = LogOutput(LogOptions(with_time=False), self.stream).broker
        self.broker = Broker(broker_settings(self.options, "id"), Router(), SystemClock())
        self.reload = BrokerReload(self.broker, "id", self.options, self.log)
        self.clients: list[Client] = []

    def apply(self, **settings: Setting) -> None:
        named = {name.replace("__", "."): value for name, value in settings.items()}
        self.options = with_settings(self.options, named)
        self.reload.apply(self.options)

    async def client(self, **connect: str) -> "Client":
        reader, writer = await asyncio.open_connection("127.0.0.1", self.broker.settings.port)
        client = Client(reader, writer)
        self.clients.append(client)
        client.info = await client.line()
        fields = ",".join(f'"{name}":"{value}"' for name, value in connect.items())
        client.writer.write(f"CONNECT {{{fields}}}\r\nPING\r\n".encode())
        client.hello = [await client.line(), await client.line()]
        return client


class Client:
    """A connection to it."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader = reader
        self.writer = writer
        self.info = ""
        self.hello: list[str] = []

    async def line(self) -> str:
        return (await asyncio.wait_for(self.reader.readline(), PATIENCE_S)).decode().rstrip()

    async def is_served(self) -> bool:
        self.writer.write(b"PING\r\n")
        return await self.line() == "PONG"

    async def farewell(self) -> str:
        """What it hears before it is cut off."""
        return (await asyncio.wait_for(self.reader.read(), PATIENCE_S)).decode().strip()


@asynccontextmanager
async def running(**settings: Setting) -> AsyncIterator[Running]:
    made = Running({name.replace("__", "."): value for name, value in settings.items()})
    await made.broker.start(lambda: None, made.broker.router.flush)
    try:
        yield made
    finally:
        for client in made.clients:
            client.writer.close()
        await made.broker.stop()


ADMITTED = ["+OK", "PONG"]


async def test_who_is_no_user_any_more_is_cut_off_and_the_others_stay() -> None:
    users = (("ada", "one"), ("bob", "two"), ("cat", "three"))
    async with running(auth__users=users) as server:
        ada, bob, cat = [await server.client(user=user, **{"pass": password}) for user, password in users]
        assert ada.hello == bob.hello == cat.hello == ADMITTED
        server.apply(auth__users=(("ada", "one"), ("bob", "changed"), ("dan", "four")))
        assert await ada.is_served()
        for gone in (bob, cat):
            assert await gone.farewell() == "-ERR 'Authorization Violation'"
        assert (await server.client(user="dan", **{"pass": "four"})).hello == ADMITTED
        assert (await server.client(user="bob", **{"pass": "two"})).hello[0] == "-ERR 'Authorization Violation'"


async def test_a_token_that_changes() -> None:
    async with running(auth__token="one") as server:
        client = await server.client(auth_token="one")
        server.apply(auth__timeout_ns=10**9)
        assert await client.is_served()
        server.apply(auth__token="two")
        assert await client.farewell() == "-ERR 'Authorization Violation'"
        assert (await server.client(auth_token="two")).hello == ADMITTED


async def test_an_open_server_that_is_closed_and_opened_again() -> None:
    async with running() as server:
        anybody = await server.client()
        assert '"auth_required"' not in anybody.info
        server.apply(auth__user="ada", auth__password="one")
        assert await anybody.farewell() == "-ERR 'Authorization Violation'"
        ada = await server.client(user="ada", **{"pass": "one"})
        assert '"auth_required":true' in ada.info
        assert ada.hello == ADMITTED
        server.apply(auth__user="", auth__password="")
        assert await ada.is_served()
        assert (await server.client()).hello == ADMITTED


async def test_fewer_connections() -> None:
    async with running() as server:
        first, second, third = [await server.client() for _ in range(3)]
        server.apply(broker__max_connections=1)
        for gone in (second, third):
            assert await gone.farewell() == "-ERR 'maximum connections exceeded'"
        assert await first.is_served()
        assert "Closed 2 connections to fall within max_connections" in server.stream.getvalue()
        server.apply(broker__max_connections=0)
        assert (await server.client()).hello == ADMITTED


async def test_limits_for_newcomers() -> None:
    async with running() as server:
        former = await server.client()
        server.apply(broker__max_payload_bytes=4, broker__max_control_line_bytes=512)
        newcomer = await server.client()
        assert '"max_payload":4' in newcomer.info
        newcomer.writer.write(b"PUB a 5\r\nhello\r\n")
        assert await newcomer.farewell() == "-ERR 'Maximum Payload Violation'"
        assert await former.is_served()


async def test_times_hold_at_once() -> None:
    async with running() as server:
        client = await server.client()
        server.apply(broker__ping_interval_ns=10**6, broker__ping_max=7, broker__write_deadline_ns=3 * 10**9)
        settings = server.broker.settings
        assert (settings.limits.ping_interval_ns, settings.limits.pings_out_max) == (10**6, 7)
        assert settings.write_deadline_s == 3.0
        assert await client.is_served()


async def test_debug_lines_of_connections_can_be_switched() -> None:
    async with running() as server:
        await server.client()
        server.log.debug_enabled = True
        server.apply(log__broker_debug=True)
        await server.client()
        server.apply(log__broker_debug=False)
        await server.client()
        assert server.stream.getvalue().count("Client connection created") == 1


async def test_traces_can_be_switched_and_cut_off() -> None:
    async with running() as server:
        client = await server.client()
        server.log.trace_enabled = True
        for settings, shown in (
            ({"log__broker_trace": True}, '["hello"]'),
            ({"log__max_traced_message_bytes": 2}, '["he..."]'),
            ({"log__broker_trace": False}, ""),
        ):
            server.apply(**settings)
            before = server.stream.getvalue()
            client.writer.write(b"PUB a 5\r\nhello\r\n")
            assert await client.line() == "+OK"
            told = server.stream.getvalue().removeprefix(before)
            assert (f"<<- MSG_PAYLOAD: {shown}" in told) == bool(shown) == bool(told)


async def test_a_certificate_of_no_use_changes_nothing() -> None:
    async with running() as server:
        client = await server.client()
        with pytest.raises(StartError, match="no such file or directory"):
            server.apply(
                tls__enabled=True, tls__certificate_file="nope.pem", tls__key_file="nope.key", broker__ping_max=9
            )
        assert server.broker.settings.tls is None
        assert server.broker.settings.limits.pings_out_max == 2
        assert await client.is_served()
        assert (await server.client()).hello == ADMITTED


@pytest.mark.parametrize(
    ("former", "now", "stay"),
    [
        (AuthOptions(), AuthOptions(user="a"), set()),
        (AuthOptions(user="a", password="b"), AuthOptions(user="a", password="b"), {"a"}),
        (AuthOptions(user="a", password="b"), AuthOptions(user="a", password="c"), set()),
        (AuthOptions(user="a", password="b"), AuthOptions(users=(("a", "b"), ("c", "d"))), {"a"}),
        (AuthOptions(token="t"), AuthOptions(token="t"), {""}),
        (AuthOptions(token="t"), AuthOptions(token="u"), set()),
        (AuthOptions(token="t"), AuthOptions(user="a"), set()),
        (AuthOptions(user="a"), AuthOptions(token="t"), set()),
    ],
)
def test_who_stays(former: AuthOptions, now: AuthOptions, stay: set[str]) -> None:
    assert remaining_users(former, now) == stay
