"""One connection to a NATS server, against scripted servers that do what no real one would, and TLS and credentials."""

import asyncio
import ssl
from pathlib import Path

import pytest

from durabus.client import ConnectError, NotAuthorizedError
from durabus.client.link import LinkLostError, NoRespondersError, new_name, open_link
from durabus.client.options import BusOptions
from durabus.client.servers import parse_servers
from durabus.wire.operations import Publish
from tests.client.harness import PATIENCE_S, collect, connect, new_channel, ours
from tests.external.certificates import Certificates, make_certificates
from tests.external.scripted import INFO, says, scripted, serve_well, take
from tests.nats_server import running_nats_server
from tests.server_process import HOST, running_server


def options_for(url: str, **rest: object) -> BusOptions:
    return BusOptions(parse_servers(url), "test-cluster", "me", **rest)  # type: ignore[arg-type]


async def open_to(port: int, **rest: object):  # type: ignore[no-untyped-def] # noqa: ANN201
    options = options_for(f"nats://{HOST}:{port}", **rest)
    return await open_link(options.servers[0], options)


async def test_messages_go_both_ways(port: int) -> None:
    link = await open_to(port)
    came: list[Publish] = []
    heard = asyncio.Event()

    def receive(run: Publish) -> None:
        came.append(run)
        heard.set()

    sid = link.subscribe(b"news.*", receive)
    link.publish(b"news.today", b"sun")
    link.publish(b"news.today", b"rain")
    await asyncio.wait_for(heard.wait(), PATIENCE_S)
    assert [(run.subject, payload) for run in came for payload in run.payloads] == [
        (b"news.today", b"sun"),
        (b"news.today", b"rain"),
    ][: sum(len(run.payloads) for run in came)]
    link.unsubscribe(sid)
    link.unsubscribe(sid)
    link.publish(b"news.today", b"unheard")
    await link.sync(PATIENCE_S)
    assert b"unheard" not in [payload for run in came for payload in run.payloads]
    await link.close()
    assert link.lost.done()


async def test_requests(port: int) -> None:
    link = await open_to(port)
    link.subscribe(b"service", lambda run: link.publish(run.reply, b"answer to " + run.payloads[0]))
    answers = await asyncio.gather(*(link.request(b"service", b"%d" % n, PATIENCE_S) for n in range(5)))
    assert answers == [b"answer to %d" % n for n in range(5)]
    with pytest.raises(NoRespondersError):
        await link.request(b"nobody", b"", PATIENCE_S)
    link.subscribe(b"silent", lambda run: None)
    with pytest.raises(TimeoutError):
        await link.request(b"silent", b"", 0.01)
    asking = asyncio.create_task(link.request(b"silent", b"", PATIENCE_S))
    await asyncio.sleep(0)
    link.abort("a test cut it")
    with pytest.raises(LinkLostError, match="a test cut it"):
        await asking
    with pytest.raises(LinkLostError):
        await link.request(b"silent", b"", PATIENCE_S)
    with pytest.raises(LinkLostError):
        await link.sync(PATIENCE_S)


async def test_a_link_that_is_lost_while_somebody_syncs() -> None:
    async with scripted(serve_well) as port:
        link = await open_to(port)
        syncing = asyncio.create_task(link.sync(PATIENCE_S))
        await asyncio.sleep(0)
        link.abort("a test cut it")
        with pytest.raises(LinkLostError):
            await syncing


@pytest.mark.parametrize(
    ("words", "complaint"),
    [
        (b"HTTP/1.1 400 Bad Request\r\n\r\n", "not a NATS server's words"),
        (b"INFO nonsense\r\n", "its INFO is not understood"),
        (INFO + b"-ERR 'maximum connections exceeded'\r\n", "maximum connections exceeded"),
    ],
)
async def test_servers_that_are_none(words: bytes, complaint: str) -> None:
    async with scripted(says(words)) as port:
        with pytest.raises(ConnectError, match=complaint):
            await open_to(port)


async def test_a_server_that_hangs_up() -> None:
    async with scripted(says(INFO, then_closes=True)) as port:
        with pytest.raises(ConnectError, match="is lost"):
            await open_to(port)


async def test_credentials_beside_the_url_and_in_it(tmp_path: Path) -> None:
    with running_nats_server(tmp_path, "authorization { user: jo, password: s3cret }") as server:
        place = f"{HOST}:{server.port}"
        for options in (
            options_for(f"nats://{place}", user="jo", password="s3cret"),
            options_for(f"nats://jo:s3cret@{place}", user="other", password="wrong"),
        ):
            link = await open_link(options.servers[0], options)
            await link.close()
        wrong = options_for(f"nats://jo:wrong@{place}")
        with pytest.raises(NotAuthorizedError) as caught:
            await open_link(wrong.servers[0], wrong)
        assert "wrong" not in str(caught.value)


async def test_a_token(tmp_path: Path) -> None:
    with running_nats_server(tmp_path, "authorization { token: s3cret }") as server:
        link = await open_to(server.port, token="s3cret")
        await link.close()
        with pytest.raises(NotAuthorizedError):
            await open_to(server.port)


@pytest.fixture(scope="module")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> Certificates:
    return make_certificates(tmp_path_factory.mktemp("certificates"))


def tls_flags(certificates: Certificates) -> tuple[str, ...]:
    server = certificates.server
    return ("--tls", "--tlscert", str(server), "--tlskey", str(certificates.key(server)))


@ours
async def test_tls(certificates: Certificates) -> None:
    trusting = ssl.create_default_context(cafile=certificates.authority)
    trusting.verify_flags &= ~ssl.VERIFY_X509_STRICT
    with running_server(*tls_flags(certificates)) as server:
        channel = new_channel()
        async with connect(server.port, tls=trusting) as bus:
            subscription = await bus.subscribe(channel)
            await bus.publish(channel, b"secret")
            assert [message.data for message in await collect(subscription, 1)] == [b"secret"]
        with pytest.raises(ConnectError, match="cannot be reached"):
            await open_to(server.port)  # the system does not trust that authority
        with pytest.raises(ConnectError, match="cannot be reached"):
            await open_to(server.port, tls=trusting, tls_server_name="bus.example")


async def test_a_server_without_tls_is_refused_by_who_wants_it(port: int) -> None:
    options = options_for(f"tls://{HOST}:{port}")
    with pytest.raises(ConnectError, match="does not offer TLS"):
        await open_link(options.servers[0], options)


async def test_other_servers_of_the_cluster_are_learned() -> None:
    info = b'INFO {"server_id":"x","max_payload":99,"connect_urls":["10.0.0.1:4222","10.0.0.2:4333","not one"]} \r\n'

    async def script(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await take(reader, writer, info)
        await reader.read()

    async with scripted(script) as port:
        link = await open_to(port)
        assert [(other.host, other.port) for other in link.others] == [("10.0.0.1", 4222), ("10.0.0.2", 4333)]
        assert link.payload_bytes_max == 99
        await link.close()


def test_names_are_letters_and_digits() -> None:
    names = {new_name() for _ in range(100)}
    assert len(names) == 100
    assert all(name.isalnum() and len(name) == 22 for name in names)
