"""New options for a broker that runs: who may connect, certificates, limits of connections.

What is told to a client when it connects, and how long its lines and messages may be, holds for new connections; the
rest for all. A client that connected as somebody who is not admitted any more is cut off, everybody else stays.
"""

from durabus.broker.broker import Broker, BrokerSettings
from durabus.broker.session import Session
from durabus.config.options import AuthOptions, Options
from durabus.logs import Log
from durabus.server.network import broker_settings
from durabus.server.trace import trace_broker

__all__ = ["BrokerReload"]


class BrokerReload:
    """Knows the options that the broker runs with."""

    def __init__(self, broker: Broker, server_id: str, options: Options, log: Log) -> None:
        """Begin with the `options` that the broker was made with."""
        self._broker = broker
        self._server_id = server_id
        self._options = options
        self._log = log

    def apply(self, options: Options) -> None:
        """Go on with `options`; raises StartError, for a certificate of no use for instance, and has changed nothing."""
        take_settings(self._broker.settings, broker_settings(options, self._server_id))
        self._broker.on_debug = self._log.debug if options.log.broker_debug else None
        trace_broker(self._broker, options.log, self._log)
        former, self._options = self._options, options
        if options.auth != former.auth:
            self._end_strangers(former.auth, options.auth)
        self._end_surplus()

    def _end_strangers(self, former: AuthOptions, now: AuthOptions) -> None:
        """Cut off whoever would not be admitted now."""
        stay = remaining_users(former, now)
        for session in list(self._broker.connections.values()):
            if not now.is_required:
                session.is_admitted = True
            elif session.is_admitted and session.user not in stay:
                session.fail("Authorization Violation", f"user {session.user!r} is not admitted any more")

    def _end_surplus(self) -> None:
        """Cut off the newest of those who are too many."""
        allowed = self._broker.settings.connections_max
        sessions = list(self._broker.connections.values())
        surplus: list[Session] = sessions[allowed:] if allowed else []
        for session in surplus:
            session.fail("maximum connections exceeded", "fewer connections are allowed now")
        if surplus:
            self._log.info(f"Closed {len(surplus)} connections to fall within max_connections")


def take_settings(settings: BrokerSettings, new: BrokerSettings) -> None:
    """Give `settings`, which connections refer to, the values of `new`; addresses and names stay."""
    for name in ("max_payload", "auth_required", "tls_required", "tls_verify"):
        setattr(settings.info, name, getattr(new.info, name))
    limits, new_limits = settings.limits, new.limits
    limits.control_line_bytes_max = new_limits.control_line_bytes_max
    limits.payload_bytes_max = new_limits.payload_bytes_max
    limits.ping_interval_ns = new_limits.ping_interval_ns
    limits.pings_out_max = new_limits.pings_out_max
    limits.gate = new_limits.gate
    settings.connections_max = new.connections_max
    settings.write_deadline_s = new.write_deadline_s
    settings.tls = new.tls
    settings.tls_timeout_s = new.tls_timeout_s
    settings.auth_timeout_s = new.auth_timeout_s


def remaining_users(former: AuthOptions, now: AuthOptions) -> frozenset[str]:
    """The names under which a client that was admitted is so now, too; nobody's name is that of a token."""
    if not former.is_required:
        return frozenset()
    names = {user for user, password in now.accounts if (user, password) in former.accounts}
    # Tokens come without a user.
    if now.token and now.token == former.token and not (now.users or former.users):
        names.add("")
    return frozenset(names)
