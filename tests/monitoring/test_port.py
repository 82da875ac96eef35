"""The monitoring port on real sockets, asked by a real HTTP client."""

import asyncio
import contextlib
import http.client
import json
import signal
import socket
import ssl
import subprocess
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from durabus.errors import StartError
from durabus.monitoring import web
from durabus.monitoring.port import MonitoringError, MonitoringPort
from durabus.monitoring.state import StateSource
from tests.monitoring.certificates import make_certificate, server_context
from tests.monitoring.sources import IDENTITY, BrokenSource, FixedSource

LOCAL = "127.0.0.1"


@asynccontextmanager
async def running(source: StateSource, reported: list[str] | None = None) -> AsyncIterator[MonitoringPort]:
    """A port that is served for the length of a block."""
    port = MonitoringPort(LOCAL, 0, source, (reported if reported is not None else []).append)
    port.open()
    async with asyncio.TaskGroup() as tasks:
        tasks.create_task(port.serve())
        try:
            yield port
        finally:
            port.stop()


def request(port: int, method: str, path: str) -> tuple[int, dict[str, str], bytes]:
    connection = http.client.HTTPConnection(LOCAL, port, timeout=10)
    try:
        connection.request(method, path)
        response = connection.getresponse()
        return response.status, {name.lower(): value for name, value in response.getheaders()}, response.read()
    finally:
        connection.close()


async def get(port: MonitoringPort, path: str, method: str = "GET") -> tuple[int, dict[str, str], bytes]:
    return await asyncio.to_thread(request, port.port, method, path)


async def test_documents_over_http() -> None:
    async with running(FixedSource()) as port:
        status, headers, body = await get(port, "/streaming/serverz")
        assert (status, headers["content-type"]) == (200, "application/json")
        assert headers["content-length"] == str(len(body))
        assert "server" not in headers
        assert json.loads(body)["server_id"] == IDENTITY.server_id
        assert body.startswith(b'{\n  "cluster_id": "test-cluster",\n')
        assert (await get(port, "/streaming/serverz?callback=a%3Cb"))[2].startswith(b"a<b({\n")
        assert (await get(port, "/healthz"))[::2] == (200, b'{"status":"ok"}')
        assert (await get(port, "/nope"))[::2] == (404, b"404 page not found\n")


async def test_the_state_is_asked_each_time() -> None:
    source = FixedSource(ready=False)
    async with running(source) as port:
        assert (await get(port, "/healthz"))[0] == 503
        source.ready = True
        assert (await get(port, "/healthz"))[0] == 200


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "OPTIONS"])
async def test_the_method_is_not_looked_at(method: str) -> None:
    async with running(FixedSource()) as port:
        assert (await get(port, "/healthz", method))[::2] == (200, b'{"status":"ok"}')


async def test_head_has_the_length_and_no_body() -> None:
    async with running(FixedSource()) as port:
        status, headers, body = await get(port, "/healthz", "HEAD")
        assert (status, headers["content-length"], body) == (200, "15", b"")


async def test_a_bug_in_a_document_is_one_line(capfd: pytest.CaptureFixture[str]) -> None:
    reported: list[str] = []
    async with running(BrokenSource(), reported) as port:
        assert (await get(port, "/streaming/serverz"))[0] == 500
        assert (await get(port, "/healthz"))[0] == 500
    assert len(reported) == 2
    assert capfd.readouterr() == ("", "")


async def test_garbage_gets_an_error_and_no_noise(
    capfd: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture
) -> None:
    async with running(FixedSource()) as port:
        reader, writer = await asyncio.open_connection(LOCAL, port.port)
        writer.write(b"\x00\xff this is not HTTP\r\n\r\n")
        assert (await reader.read()).startswith(b"HTTP/1.1 400 ")
        writer.close()
        await writer.wait_closed()
        assert (await get(port, "/healthz"))[0] == 200
    assert caplog.records == []
    assert capfd.readouterr() == ("", "")


