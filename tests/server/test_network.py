"""The network of a server, with the real processes: the broker with users and TLS, and behind a nats-server."""

import json
import socket
import ssl
from collections.abc import Iterator
from pathlib import Path
from urllib.request import urlopen

import pytest

from durabus.config.options import AuthOptions, ExternalOptions, Options, StreamingOptions, TlsOptions
from durabus.errors import StartError
from durabus.server.network import broker_settings, uplink_settings
from tests.blackbox.stan_client import FIRST, StanClient, read_fields
from tests.blackbox.wire_client import WireClient
from tests.external.certificates import Certificates, make_certificates
from tests.nats_server import NatsServer, running_nats_server
from tests.server_process import failed_start, running_server
from tests.wire.wire_format import blob

VIOLATION = b"-ERR 'Authorization Violation'"


@pytest.fixture
def nats(tmp_path: Path) -> Iterator[NatsServer]:
    """Another NATS server."""
    with running_nats_server(tmp_path) as server:
        yield server


@pytest.fixture(scope="module")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> Certificates:
    """Certificates for servers and clients."""
    return make_certificates(tmp_path_factory.mktemp("certificates"))


def introduced(port: int, **document: object) -> bytes:
    """What a client hears first that says this in its CONNECT and pings."""
    said = json.dumps({"verbose": False, "pedantic": False, **document}).encode()
    with WireClient(port, b"CONNECT %b\r\nPING\r\n" % said) as client:
        return client.line()


# The broker.


@pytest.mark.row(120)
def test_users() -> None:
    with running_server("-user", "ada", "-pass", "secret") as server:
        assert introduced(server.port, user="ada", **{"pass": "secret"}) == b"PONG"
        assert introduced(server.port, user="ada", **{"pass": "guess"}) == VIOLATION
        assert introduced(server.port) == VIOLATION
        assert "secret" not in server.log


@pytest.mark.row(120)
def test_tokens() -> None:
    with running_server("-auth", "hush") as server:
        assert introduced(server.port, auth_token="hush") == b"PONG"
        for token in ("guess", "hush!", "hus", "HUSH"):
            assert introduced(server.port, auth_token=token) == VIOLATION
        assert introduced(server.port) == VIOLATION
        with WireClient(server.port, b"") as client:
            assert client.info["auth_required"] is True


@pytest.mark.row(120)
def test_several_users(tmp_path: Path) -> None:
    """Each of them gets in and is served; the streaming half, which the original has to log in, needs nothing."""
    file = tmp_path / "bus.conf"
    file.write_text("authorization { users: [ {user: ada, pass: one}, {user: bob, password: two} ] }", encoding="utf-8")
    with running_server("-c", str(file)) as server:
        for user, password in (("ada", "one"), ("bob", "two")):
            assert introduced(server.port, user=user, **{"pass": password}) == b"PONG"
        for user, password in (("ada", "two"), ("carl", "one"), ("", "")):
            assert introduced(server.port, user=user, **{"pass": password}) == VIOLATION
        with WireClient(server.port, b'CONNECT {"verbose":false,"user":"bob","pass":"two"}\r\n') as client:
            client.send(b"SUB answers 1\r\n")
            client.publish(b"_STAN.discover.test-cluster", blob(1, b"me") + blob(2, b"heartbeats"), b"answers")
            assert read_fields(client.message().payload).text(1) == b"_STAN.pub.test-cluster"


def handshake(port: int, context: ssl.SSLContext) -> bytes:
    """What a client hears that goes on in TLS after INFO, and pings."""
    with socket.create_connection(("127.0.0.1", port), timeout=20) as plain:
        info = plain.recv(4096)
        assert json.loads(info.removeprefix(b"INFO "))["tls_required"] is True
        with context.wrap_socket(plain, server_hostname="localhost") as secure:
            secure.sendall(b'CONNECT {"verbose":false,"tls_required":true}\r\nPING\r\n')
            return secure.recv(100)


def is_taken(port: int, context: ssl.SSLContext) -> bool:
    """Whether a client with this context is served; with TLS 1.3 it learns only when it reads that it is not."""
    try:
        return handshake(port, context) == b"PONG\r\n"
    except (ssl.SSLError, ConnectionError):
        return False


@pytest.mark.row(121)
def test_tls(certificates: Certificates) -> None:
    server_files = ("-tlscert", str(certificates.server), "-tlskey", str(certificates.key(certificates.server)))
    context = ssl.create_default_context(cafile=str(certificates.authority))
    with running_server("-tls", *server_files) as server:
        assert handshake(server.port, context) == b"PONG\r\n"
        with WireClient(server.port, b"PING\r\n") as plain:
            assert plain.rest() == b""
        assert handshake(server.port, context) == b"PONG\r\n"


@pytest.mark.row(121)
def test_tls_that_asks_for_certificates(certificates: Certificates) -> None:
    files = (
        "-tlscert",
        str(certificates.server),
        "-tlskey",
        str(certificates.key(certificates.server)),
        "-tlscacert",
        str(certificates.authority),
    )
    context = ssl.create_default_context(cafile=str(certificates.authority))
    with running_server("-tlsverify", *files) as server:
        assert not is_taken(server.port, context)
        context.load_cert_chain(certificates.client, certificates.key(certificates.client))
        assert handshake(server.port, context) == b"PONG\r\n"


