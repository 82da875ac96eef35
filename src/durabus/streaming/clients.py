"""Who is registered: by client ID, by connection ID, and whether they are there (docs/protocol.md §5).

Presence is interest on the client's heartbeat inbox. A client that was seen and whose inbox nobody listens on any more
is *absent*: nothing is thrown at its inboxes, but it keeps its session until its heartbeats have failed often enough.
"""

from mypy_extensions import mypyc_attr

from durabus.broker.bus import InterestWatcher
from durabus.streaming.records import ClientRecord
from durabus.streaming.timers import Timed
from durabus.streaming.window import Holder

__all__ = ["Client", "ClientOwner", "Clients"]


@mypyc_attr(allow_interpreted_subclasses=True)
class ClientOwner:
    """Who acts on what clients notice; the heartbeats implement it."""

    def on_heartbeat_time(self, client: "Client", now_ns: int) -> None:
        """A heartbeat is due, or its answer is overdue."""
        raise NotImplementedError  # pragma: no cover - abstract

    def on_absence_time(self, client: "Client", now_ns: int) -> None:
        """The client has been absent for as long as is granted."""
        raise NotImplementedError  # pragma: no cover - abstract

    def on_presence(self, client: "Client") -> None:
        """The client has come or gone."""
        raise NotImplementedError  # pragma: no cover - abstract


class Client(Timed):
    """A registered client. Its own deadline is the next heartbeat, or the end of waiting for one's answer."""

    def __init__(self, record: ClientRecord, owner: ClientOwner) -> None:
        """A client of which nothing is known yet but its record."""
        super().__init__()
        self.record = record
        self.client_id = record.client_id
        self.connection_id = record.connection_id  # empty as soon as somebody else has it, or nobody
        self.is_registered = True
        self.was_seen = False
        self.is_absent = False
        self.grace_is_over = False
        self.failed_heartbeats = 0
        self.due_ns = 0  # when the next heartbeat, or the answer to the last one, is due
        self.heartbeat_token = 0  # the number of the unanswered heartbeat, 0 for none
        self.subscriptions: dict[int, Holder] = {}  # its members, by subscription number
        self.absence = _Absence(self, owner)
        self.watcher = _PresenceWatcher(self)
        self._owner = owner

    def on_time(self, now_ns: int) -> None:
        """A heartbeat is due or overdue."""
        self._owner.on_heartbeat_time(self, now_ns)

    def on_presence(self, present: bool) -> None:
        """Note whether somebody listens on the heartbeat inbox."""
        absent = self.was_seen and not present
        self.was_seen = self.was_seen or present
        if absent != self.is_absent:
            self.is_absent = absent
            self._owner.on_presence(self)


class _Absence(Timed):
    """The deadline until which an absent client's queue messages stay with it."""

    def __init__(self, client: Client, owner: ClientOwner) -> None:
        super().__init__()
        self._client = client
        self._owner = owner

    def on_time(self, now_ns: int) -> None:
        self._owner.on_absence_time(self._client, now_ns)


class _PresenceWatcher(InterestWatcher):
    """Lets a client watch its heartbeat inbox: a native class has one base only."""

    def __init__(self, client: Client) -> None:
        self._client = client

    def on_interest(self, subject: bytes, present: bool) -> None:
        self._client.on_presence(present)


class Clients:
    """The registry. A connection ID that two clients claim belongs to the later one, until one of them goes."""

    def __init__(self) -> None:
        """Nobody is registered."""
        self.by_id: dict[bytes, Client] = {}
        self._by_connection: dict[bytes, Client] = {}

    def add(self, client: Client) -> None:
        """Register `client`; its ID must be free."""
        self.by_id[client.client_id] = client
        if client.connection_id:
            former = self._by_connection.get(client.connection_id)
            if former is not None:
                former.connection_id = b""
            self._by_connection[client.connection_id] = client

    def remove(self, client: Client) -> None:
        """Take `client` out; it can neither publish nor acknowledge from now on."""
        client.is_registered = False
        self.by_id.pop(client.client_id, None)
        owner = self._by_connection.pop(client.record.connection_id, None)
        if owner is not None:
            owner.connection_id = b""

    def sender(self, client_id: bytes, connection_id: bytes) -> Client | None:
        """Who published: by connection ID alone where there is one, else by client ID (docs/protocol.md §5.3)."""
        if connection_id:
            return self._by_connection.get(connection_id)
        return self.by_id.get(client_id)

    def by_connection(self, connection_id: bytes) -> Client | None:
        """The client of a connection ID; none has the empty one."""
        return self._by_connection.get(connection_id)
