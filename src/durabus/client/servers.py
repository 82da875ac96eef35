"""Where the NATS servers are: `nats://user:password@host:port`, one or several, and what they say about each other."""

from collections.abc import Iterable
from typing import Final
from urllib.parse import unquote, urlsplit

from durabus.client.errors import UsageError

__all__ = ["Server", "parse_server", "parse_servers"]

_DEFAULT_PORT: Final = 4222


class Server:
    """One server, and the credentials that its URL has, if any. Prints without them."""

    def __init__(self, host: str, port: int, is_tls: bool) -> None:
        """Keep where it is, and whether to insist on TLS."""
        self.host = host
        self.port = port
        self.is_tls = is_tls
        self.user = ""
        self.password = ""
        self.token = ""

    @property
    def has_credentials(self) -> bool:
        """Whether its URL says who we are; that wins over what is given beside it."""
        return bool(self.user or self.password or self.token)

    def __str__(self) -> str:
        """The URL as a log may show it."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{'tls' if self.is_tls else 'nats'}://{host}:{self.port}"


def parse_server(url: str) -> Server:
    """Read `[nats://|tls://][user:password@|token@]host[:port]`; raises UsageError, which shows no credentials."""
    try:
        parts = urlsplit(url if "://" in url else f"nats://{url}")
        host, port = parts.hostname or "", parts.port
    except ValueError:  # whose text may quote the password
        raise UsageError("a server's URL cannot be read; write it as nats://host:port") from None
    is_cut = "@" in f"{parts.path}{parts.query}{parts.fragment}"  # a `/`, `?` or `#` that belongs to the password
    if parts.scheme not in ("nats", "tls") or not host or is_cut or any(char.isspace() for char in host):
        raise UsageError("a server's URL must be nats://host:port or tls://host:port, with special letters as %xx")
    server = Server(host, _DEFAULT_PORT if port is None else port, parts.scheme == "tls")
    if parts.password is None:
        server.token = unquote(parts.username or "")
    else:
        server.user = unquote(parts.username or "")
        server.password = unquote(parts.password)
    return server


def parse_servers(urls: str | Iterable[str]) -> list[Server]:
    """Read one URL, several with commas between, or a list of them; raises UsageError."""
    entries = urls.split(",") if isinstance(urls, str) else list(urls)
    if not entries:
        raise UsageError("there is no server to connect to; name at least one URL")
    return [parse_server(entry.strip()) for entry in entries]
