"""Keeps a session standing: makes the first one, watches it, and makes it again whenever it is lost.

    connect ──► watch ──► lost ──► pause, next server ──► known? register, hand over ──► watch ──► …
                                        ▲     failed          │
                                        └─────────────────────┤ another one has our ID, three times in a row
                                                              ▼
                                                           stopped

No fight: an ID is taken back only when nobody answers under it. When somebody does, the server says so, and this ends.
"""

import asyncio
import logging
import random
from typing import Final, Literal, Protocol

from durabus.client.back_off import BackOff
from durabus.client.errors import (
    ClientError,
    ClientIdInUseError,
    ConnectError,
    NotAuthorizedError,
    ReplacedError,
    RequestTimeoutError,
)
from durabus.client.link import Link, LinkLostError, NoRespondersError, new_name, open_link
from durabus.client.options import BusOptions
from durabus.client.servers import Server
from durabus.client.session import Session, is_registered, register

__all__ = ["Keeper", "SessionOwner"]

_REFUSALS_MAX: Final = 3
"""Our own attempts may be in each other's way: a server refuses while it is still asking the client of before."""
_SERVERS_MAX: Final = 64
"""How many are remembered of those that servers tell of."""
_ATTEMPTS_MAX: Final = 8
"""Of so many attempts to register the outcome is asked for."""
_log = logging.getLogger("durabus.client")


class SessionOwner(Protocol):
    """Who works with the sessions."""

    async def open_session(self, session: Session, was_known: bool) -> None:
        """Put everything into a new session; raises ClientError when it has to be tried again in another one.

        `was_known`: the server still knew the session before this one, so it has kept what it stored.
        """

    def close_session(self, reason: str) -> None:
        """The session is lost."""

    def stop(self, error: ClientError) -> None:
        """There will be no more sessions."""


class Keeper:
    """The keeper of one bus."""

    def __init__(self, options: BusOptions, owner: SessionOwner) -> None:
        """Nothing begun: `start` connects."""
        self.session: Session | None = None
        self._options = options
        self._owner = owner
        self._servers = list(options.servers)
        self._server_last = -1
        self._connection_ids: list[bytes] = []  # that the server may know: of the last session, and of attempts since
        self._checks = asyncio.Event()  # somebody doubts that the session stands
        self._checked: list[asyncio.Future[None]] = []
        self._task: asyncio.Task[None] | None = None
        self._back_off = BackOff(options.reconnect_wait_s, options.reconnect_wait_max_s, random.random)

    async def start(self) -> None:
        """Make the first session, and keep it from then on; raises ConnectError when there is none in time."""
        error: ClientError = ConnectError("no server was tried")
        try:
            async with asyncio.timeout(self._options.connect_timeout_s):
                while True:
                    try:
                        await self._make()
                        break
                    except (ClientIdInUseError, NotAuthorizedError):
                        raise
                    except ClientError as failure:
                        error = failure
                    await asyncio.sleep(self._back_off.next_s())
        except TimeoutError:
            text = f"not connected after {self._options.connect_timeout_s:g} s: {error.what}"
            raise ConnectError(text) from error
        self._task = asyncio.get_running_loop().create_task(self._keep())

    def check_soon(self) -> "asyncio.Future[None]":
        """Ask the server now whether it knows the session; done when it does, cancelled when the session is lost."""
        future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._checked.append(future)
        self._checks.set()
        return future

    async def stop(self) -> None:
        """Keep nothing any more; the session, if there is one, is the caller's to close."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.wait([self._task])
            self._task = None

    # Making.

    def _next_server(self) -> Server:
        self._server_last = (self._server_last + 1) % len(self._servers)
        return self._servers[self._server_last]

    async def _make(self) -> None:
        """Try one server; raises ClientError."""
        link = await open_link(self._next_server(), self._options)
        try:
            was_known = await self._is_known(link)
            connection_id = new_name()
            self._connection_ids = [*self._connection_ids[-_ATTEMPTS_MAX:], connection_id]
            session = await register(link, self._options, connection_id)
            await self._owner.open_session(session, was_known)
            self._connection_ids = [connection_id]
        except BaseException:
            await link.close()
            raise
        known = {(server.host, server.port) for server in self._servers}
        for other in link.others:
            if (other.host, other.port) not in known and len(known) < _SERVERS_MAX:
                known.add((other.host, other.port))
                self._servers.append(other)
        self.session = session
        self._back_off.reset()

    async def _is_known(self, link: Link) -> bool:
        """Whether the server still knows us: by the last session, or by an attempt whose answer got lost."""
        if not self._connection_ids:
            return True
        questions = [is_registered(link, self._options, each) for each in self._connection_ids]
        return any(await asyncio.gather(*questions))

    async def _make_again(self) -> None:
        """Try until there is a session; raises ReplacedError."""
        refusals = 0
        complaint = ""
        while True:
            await asyncio.sleep(self._back_off.next_s())
            try:
                await self._make()
            except ClientIdInUseError as error:
                refusals += 1
                if refusals >= _REFUSALS_MAX:
                    text = f"client ID {self._options.client_id!r} belongs to another instance now"
                    raise ReplacedError(text) from error
            except ClientError as error:
                refusals = 0
                if error.what != complaint:
                    complaint = error.what
                    _log.warning("%s: not connected yet: %s", self._options.client_id, complaint)
            else:
                return

    # Keeping.

    async def _keep(self) -> None:
        try:
            while True:
                assert self.session is not None, "one was made"
                reason = await self._watch(self.session)
                session, self.session = self.session, None
                self._owner.close_session(reason)
                self._answer_doubts(stands=False)
                await session.link.close()
                await self._make_again()
        except ClientError as error:
            self._owner.stop(error)
        except Exception as error:  # noqa: BLE001 - it must not end without a word
            _log.exception("%s: a mistake in the client library", self._options.client_id)
            self._owner.stop(ClientError(f"a mistake in the client library: {error!r}"))

    async def _watch(self, session: Session) -> str:
        """Return why the session does not stand any more, when it does not."""
        link = session.link
        missed = 0
        while True:
            if missed == 0:
                await self._pause(link)
            self._checks.clear()
            if link.lost.done():
                return link.reason
            try:
                async with asyncio.timeout(self._options.ping_interval_s):
                    if not await session.ping():
                        return "the server does not know this client any more"
                missed = 0
                self._answer_doubts(stands=True)
            except (TimeoutError, RequestTimeoutError):
                missed += 1
                if missed >= self._options.pings_out_max:
                    return f"{missed} pings were not answered"
            except NoRespondersError:
                return "there is no streaming server any more"
            except LinkLostError:
                return link.reason

    async def _pause(self, link: Link) -> None:
        """Wait until it is time for a ping, somebody has doubts, or the link is lost."""
        doubt = asyncio.get_running_loop().create_task(self._checks.wait())
        waits: list[asyncio.Future[None] | asyncio.Task[Literal[True]]] = [link.lost, doubt]
        try:
            await asyncio.wait(waits, timeout=self._options.ping_interval_s, return_when=asyncio.FIRST_COMPLETED)
        finally:
            doubt.cancel()

    def _answer_doubts(self, stands: bool) -> None:
        checked, self._checked = self._checked, []
        for future in checked:
            if future.done():
                continue
            if stands:
                future.set_result(None)
            else:
                future.cancel()
