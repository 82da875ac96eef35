"""State sources for the tests of monitoring."""

from durabus.monitoring.state import ServerState

__all__ = ["STATE", "BrokenSource", "FixedSource"]

# The numbers of a sample that the original printed.
STATE = ServerState(
    cluster_id="test-cluster",
    server_id="id8fA952MoCAvT7xE3Qr8N",
    now_ns=1795432486_931757337,
    start_time_ns=1795432409_634413132,
    clients=2,
    subscriptions=8,
    channels=6,
    total_messages=21,
    total_bytes=1320,
    in_messages=35,
    in_bytes=1103,
    out_messages=91,
    out_bytes=2171,
)


class FixedSource:
    """Always the same state; ready or not."""

    def __init__(self, state: ServerState = STATE, *, ready: bool = True) -> None:
        self.state = state
        self.ready = ready

    def is_ready(self) -> bool:
        return self.ready

    def serverz(self) -> ServerState:
        return self.state


class BrokenSource:
    """A server with a bug."""

    def is_ready(self) -> bool:
        raise RuntimeError("a bug\nin two lines")

    def serverz(self) -> ServerState:
        raise KeyError("channel")
