"""One connection to a NATS server, from its opening to its loss: bytes, subjects and requests; nothing of streaming.

Whatever is said in one turn of the event loop leaves in one write at its end. A link is never repaired: when it is
lost, `lost` is done, every request fails, and the bus makes another one.
"""

import asyncio
import json
import secrets
import ssl
import string
from collections.abc import Callable
from typing import Final, cast

from durabus.client.errors import ClientError, ConnectError, NotAuthorizedError
from durabus.client.options import BusOptions
from durabus.client.servers import Server, parse_server
from durabus.wire.documents import ConnectRequestDocument, DocumentError, decode_info, encode_connect
from durabus.wire.framing import PING, PONG, is_no_responders
from durabus.wire.operations import Delivery, Info, Operation, Ping, Pong, Publish, Refusal, Violation
from durabus.wire.server_parser import ServerParser

__all__ = ["Link", "LinkLostError", "NoRespondersError", "Receiver", "new_name", "open_link"]

Receiver = Callable[[Publish], None]
"""Takes a run of messages that came on a subject."""

_LETTERS: Final = string.digits + string.ascii_letters
_NOT_AUTHORIZED: Final = ("authorization violation", "authentication", "user authentication expired")
_STEP_TIMEOUT_S: Final = 5.0


class LinkLostError(ClientError):
    """The connection is lost; the bus makes another one."""


class NoRespondersError(ClientError):
    """Nobody takes requests on that subject."""


def new_name(size: int = 22) -> bytes:
    """Letters and digits that nobody else has: for inboxes, connections and GUIDs."""
    return "".join(secrets.choice(_LETTERS) for _ in range(size)).encode()


