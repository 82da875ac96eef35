"""Letting a bus come to rest: what is under way is stored, has arrived, and is answered as far as clients answer by themselves.

That something has arrived is known from the client: the server sends a NATS PING behind it, and every client answers that
when it has read what came before, in whatever process or language it is.
"""

from typing import Final

from durabus.broker.session import Session
from durabus.server.server import Server
from durabus.testing.running.history import RecordingStore
from durabus.testing.running.turns import Turns
from durabus.wire.framing import PING

__all__ = ["settle"]

_ROUNDS_MAX: Final = 100
"""Clients that answer each delivery with a publish, say, never come to rest."""
_PATIENCE_S: Final = 2.0
"""How long a client that is there may take to answer; one that hangs is not waited for again."""


async def settle(server: Server, store: RecordingStore, turns: Turns) -> None:
    """Return when nothing is under way any more between `server`, its `store` and clients that answer."""
    for _ in range(_ROUNDS_MAX):
        if not await turns.until(lambda: is_at_rest(server, store), _PATIENCE_S):
            return  # somebody takes nothing, or the store does not come back
        before = _activity(server)
        await _wait_arrived(server, turns)
        if not await turns.until(lambda: not _is_asking(server), _PATIENCE_S):
            return
        if _activity(server) == before and is_at_rest(server, store):
            return


def is_at_rest(server: Server, store: RecordingStore) -> bool:
    """Whether the server itself has nothing to do: all is decided, stored and answered, and nothing waits to be sent."""
    core = server.service.core
    state = core.state
    if core.must_recover or not store.is_quiet or state.in_flight or state.effects or not state.batch.is_empty():
        return False
    for channel in state.channels.values():
        for cohort in channel.cohorts:
            if cohort.page_request or cohort.again_reads or any(member.is_congested for member in cohort.members):
                return False
    return True


def _is_asking(server: Server) -> bool:
    """Whether a client that always answered has not answered a heartbeat yet. It may be the one that hangs, if there is one."""
    assert server.broker is not None, "a bus of a test has a broker of its own"
    if any(session.pings_out for session in server.broker.connections.values()):
        return False
    clients = server.service.core.state.clients.by_id.values()
    return any(client.heartbeat_token and not client.failed_heartbeats for client in clients)


def _activity(server: Server) -> tuple[int, ...]:
    """Something that changes when anything is said or heard."""
    assert server.broker is not None, "a bus of a test has a broker of its own"
    sessions = server.broker.connections.values()
    statistics = server.service.core.state.statistics
    return (
        len(sessions),
        sum(session.in_messages for session in sessions),
        sum(session.out_messages for session in sessions),
        int(statistics.in_messages),
        int(statistics.out_messages),
    )


async def _wait_arrived(server: Server, turns: Turns) -> None:
    """Wait until clients have read everything that was sent to them."""
    assert server.broker is not None, "a bus of a test has a broker of its own"
    asked: list[Session] = []
    server.service.open_turn()
    for session in server.broker.connections.values():
        # Who has not subscribed to anything gets nothing, and may be in the middle of saying hello. Who has not answered
        # before hangs.
        if session.subscriptions and not session.is_closed and session.pings_out == 0:
            session.pings_out += 1
            session.send(PING)
            asked.append(session)
    await turns.until(lambda: all(session.is_closed or session.pings_out == 0 for session in asked), _PATIENCE_S)
