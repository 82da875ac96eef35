"""URLs of servers."""

import pytest

from durabus.client.errors import UsageError
from durabus.client.servers import parse_server, parse_servers


@pytest.mark.parametrize(
    ("url", "host", "port", "is_tls"),
    [
        ("nats://bus:4333", "bus", 4333, False),
        ("bus", "bus", 4222, False),
        ("bus:5", "bus", 5, False),
        ("tls://bus", "bus", 4222, True),
        ("nats://[::1]:4222", "::1", 4222, False),
    ],
)
def test_where_it_is(url: str, host: str, port: int, is_tls: bool) -> None:
    server = parse_server(url)
    assert (server.host, server.port, server.is_tls) == (host, port, is_tls)
    assert not server.has_credentials


def test_credentials_are_read_and_not_shown() -> None:
    server = parse_server("nats://jo:p%40ss@bus")
    assert (server.user, server.password, server.token) == ("jo", "p@ss", "")
    assert server.has_credentials
    assert str(server) == "nats://bus:4222"
    assert parse_server("nats://s3cret@bus").token == "s3cret"
    assert str(parse_server("tls://[::1]")) == "tls://[::1]:4222"


@pytest.mark.parametrize(
    "url", ["http://bus", "nats://", "nats://bus:x", "nats://jo:a/b@bus", "ws://bus", "nats://a b"]
)
def test_what_is_none_is_refused_without_quoting_it(url: str) -> None:
    with pytest.raises(UsageError) as caught:
        parse_server(url)
    assert "jo" not in str(caught.value)


def test_several() -> None:
    assert [server.host for server in parse_servers("nats://a, nats://b")] == ["a", "b"]
    assert [server.host for server in parse_servers(["a", "b:1"])] == ["a", "b"]
    with pytest.raises(UsageError):
        parse_servers([])
