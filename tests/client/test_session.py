"""The requests of one registration, against a real server and against answers that are none."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from durabus.client import ClientIdInUseError, ConnectError, RequestTimeoutError, SubscriptionRefusedError
from durabus.client.link import new_name, open_link
from durabus.client.options import BusOptions
from durabus.client.servers import parse_servers
from durabus.client.session import Session, is_registered, register
from durabus.wire.client_messages import ConnectResponse
from durabus.wire.operations import Publish
from durabus.wire.stan_messages import SubscriptionRequest, decode_unsubscribe_request
from tests.client.harness import PATIENCE_S, new_channel, new_client_id
from tests.server_process import HOST


def options_for(port: int, **rest: object) -> BusOptions:
    servers = parse_servers(f"nats://{HOST}:{port}")
    return BusOptions(servers, "test-cluster", new_client_id(), **rest)  # type: ignore[arg-type]


@asynccontextmanager
async def registered(options: BusOptions) -> AsyncIterator[Session]:
    link = await open_link(options.servers[0], options)
    try:
        yield await register(link, options, new_name())
    finally:
        await link.close()


def request_for(session: Session, channel: str) -> SubscriptionRequest:
    request = SubscriptionRequest()
    request.subject = channel.encode()
    request.inbox = session.new_inbox()
    request.max_in_flight = 10
    request.ack_wait_s = 30
    return request


async def test_a_session(port: int) -> None:
    options = options_for(port)
    async with registered(options) as session:
        assert await session.ping()
        assert await is_registered(session.link, options, session.connection_id)
        assert not await is_registered(session.link, options, b"somebody else")
        channel = new_channel()
        request = request_for(session, channel)
        ack_inbox = await session.subscribe(request)
        assert ack_inbox.startswith(b"_INBOX.")
        await session.end_subscription(channel.encode(), ack_inbox, b"", removes=False)
        with pytest.raises(SubscriptionRefusedError, match="stan: invalid subscription"):
            await session.end_subscription(channel.encode(), ack_inbox, b"", removes=True)
        await session.close()
        assert not await session.ping()


async def test_heartbeats_are_answered(port: int) -> None:
    """The server asks the one that is there when a newcomer wants its ID, and believes it."""
    options = options_for(port)
    async with registered(options):
        with pytest.raises(ClientIdInUseError):
            async with registered(options):
                pass


async def test_inboxes_differ(port: int) -> None:
    async with registered(options_for(port)) as session:
        assert session.new_inbox() != session.new_inbox()


async def test_a_subscription_whose_answer_got_lost_is_ended(port: int) -> None:
    options = options_for(port, request_timeout_s=0.05)
    link = await open_link(options.servers[0], options)
    heard: asyncio.Future[Publish] = asyncio.get_running_loop().create_future()
    response = ConnectResponse()
    response.subscribe_subject = b"subscribe.here"
    response.subscription_close_subject = b"close.here"
    link.subscribe(b"subscribe.here", lambda run: None)
    link.subscribe(b"close.here", heard.set_result)
    session = Session(link, options, response, b"conn")
    request = request_for(session, "orders")
    with pytest.raises(RequestTimeoutError):
        await session.subscribe(request)
    run = await asyncio.wait_for(heard, PATIENCE_S)
    closing = decode_unsubscribe_request(run.payloads[0])
    assert (closing.subject, closing.inbox, run.reply) == (b"orders", request.inbox, b"")
    await link.close()


@pytest.mark.parametrize(
    ("answer", "complaint"),
    [
        (b"\x2a\x02no", "refused: no"),
        (b"\x08\x01", "none of a streaming server"),
        (b"\xff", "none of a streaming server"),
    ],
)
async def test_answers_to_a_connect_request(port: int, answer: bytes, complaint: str) -> None:
    """Somebody else answers for a cluster of his own."""
    other = options_for(port)
    cluster = new_client_id()
    async with registered(other) as session:
        link = session.link
        link.subscribe(b"_STAN.discover." + cluster.encode(), lambda run: link.publish(run.reply, answer))
        await link.sync(PATIENCE_S)
        options = BusOptions(other.servers, cluster, "me")
        with pytest.raises(ConnectError, match=complaint):
            async with registered(options):
                pass


async def test_a_server_from_before_there_were_pings(port: int) -> None:
    options = options_for(port)
    async with registered(options) as session:
        assert await Session(session.link, options, ConnectResponse(), b"").ping()