class Link(asyncio.Protocol):
    """One connection. `on_flush` is called once per turn in which something was said, before it is written."""

    def __init__(self, server: Server) -> None:
        """Not connected yet: `open_link` does that."""
        self.server = server
        self.inbox = b"_INBOX." + new_name()
        self.lost: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self.reason = ""  # why it was lost
        self.refusal = ""  # what the server said with -ERR
        self.info = b""
        self.payload_bytes_max = 0
        self.others: list[Server] = []  # of the same cluster, as the server told
        self.out: list[bytes] = []
        self.on_flush: Callable[[], None] | None = None
        self._transport: asyncio.Transport | None = None
        self._loop = asyncio.get_running_loop()
        self._heard = asyncio.Event()
        self._parser = ServerParser()
        self._receivers: dict[bytes, Receiver] = {}
        self._sid_last = 0
        self._requests: dict[bytes, asyncio.Future[bytes]] = {}
        self._request_last = 0
        self._pongs: list[asyncio.Future[None]] = []
        self._is_flush_due = False

    # What is said.

    def say(self, data: bytes) -> None:
        """Send bytes with the end of this turn."""
        self.out.append(data)
        self.flush_soon()

    def flush_soon(self) -> None:
        """Call `on_flush` at the end of this turn, and send what was said."""
        if not self._is_flush_due:
            self._is_flush_due = True
            self._loop.call_soon(self.flush)

    def flush(self) -> None:
        """Send what was said."""
        self._is_flush_due = False
        if self.on_flush is not None:
            self.on_flush()
        if self.out:
            data = b"".join(self.out)
            self.out.clear()
            if self._transport is not None and not self._transport.is_closing():
                self._transport.write(data)

    def publish(self, subject: bytes, payload: bytes, reply: bytes = b"") -> None:
        """Publish a NATS message."""
        self.say(b"PUB %b %b%d\r\n%b\r\n" % (subject, reply + b" " if reply else b"", len(payload), payload))

    def subscribe(self, subject: bytes, receiver: Receiver) -> bytes:
        """Give what is published on `subject` to `receiver`; the sid, for `unsubscribe`."""
        self._sid_last += 1
        sid = b"%d" % self._sid_last
        self._receivers[sid] = receiver
        self.say(b"SUB %b %b\r\n" % (subject, sid))
        return sid

    def unsubscribe(self, sid: bytes) -> None:
        """Hear nothing more on it."""
        if self._receivers.pop(sid, None) is not None:
            self.say(b"UNSUB %b\r\n" % sid)

    async def request(self, subject: bytes, payload: bytes, timeout_s: float) -> bytes:
        """Send a request; its answer. Raises TimeoutError, NoRespondersError, LinkLostError."""
        if self.lost.done():
            raise LinkLostError(self.reason)
        self._request_last += 1
        number = b"%d" % self._request_last
        future: asyncio.Future[bytes] = self._loop.create_future()
        self._requests[number] = future
        self.publish(subject, payload, self.inbox + b".r." + number)
        try:
            async with asyncio.timeout(timeout_s):
                return await future
        finally:
            self._requests.pop(number, None)

    async def sync(self, timeout_s: float) -> None:
        """Wait until the server has taken everything that was said. Raises TimeoutError, LinkLostError."""
        if self.lost.done():
            raise LinkLostError(self.reason)
        future: asyncio.Future[None] = self._loop.create_future()
        self.flush()
        self._pongs.append(future)
        self.say(PING)
        async with asyncio.timeout(timeout_s):
            await asyncio.shield(future)

    # What comes.

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """The socket is open."""
        self._transport = cast(asyncio.Transport, transport)  # uvloop's is one in all but its base class

    def data_received(self, data: bytes) -> None:
        """Give what came to its receivers."""
        receivers = self._receivers
        for operation in self._parser.feed(data):
            if isinstance(operation, Delivery):
                receiver = receivers.get(operation.sid)
                if receiver is not None:
                    receiver(operation.publish)
            else:
                self._control(operation)
        if not self._heard.is_set():
            self._heard.set()

    def _control(self, operation: Operation) -> None:
        if isinstance(operation, Ping):
            self.say(PONG)
        elif isinstance(operation, Pong):
            if self._pongs:
                future = self._pongs.pop(0)
                if not future.done():
                    future.set_result(None)
        elif isinstance(operation, Info):
            self._inform(operation.document)
        elif isinstance(operation, Refusal):
            self.refusal = operation.text
        elif isinstance(operation, Violation):
            self.abort(f"these are not a NATS server's words: {operation.detail}")

    def _inform(self, document: bytes) -> None:
        try:
            said = decode_info(document)
        except DocumentError as error:
            if not self.info:
                self.abort(f"its INFO is not understood: {error}")
            return
        self.info = document
        self.payload_bytes_max = said.max_payload
        places = json.loads(document).get("connect_urls")
        for place in places if isinstance(places, list) else []:
            try:
                other = parse_server(str(place))
            except ClientError:
                continue
            other.is_tls = self.server.is_tls
            other.user, other.password, other.token = self.server.user, self.server.password, self.server.token
            self.others.append(other)

    def on_answer(self, run: Publish) -> None:
        """Answers to requests."""
        future = self._requests.get(run.subject.rpartition(b".")[2])
        if future is None or future.done():
            return
        if is_no_responders(run):
            future.set_exception(NoRespondersError("nobody takes requests there"))
        else:
            future.set_result(run.payloads[0][run.header_bytes :])

    def connection_lost(self, error: Exception | None) -> None:
        """The socket is gone."""
        if self.lost.done():
            return
        self.reason = self.reason or self.refusal or (str(error) if error else "the server closed the connection")
        self.lost.set_result(None)
        self._heard.set()
        for request in self._requests.values():
            if not request.done():
                request.set_exception(LinkLostError(self.reason))
        for pong in self._pongs:
            if not pong.done():
                pong.set_exception(LinkLostError(self.reason))
                pong.exception()  # whoever waits gets it; if nobody does, nobody needs to be told

    def abort(self, reason: str) -> None:
        """Close at once, because of `reason`."""
        self.reason = self.reason or reason
        if self._transport is not None:
            self._transport.abort()

    async def close(self) -> None:
        """Send what was said, and close."""
        if self._transport is None:
            return
        self.reason = self.reason or "closed"
        self.flush()
        self._transport.close()
        if not self.lost.done():
            await asyncio.wait([self.lost], timeout=1.0)
        self._transport.abort()
        await asyncio.sleep(0)  # the loop closes the socket in its next turn

    # Getting in.

    async def _hear(self, is_heard: Callable[[], bool]) -> None:
        """Wait until the server has said something that makes `is_heard` true; raises ConnectError when it will not."""
        while True:
            if self.refusal:
                kind = NotAuthorizedError if self.refusal.lower().startswith(_NOT_AUTHORIZED) else ConnectError
                raise kind(f"{self.server} says: {self.refusal}")
            if self.lost.done():
                raise ConnectError(f"{self.server} is lost: {self.reason}")
            if is_heard():
                return
            self._heard.clear()
            await self._heard.wait()

    async def greet(self, options: BusOptions) -> None:
        """Wait for the server's INFO, begin TLS if it wants that, say who we are, and wait until it takes us."""
        await self._hear(lambda: bool(self.info))
        must_be_tls = self.server.is_tls or options.tls is not None
        is_required = decode_info(self.info).tls_required
        if must_be_tls and not is_required and json.loads(self.info).get("tls_available") is not True:
            raise ConnectError(f"{self.server} does not offer TLS")
        is_tls = must_be_tls or is_required
        if is_tls:
            await self._encrypt(options.tls or ssl.create_default_context(), options.tls_server_name)
        source = self.server if self.server.has_credentials else options
        document = ConnectRequestDocument(options.client_id, is_tls, source.user, source.password, source.token)
        self.say(b"CONNECT " + encode_connect(document) + b"\r\n")
        taken: asyncio.Future[None] = self._loop.create_future()
        self._pongs.append(taken)
        self.say(PING)
        await self._hear(taken.done)
        self.subscribe(self.inbox + b".r.*", self.on_answer)

    async def _encrypt(self, context: ssl.SSLContext, name: str) -> None:
        assert self._transport is not None, "the server has spoken on it"
        plain = self._transport
        try:
            secured = await self._loop.start_tls(plain, self, context, server_hostname=name or self.server.host)
        except BaseException:
            self.connection_lost(None)  # of which the loop says nothing, in the middle of a handshake
            raise
        if secured is None:
            raise ConnectionResetError
        self._transport = secured


async def open_link(server: Server, options: BusOptions) -> Link:
    """Connect to `server`; raises ConnectError."""
    link = Link(server)
    try:
        async with asyncio.timeout(_STEP_TIMEOUT_S):
            await asyncio.get_running_loop().create_connection(lambda: link, server.host, server.port)
            await link.greet(options)
    except TimeoutError:
        link.abort("it took too long")
        raise ConnectError(f"{server} does not answer") from None
    except (OSError, ValueError) as error:  # ssl.SSLError is an OSError
        link.abort(str(error))
        raise ConnectError(f"{server} cannot be reached: {error}") from error
    except BaseException:
        link.abort("the attempt was given up")
        raise
    return link