async def test_connections_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(web, "CONNECTIONS_MAX", 2)
    async with running(FixedSource()) as port:
        await port.wait_serving()
        kept = []
        for _ in range(2):
            reader, writer = await asyncio.open_connection(LOCAL, port.port)
            writer.write(b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n")
            assert (await reader.readline()).startswith(b"HTTP/1.1 200")
            kept.append(writer)
        reader, writer = await asyncio.open_connection(LOCAL, port.port)
        with pytest.raises((ConnectionError, asyncio.IncompleteReadError)):
            await reader.readexactly(1)
        for connection in [*kept, writer]:
            connection.close()


async def test_a_connection_that_asks_nothing_is_closed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(web, "IDLE_S_MAX", 0)
    async with running(FixedSource()) as port:
        reader, writer = await asyncio.open_connection(LOCAL, port.port)
        assert await reader.read() == b""
        writer.close()


async def test_requests_wait_until_http_is_loaded() -> None:
    port = MonitoringPort(LOCAL, 0, FixedSource(), print)
    port.open()
    reader, writer = await asyncio.open_connection(LOCAL, port.port)
    writer.write(b"GET /healthz HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
    serving = asyncio.create_task(port.serve())
    await port.wait_serving()
    assert (await reader.read()).endswith(b'{"status":"ok"}')
    writer.close()
    port.stop()
    await serving


async def test_stop_closes_the_port_also_with_idle_connections() -> None:
    async with running(FixedSource()) as port:
        reader, writer = await asyncio.open_connection(LOCAL, port.port)
        writer.write(b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n")
        await reader.readuntil(b"}")
    assert await reader.read() == b""
    writer.close()
    with pytest.raises(ConnectionError):
        await asyncio.open_connection(LOCAL, port.port)


async def test_stop_before_serve_is_fine() -> None:
    port = MonitoringPort(LOCAL, 0, FixedSource(), print)
    port.open()
    port.stop()
    await port.serve()
    with pytest.raises(ConnectionError):
        await asyncio.open_connection(LOCAL, port.port)


async def test_a_port_that_is_never_served_can_be_closed() -> None:
    port = MonitoringPort(LOCAL, 0, FixedSource(), print)
    port.close()
    port.open()
    port.close()
    with pytest.raises(ConnectionError):
        await asyncio.open_connection(LOCAL, port.port)


async def test_cancelling_serve_closes_the_port() -> None:
    port = MonitoringPort(LOCAL, 0, FixedSource(), print)
    port.open()
    serving = asyncio.create_task(port.serve())
    await port.wait_serving()
    serving.cancel()
    with pytest.raises(asyncio.CancelledError):
        await serving
    with pytest.raises(ConnectionError):
        await asyncio.open_connection(LOCAL, port.port)


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    return make_certificate(tmp_path_factory.mktemp("tls"))


@asynccontextmanager
async def running_https(certificate: tuple[Path, Path]) -> AsyncIterator[MonitoringPort]:
    port = MonitoringPort(LOCAL, 0, FixedSource(), print, tls=server_context(*certificate), base_path="/nats")
    port.open()
    async with asyncio.TaskGroup() as tasks:
        tasks.create_task(port.serve())
        await port.wait_serving()
        try:
            yield port
        finally:
            port.stop()


def request_https(port: int, path: str, authority: Path) -> tuple[int, bytes]:
    context = ssl.create_default_context(cafile=authority)
    connection = http.client.HTTPSConnection(LOCAL, port, timeout=10, context=context)
    try:
        connection.request("GET", path)
        response = connection.getresponse()
        return response.status, response.read()
    finally:
        connection.close()


@pytest.mark.row(138)
async def test_documents_over_https(certificate: tuple[Path, Path]) -> None:
    async with running_https(certificate) as port:
        status, body = await asyncio.to_thread(request_https, port.port, "/streaming/serverz", certificate[0])
        assert (status, json.loads(body)["server_id"]) == (200, IDENTITY.server_id)
        status, body = await asyncio.to_thread(request_https, port.port, "/nats/varz", certificate[0])
        assert (status, json.loads(body)["http_base_path"]) == (200, "/nats")


async def test_who_does_not_speak_tls_is_sent_away_without_noise(
    certificate: tuple[Path, Path], capfd: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture
) -> None:
    async with running_https(certificate) as port:
        reader, writer = await asyncio.open_connection(LOCAL, port.port)
        writer.write(b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n")
        with contextlib.suppress(ConnectionError):
            assert b"200" not in await reader.read()
        writer.close()
        assert (await asyncio.to_thread(request_https, port.port, "/nats/healthz", certificate[0]))[0] == 200
    assert caplog.records == []
    assert capfd.readouterr() == ("", "")


async def test_a_handshake_has_its_time(certificate: tuple[Path, Path], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(web, "IDLE_S_MAX", 0.05)
    async with running_https(certificate) as port:
        reader, writer = await asyncio.open_connection(LOCAL, port.port)
        async with asyncio.timeout(10):
            with contextlib.suppress(ConnectionError):
                assert await reader.read() == b""
        writer.close()


async def test_signals_stay_with_their_owner() -> None:
    before = [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)]
    async with running(FixedSource()) as port:
        await port.wait_serving()
        assert [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)] == before


def test_an_occupied_port_is_one_clear_line() -> None:
    with socket.create_server((LOCAL, 0)) as taken:
        number = taken.getsockname()[1]
        with pytest.raises(MonitoringError) as caught:
            MonitoringPort(LOCAL, number, FixedSource(), print).open()
    assert str(caught.value) == (
        f"Can't start monitoring: can't listen to the monitor port: "
        f"listen tcp {LOCAL}:{number}: bind: address already in use"
    )
    assert isinstance(caught.value, StartError)


def test_a_host_that_is_none() -> None:
    with pytest.raises(MonitoringError, match=r"listen tcp: lookup 1\.2\.3\.4\.5: no such host"):
        MonitoringPort("1.2.3.4.5", 8222, FixedSource(), print).open()


def test_nothing_slow_is_imported_before_it_serves() -> None:
    script = (
        "import sys; from durabus.monitoring.port import MonitoringPort; "
        "print([name for name in ('uvicorn', 'starlette', 'h11') if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
