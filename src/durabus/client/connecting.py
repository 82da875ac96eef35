"""`durabus.connect`: the one function that programs begin with."""

import ssl
from collections.abc import Callable, Generator, Iterable
from types import TracebackType

from durabus.client.bus import Bus
from durabus.client.events import BusEvent
from durabus.client.link import new_name
from durabus.client.options import BusOptions
from durabus.client.servers import parse_servers

__all__ = ["Connecting", "connect"]


class Connecting:
    """A bus to be: `async with` it, or `await` it and close the bus yourself."""

    def __init__(self, options: BusOptions, make: Callable[[BusOptions], Bus] = Bus) -> None:
        """Nothing is done yet; `make` makes the bus when it is time."""
        options.check()
        self.options = options
        self._make = make
        self._bus: Bus | None = None

    async def _start(self) -> Bus:
        bus = self._make(self.options)
        await bus.start()
        return bus

    def __await__(self) -> Generator[object, object, Bus]:
        return self._start().__await__()

    async def __aenter__(self) -> Bus:
        self._bus = await self._start()
        return self._bus

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        assert self._bus is not None, "it was entered"
        if error is None:
            await self._bus.drain()
        else:
            await self._bus.close()


def connect(
    servers: str | Iterable[str] = "nats://localhost:4222",
    *,
    cluster_id: str = "test-cluster",
    client_id: str = "",
    user: str = "",
    password: str = "",
    token: str = "",
    tls: ssl.SSLContext | None = None,
    tls_server_name: str = "",
    connect_timeout_s: float = 10.0,
    request_timeout_s: float = 5.0,
    publish_timeout_s: float = 30.0,
    window_messages_max: int = 4096,
    window_bytes_max: int = 16 * 1024 * 1024,
    ping_interval_s: float = 5.0,
    pings_out_max: int = 3,
    reconnect_wait_s: float = 0.1,
    reconnect_wait_max_s: float = 5.0,
    retries_publishes: bool = True,
    raises_possibly_duplicated: bool = False,
    on_event: Callable[[BusEvent], None] | None = None,
) -> Connecting:
    """Connect to a bus: `async with durabus.connect(...) as bus`, which is drained at the end, or closed after an error.

    `servers`: URLs `nats://user:password@host:port` (`tls://` insists on TLS), one or several of one cluster.
    `client_id`: letters, digits, `-` and `_`; one that nobody else has is made up when it is missing.
    `tls`: how to check the server, and our own certificate; by default what the system trusts, where a server wants TLS.

    Times are in seconds. `connect_timeout_s` is how long the first session is tried for; afterwards a lost one is made
    again without end, with pauses from `reconnect_wait_s` to `reconnect_wait_max_s`. A session counts as lost when
    `pings_out_max` pings in a row, sent every `ping_interval_s`, are not answered.

    A publish that is not acknowledged after `publish_timeout_s` fails. At most `window_messages_max` messages and
    `window_bytes_max` bytes wait for their acknowledgement. With `retries_publishes` a publish whose acknowledgement
    was lost with the connection is sent again in the next session, which may store it twice; without, it fails with
    PublishUnknownError. `raises_possibly_duplicated` makes that an error where it happened.

    `on_event` is told what happens: Connected, Disconnected, StoreReset, Stopped.

    Raises UsageError at once; ConnectError, ClientIdInUseError and NotAuthorizedError when it is entered or awaited.
    """
    options = BusOptions(
        parse_servers(servers), cluster_id, client_id or f"durabus-{new_name(12).decode()}", bool(client_id),
        user=user, password=password, token=token, tls=tls, tls_server_name=tls_server_name,
        connect_timeout_s=connect_timeout_s, request_timeout_s=request_timeout_s, publish_timeout_s=publish_timeout_s,
        window_messages_max=window_messages_max, window_bytes_max=window_bytes_max, ping_interval_s=ping_interval_s,
        pings_out_max=pings_out_max, reconnect_wait_s=reconnect_wait_s, reconnect_wait_max_s=reconnect_wait_max_s,
        retries_publishes=retries_publishes, raises_possibly_duplicated=raises_possibly_duplicated, on_event=on_event,
    )  # fmt: skip
    return Connecting(options)
