"""One registration with a streaming server, on one link: the requests of docs/protocol.md §4, and their answers.

A session is made anew after every loss. Each has a heartbeat inbox and a connection ID of its own, so that nothing that
is left of an older one is taken for this one.
"""

import asyncio

from durabus.client.errors import (
    ClientIdInUseError,
    ConnectError,
    DurableInUseError,
    RequestTimeoutError,
    SubscriptionRefusedError,
)
from durabus.client.link import Link, LinkLostError, NoRespondersError
from durabus.client.options import BusOptions
from durabus.wire.client_messages import (
    PING_ERROR,
    SUBSCRIPTION_ERROR,
    ConnectResponse,
    decode_connect_answer,
    decode_error,
    decode_subscription_answer,
    encode_connect,
    encode_ping,
    encode_subscription,
    encode_unsubscribe,
)
from durabus.wire.operations import Publish
from durabus.wire.stan_messages import ConnectRequest, DecodeError, SubscriptionRequest, encode_close_request

__all__ = ["Session", "is_registered", "register"]

_DUPLICATE_ID = "stan: clientID already registered"
_DUPLICATE_DURABLE = "stan: duplicate durable registration"


class Session:
    """A registration that stands, as far as we know."""

    def __init__(self, link: Link, options: BusOptions, response: ConnectResponse, connection_id: bytes) -> None:
        """Keep what the server told."""
        self.link = link
        self.connection_id = connection_id
        self.publish_prefix = response.publish_prefix
        self.ack_prefix = link.inbox + b".a"
        self._response = response
        self._options = options
        self._client_id = options.client_id.encode()
        self._inbox_last = 0

    def new_inbox(self) -> bytes:
        """An inbox for a subscription."""
        self._inbox_last += 1
        return self.link.inbox + b".s.%d" % self._inbox_last

    async def _ask(self, subject: bytes, payload: bytes, what: str) -> bytes:
        try:
            return await self.link.request(subject, payload, self._options.request_timeout_s)
        except TimeoutError:
            raise RequestTimeoutError(f"no answer to the request to {what}") from None

    async def ping(self) -> bool:
        """Whether the server knows this session; raises RequestTimeoutError, LinkLostError, NoRespondersError."""
        if not self._response.ping_subject:
            return True  # a server from before there were pings
        answer = await self._ask(self._response.ping_subject, encode_ping(self.connection_id), "ping")
        return not decode_error(answer, PING_ERROR)

    async def subscribe(self, request: SubscriptionRequest) -> bytes:
        """Begin a subscription; its ack inbox. Raises SubscriptionRefusedError and what `ping` raises."""
        what = f"subscribe to {request.subject.decode()!r}"
        request.client_id = self._client_id
        try:
            answer = decode_subscription_answer(
                await self._ask(self._response.subscribe_subject, encode_subscription(request), what)
            )
        except DecodeError as error:
            raise SubscriptionRefusedError(what, f"an answer that is none: {error}") from None
        except (RequestTimeoutError, asyncio.CancelledError):
            # It may be there all the same: end it by the only name that we know (docs/protocol.md §5.7).
            subject = self._response.subscription_close_subject
            self.link.publish(subject, encode_unsubscribe(self._client_id, request.subject, request.inbox, b""))
            raise
        if answer.error:
            kind = DurableInUseError if answer.error == _DUPLICATE_DURABLE else SubscriptionRefusedError
            raise kind(what, answer.error)
        return answer.ack_inbox

    async def end_subscription(self, channel: bytes, ack_inbox: bytes, durable_name: bytes, removes: bool) -> None:
        """Close a subscription, or (`removes`) unsubscribe. Raises SubscriptionRefusedError and what `ping` raises."""
        response = self._response
        subject = response.unsubscribe_subject if removes else response.subscription_close_subject
        what = f"{'unsubscribe from' if removes else 'close the subscription to'} {channel.decode()!r}"
        answer = await self._ask(subject, encode_unsubscribe(self._client_id, channel, ack_inbox, durable_name), what)
        error = decode_error(answer, SUBSCRIPTION_ERROR)
        if error:
            raise SubscriptionRefusedError(what, error)

    async def close(self) -> None:
        """Take our leave; raises RequestTimeoutError, LinkLostError, NoRespondersError."""
        await self._ask(self._response.close_subject, encode_close_request(self._client_id), "close the client")


async def is_registered(link: Link, options: BusOptions, connection_id: bytes) -> bool:
    """Whether the server knows the session with this connection ID; raises ConnectError when nobody answers."""
    subject = b"_STAN.discover.%b.pings" % options.cluster_id.encode()
    try:
        answer = await link.request(subject, encode_ping(connection_id), options.request_timeout_s)
    except (TimeoutError, NoRespondersError, LinkLostError) as error:
        raise ConnectError(f"no streaming server of cluster {options.cluster_id!r} answers at {link.server}") from error
    return not decode_error(answer, PING_ERROR)


async def register(link: Link, options: BusOptions, connection_id: bytes) -> Session:
    """Register the client, under a connection ID that was never used before; raises ConnectError: ClientIdInUseError when another one answers under its ID."""
    heartbeats = link.inbox + b".h"

    def answer_heartbeat(run: Publish) -> None:
        if run.reply:
            link.publish(run.reply, b"")

    link.subscribe(heartbeats, answer_heartbeat)
    request = ConnectRequest()
    request.client_id = options.client_id.encode()
    request.heartbeat_inbox = heartbeats
    request.protocol = 1
    request.connection_id = connection_id
    request.ping_interval_s = max(1, round(options.ping_interval_s))
    request.ping_out_max = max(2, options.pings_out_max)
    subject = b"_STAN.discover." + options.cluster_id.encode()
    try:
        response = decode_connect_answer(
            await link.request(subject, encode_connect(request), options.request_timeout_s)
        )
    except (TimeoutError, NoRespondersError, LinkLostError) as error:
        raise ConnectError(f"no streaming server of cluster {options.cluster_id!r} answers at {link.server}") from error
    except DecodeError as error:
        raise ConnectError(f"the answer of {link.server} is none of a streaming server: {error}") from error
    if response.error == _DUPLICATE_ID:
        raise ClientIdInUseError(f"client ID {options.client_id!r}: {response.error}")
    if response.error:
        raise ConnectError(f"refused: {response.error}")
    return Session(link, options, response, request.connection_id)
