"""A fault-tolerance group: servers that share one store, of which one is active (docs/protocol.md §15).

Pure: told what came and at what time, it answers with what to do. `server/standby.py` does it.

    STANDBY ── nothing heard of an active server ──► LOCKING ── the lock is ours ──► ACTIVE
       ▲                                                │                              │
       └──────────── somebody has it, or an error ──────┘       an older one is there ─┴──► ENDED

The lock of the store decides who is active; heartbeats only keep standbys from asking for it all the time. So a server
that was not heard for a while, because it stood still or was cut off, first makes sure that the store is still its own:
else it would drive out whoever took over meanwhile.
"""

from typing import Final

from durabus.server.back_off import BackOff
from durabus.wire.control_messages import (
    GROUP_HEARTBEAT,
    decode_control_message,
    decode_moment,
    encode_control_message,
    encode_moment,
)
from durabus.wire.varint import DecodeError

__all__ = [
    "ACTIVE",
    "ENDED",
    "HEARTBEAT_NS",
    "LOCKING",
    "PATIENCE_NS",
    "STANDBY",
    "Abort",
    "Action",
    "Activate",
    "Confirm",
    "FTGroup",
    "Say",
    "Send",
    "TryLock",
]

HEARTBEAT_NS: Final = 1_000_000_000
"""How often an active server says that it is there, give or take a tenth."""
PATIENCE_NS: Final = 1_250_000_000
"""How long a standby waits for that, give or take a tenth."""

STANDBY: Final = "standby"
LOCKING: Final = "locking"
ACTIVE: Final = "active"
ENDED: Final = "ended"


class Action:
    """One thing to do."""


class Say(Action):
    """Log `text`, as an error or not."""

    def __init__(self, text: str, is_error: bool = False) -> None:
        """Keep both."""
        self.text = text
        self.is_error = is_error


class Send(Action):
    """Publish a heartbeat on the group's subject; `on_sent` is to be told whether it could leave."""

    def __init__(self, payload: bytes) -> None:
        """Keep the message."""
        self.payload = payload


class TryLock(Action):
    """Ask the store for its lock; `on_lock` is to be told what came of it."""


class Activate(Action):
    """The store is ours: recover it, and serve."""


class Confirm(Action):
    """Find out whether the store is still ours; `on_confirmed` is to be told."""


class Abort(Action):
    """Write nothing any more, and end: `text` says why."""

    def __init__(self, text: str) -> None:
        """Keep the reason."""
        self.text = text


class FTGroup:
    """One server's part in its group. `heartbeat_ns` and `patience_ns` are its own, a little different for each server."""

    def __init__(self, server_id: bytes, heartbeat_ns: int = HEARTBEAT_NS, patience_ns: int = PATIENCE_NS) -> None:
        """Not begun yet."""
        self.state = STANDBY
        self.activation_ns = 0  # since 1970; 0 before
        self._server_id = server_id
        self._heartbeat_ns = heartbeat_ns
        self._patience_ns = patience_ns
        self._deadline_ns = 0
        self._heard_ns = 0  # until when others could hear that this server is active
        self._is_confirming = False
        self._lock_shown = BackOff()
        self._rival_shown = BackOff()
        self._unsent_shown = BackOff()

    def begin(self, now_ns: int) -> list[Action]:
        """Stand by from now on."""
        self._deadline_ns = now_ns + self._patience_ns
        return [Say("Starting in standby mode")]

    def next_ns(self) -> int:
        """When `on_time` has something to do; 0 when it has not."""
        return self._deadline_ns

    def on_time(self, now_ns: int) -> list[Action]:
        """Time has passed."""
        if not self._deadline_ns or now_ns < self._deadline_ns:
            return []
        if self.state == STANDBY:
            self.state = LOCKING
            self._deadline_ns = 0
            return [TryLock()]
        return self._claim(now_ns)

    def on_lock(self, is_ours: bool, error: str, now_ns: int, wall_ns: int) -> list[Action]:
        """The store has answered: the lock is ours, or somebody else's, or there was an error."""
        if self.state != LOCKING:
            return []
        if is_ours:
            self.state = ACTIVE
            self.activation_ns = wall_ns
            self._heard_ns = now_ns
            return [Say("Server is active"), *self._claim(now_ns), Activate()]
        self.state = STANDBY
        self._deadline_ns = now_ns + self._patience_ns
        if error:
            text = f"ft: error attempting to get the store lock: ft: fatal error getting the store lock: {error}"
            return [Say(text, is_error=True)]
        if self._lock_shown.is_due(now_ns):
            return [Say("ft: unable to get store lock at this time, going back to standby")]
        return []

    def on_message(self, payload: bytes, now_ns: int) -> list[Action]:
        """Something came on the group's subject. Only a heartbeat of another server counts, and for an active one its moment."""
        try:
            said = decode_control_message(payload)
        except DecodeError:
            return []
        if said.kind != GROUP_HEARTBEAT or said.server_id == self._server_id:
            return []
        if self.state == STANDBY:
            self._deadline_ns = now_ns + self._patience_ns
        if self.state != ACTIVE:
            return []
        try:
            rival_ns = decode_moment(said.data)
        except DecodeError as error:
            return self._complain(f"Error decoding activation time: {error}", now_ns)
        return self._meet(rival_ns, said.server_id, now_ns)

    def on_sent(self, is_sent: bool, now_ns: int) -> list[Action]:
        """A heartbeat has left; or could not, as the network is not there."""
        if is_sent:
            self._heard_ns = now_ns
        elif self._unsent_shown.is_due(now_ns):
            return [Say("Unable to send FT heartbeat: there is no connection to the NATS server", is_error=True)]
        return []

    def on_confirmed(self, is_ours: bool, now_ns: int) -> list[Action]:
        """The store has taken something of ours, or not: then the reason comes from elsewhere."""
        self._is_confirming = False
        if not is_ours or self.state != ACTIVE:
            return []
        self._heard_ns = now_ns
        return self._claim(now_ns)

    def end(self) -> None:
        """Take no part any more."""
        self.state = ENDED
        self._deadline_ns = 0

    def _meet(self, rival_ns: int, rival_id: bytes, now_ns: int) -> list[Action]:
        """Another server is active as well: whoever was first stays. A server ID decides between equals."""
        text = f'ft: serverID "{rival_id.decode("utf-8", "backslashreplace")}" claims to be active'
        if (rival_ns, rival_id) < (self.activation_ns, self._server_id):
            self.end()
            return [Abort(f"{text}, aborting")]
        # It is told at once who was first.
        return [*self._complain(text, now_ns), *self._claim(now_ns)]

    def _claim(self, now_ns: int) -> list[Action]:
        """Say that this server is active, if nobody can have taken over."""
        self._deadline_ns = now_ns + self._heartbeat_ns
        if now_ns - self._heard_ns <= self._patience_ns:
            moment = encode_moment(self.activation_ns)
            return [Send(encode_control_message(GROUP_HEARTBEAT, self._server_id, moment))]
        if self._is_confirming:
            return []
        self._is_confirming = True
        return [Confirm()]

    def _complain(self, text: str, now_ns: int) -> list[Action]:
        return [Say(text, is_error=True)] if self._rival_shown.is_due(now_ns) else []