def test_limits_of_channels_in_a_file(tmp_path: Path) -> None:
    file = tmp_path / "bus.conf"
    file.write_text(
        "streaming: { store_limits: { max_msgs: 5, channels: { 'few.>': { max_msgs: 2 }, one: { max_msgs: 1 } } } }",
        encoding="utf-8",
    )
    with running_server("-m", "-1", "-sc", str(file)) as server:
        with StanClient(server.port) as client:
            client.connect()
            for channel in (b"few.a", b"one", b"many"):
                client.publish(channel, b"1", b"2", b"3")
        url = f"http://127.0.0.1:{server.monitor_port}/streaming/channelsz?subs=1"
        with urlopen(url, timeout=20) as answer:
            kept = {channel["name"]: channel["msgs"] for channel in json.load(answer)["channels"]}
    assert kept == {"few.a": 2, "one": 1, "many": 3}


def test_what_is_refused() -> None:
    with pytest.raises(StartError, match="allow_non_tls"):
        broker_settings(Options(tls=TlsOptions(enabled=True, allow_plain=True)), "ID")
    with pytest.raises(StartError, match=r"open /none: no such file"):
        broker_settings(Options(tls=TlsOptions(enabled=True, certificate_file="/none", key_file="/none")), "ID")


# Another NATS server.


def test_who_we_are_there() -> None:
    external = ExternalOptions(url="nats://a:1,nats://b:2", user="own", password="own-secret")
    settings = uplink_settings(Options(external=external, streaming=StreamingOptions(cluster_id="c")))
    assert [address.host for address in settings.addresses] == ["a", "b"]
    assert (settings.name, settings.user, settings.password) == ("_NSS-c-general", "own", "own-secret")
    single = AuthOptions(user="single", password="secret")
    settings = uplink_settings(Options(external=external, auth=single))
    assert (settings.user, settings.password) == ("single", "secret")


@pytest.mark.row(122)
def test_clients_of_another_nats_server(nats: NatsServer) -> None:
    with running_server("-ns", nats.url), StanClient(nats.port) as publisher, StanClient(nats.port) as reader:
        publisher.connect()
        reader.connect()
        publisher.publish(b"foo", b"one", b"two", b"three")
        subscription = reader.subscribe(b"foo", start=FIRST, durable=b"d", max_in_flight=2)
        first = reader.deliveries(2)
        assert [(message.sequence, message.data) for message in first] == [(1, b"one"), (2, b"two")]
        reader.acknowledge(subscription, 1)
        assert reader.delivery().data == b"three"
        reader.close_subscription(subscription)
        again = reader.subscribe(b"foo", durable=b"d")
        assert [message.data for message in reader.deliveries(2, again)] == [b"two", b"three"]


def test_a_client_id_behind_another_server(nats: NatsServer) -> None:
    """A client that is there answers the probe, one that is gone is known to be gone: the server says so."""
    with running_server("-ns", nats.url), StanClient(nats.port, b"me") as first:
        first.connect()
        with StanClient(nats.port, b"me") as second:
            first.wire.close()
            second.connect()


@pytest.mark.row(117)
def test_the_second_server_of_a_cluster_is_refused(nats: NatsServer, tmp_path: Path) -> None:
    with running_server("-ns", nats.url):
        refused = failed_start("-ns", nats.url)
        assert refused.returncode == 1
        assert 'discovered another streaming server with cluster ID "test-cluster"' in refused.stderr
        with running_server("-ns", nats.url, "-cid", "other"):
            pass
    elsewhere = tmp_path / "elsewhere.conf"
    elsewhere.write_text("streaming { discover_prefix: _FOO }", encoding="utf-8")
    with running_server("-c", str(elsewhere), "-ns", nats.url):
        with running_server("-ns", nats.url):
            pass
        assert "discovered another" in failed_start("-c", str(elsewhere), "-ns", nats.url).stderr


@pytest.mark.row(122)
def test_no_server_at_all() -> None:
    refused = failed_start("-ns", "nats://127.0.0.1:1")
    assert refused.returncode == 1
    assert "Failed to start: nats: no servers available for connection" in refused.stderr


def test_the_other_server_comes_back(nats: NatsServer) -> None:
    with running_server("-ns", nats.url) as server, StanClient(nats.port) as client:
        client.connect()
        subscription = client.subscribe(b"foo", ack_wait_s=1)
        client.publish(b"foo", b"before")
        assert client.delivery().data == b"before"
        nats.kill()
        nats.start()
        server.wait_line("reconnected to NATS Server")
        client.reconnect(nats.port)
        client.publish(b"foo", b"after")
        heard = {client.delivery().data, client.delivery().data}
        assert heard == {b"before", b"after"}, "what was not acknowledged comes again, what is new comes too"
        client.acknowledge(subscription, 1, 2)
