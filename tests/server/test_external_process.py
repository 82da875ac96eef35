"""The real process behind a real nats-server (`-ns`): who it is there, whom it trusts, and its own monitoring port.

What is not marked `ours` holds for the original, too: DURABUS_TEST_SERVER runs it against another program. Behind
another server it logs neither its monitoring port nor that the connection was lost.
"""

import json
import os
import ssl
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.request import urlopen

import pytest

from tests.blackbox.stan_client import StanClient
from tests.external.certificates import Certificates, make_certificates
from tests.nats_server import HOST, NatsServer, closed_port, running_nats_server
from tests.server_process import PATIENCE_S, ServerProcess, failed_start, running_server

ours = pytest.mark.skipif("DURABUS_TEST_SERVER" in os.environ, reason="this is how Durabus differs")

REDACTED = "[REDACTED]"


@pytest.fixture
def nats(tmp_path: Path) -> Iterator[NatsServer]:
    """A nats-server that anybody may connect to."""
    with running_nats_server(tmp_path) as server:
        yield server


@pytest.fixture(scope="module")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> Certificates:
    """Certificates for servers and clients."""
    return make_certificates(tmp_path_factory.mktemp("certificates"))


def write(folder: Path, text: str) -> str:
    """A configuration file."""
    path = folder / "bus.conf"
    path.write_text(text, encoding="utf-8")
    return str(path)


# Monitoring.


def ask(server: ServerProcess, path: str, authority: Path | None = None) -> tuple[dict[str, str], bytes]:
    """Headers and body of a page; over HTTPS when there is an authority to trust."""
    scheme, context = ("https", ssl.create_default_context(cafile=authority)) if authority else ("http", None)
    port = int(server.wait_line(f"Starting {scheme} monitor on ").rpartition(":")[2])
    with urlopen(f"{scheme}://{HOST}:{port}{path}", timeout=PATIENCE_S, context=context) as answer:
        return {name.lower(): value for name, value in answer.headers.items()}, answer.read()


def check_pages(server: ServerProcess, nats: NatsServer, authority: Path | None = None) -> None:
    """What the pages tell of a client that is connected to `nats`."""
    with StanClient(nats.port, b"me") as client:
        client.connect()
        client.subscribe(b"foo")
        client.publish(b"foo", b"x")
        client.delivery()
        headers, body = ask(server, "/streaming/serverz", authority)
        assert headers["content-type"] == "application/json"
        serverz = json.loads(body)
        assert [serverz[name] for name in ("state", "clients", "subscriptions", "total_msgs")] == [
            "STANDALONE",
            1,
            1,
            1,
        ]
        headers, body = ask(server, "/streaming/clientsz?client=me&callback=show", authority)
        assert headers["content-type"] == "application/javascript"
        assert body.startswith(b"show({") and body.endswith(b"})")
        assert json.loads(body[5:-1])["id"] == "me"


@ours
@pytest.mark.row(138)
def test_the_own_monitoring_port(nats: NatsServer) -> None:
    with running_server("-ns", nats.url, "-m", "-1") as server:
        check_pages(server, nats)
        varz: dict[str, Any] = json.loads(ask(server, "/varz")[1])
        # That of a broker which nobody can connect to.
        names = ("port", "connections", "total_connections", "in_msgs", "out_msgs", "subscriptions")
        assert [varz[name] for name in names] == [4222, 0, 0, 0, 0, 0]
        assert json.loads(ask(server, "/connz")[1])["connections"] == []
        assert ask(server, "/varz?callback=show")[1].startswith(b"show({")


@ours
@pytest.mark.row(138)
def test_the_own_monitoring_port_over_https(nats: NatsServer, certificates: Certificates) -> None:
    files = ("-tlscert", str(certificates.server), "-tlskey", str(certificates.key(certificates.server)))
    with running_server("-ns", nats.url, "-ms", "-1", *files) as server:
        check_pages(server, nats, certificates.authority)


# Credentials.

USERS = "authorization { users: [ {user: jane, password: s3cret}, {user: joe, password: other} ] }"


@pytest.mark.row(120)
@pytest.mark.parametrize(
    ("accepted", "flags", "text"),
    [
        ("user: jane, password: s3cret", ["-user", "jane", "-pass", "s3cret"], ""),
        ("user: jane, password: s3cret", [], "streaming { username: jane, password: s3cret }"),
        # The command line, and the file's section of the NATS half, come before the streaming section.
        ("user: jane, password: s3cret", ["-user", "jane", "-pass", "s3cret"], "streaming { user: joe, pass: other }"),
        (
            "user: jane, password: s3cret",
            [],
            "authorization { user: jane, pass: s3cret }\nstreaming { user: joe, pass: other }",
        ),
        ("token: s3cret", ["-auth", "s3cret"], ""),
        ("token: s3cret", [], "streaming { token: s3cret }"),
        ("token: s3cret", ["-auth", "s3cret"], "streaming { token: other }"),
        ("users: [ {user: jane, password: s3cret} ]", [], "streaming { user: jane, pass: s3cret }"),
    ],
)
def test_who_we_are_there(tmp_path: Path, accepted: str, flags: list[str], text: str) -> None:
    with running_nats_server(tmp_path, f"authorization {{ {accepted} }}") as nats:
        file = ["-c", write(tmp_path, text)] if text else []
        with running_server("-ns", nats.url, *file, *flags) as server:
            assert "s3cret" not in server.log
        refused = failed_start("-ns", nats.url)
        assert refused.returncode == 1
        assert "[FTL] STREAM: Failed to start: nats: Authorization Violation" in refused.stderr


@ours
@pytest.mark.row(122)
def test_a_list_of_servers_with_credentials_that_the_log_does_not_tell(tmp_path: Path) -> None:
    with closed_port() as closed, running_nats_server(tmp_path, USERS) as nats:
        urls = f"nats://jane:s3cret@{HOST}:{closed}, nats://jane:s3cret@{HOST}:{nats.port}"
        with running_server("-ns", urls) as server:
            nats.kill()
            server.wait_line("has been disconnected")
            nats.start()
            assert REDACTED in server.wait_line("reconnected to NATS Server at")
            assert "s3cret" not in server.log and "jane" not in server.log
        nats.kill()
        refused = failed_start("-ns", urls)
        assert refused.returncode == 1
        assert "Failed to start: nats: no servers available for connection" in refused.stderr
        assert "s3cret" not in refused.stderr


@ours
@pytest.mark.row(120)
@pytest.mark.parametrize("key", ["credentials", "nkey_seed_file"])
def test_keys_and_credentials_files_are_refused(tmp_path: Path, key: str) -> None:
    name = write(tmp_path, f"streaming {{ {key}: 'user.file' }}")
    refused = failed_start("-c", name, "-ns", "nats://127.0.0.1:1")
    assert refused.returncode == 1
    assert refused.stderr.startswith(f"{name}:1:13: {key} is not available: ")
    assert refused.stderr.count("\n") == 1


# TLS.

UNKNOWN = "x509: certificate signed by unknown authority"
WARNING = "[WRN] STREAM: TLS certificate chain and hostname will not be verified. DO NOT USE IN PRODUCTION!"


@pytest.mark.row(121)
@pytest.mark.parametrize(
    ("certificate", "keys", "expected"),
    [
        ("server", "client_ca: '{authority}'", ""),
        ("server", "client_cacert: '{other_authority}'", UNKNOWN),
        ("server", "server_name: localhost", UNKNOWN),
        ("elsewhere", "client_ca: '{authority}'", "x509: "),
        ("elsewhere", "client_ca: '{authority}', server_name: bus.example", ""),
        ("elsewhere", "client_ca: '{authority}', server_hostname: localhost", "x509: "),
        ("elsewhere", "skip_verify: true", ""),
        ("expired", "insecure: true", ""),
        ("expired", "client_ca: '{authority}'", "x509: certificate has expired or is not yet valid"),
    ],
)
def test_whom_we_trust(tmp_path: Path, certificates: Certificates, certificate: str, keys: str, expected: str) -> None:
    file: Path = getattr(certificates, certificate)
    inner = keys.format(authority=certificates.authority, other_authority=certificates.other_authority)
    name = write(tmp_path, f"streaming {{ tls {{ {inner} }} }}")
    with running_nats_server(tmp_path, tls(certificates, file)) as nats:
        if expected:
            refused = failed_start("-c", name, "-ns", nats.url)
            assert refused.returncode == 1
            assert f"[FTL] STREAM: Failed to start: {expected}" in refused.stderr
        else:
            with running_server("-c", name, "-ns", nats.url) as server:
                assert (WARNING in server.log) == ("verify" in keys or "insecure" in keys)


def tls(certificates: Certificates, certificate: Path, more: str = "") -> str:
    """The configuration of a nats-server with this certificate."""
    return f"tls {{ cert_file: '{certificate}', key_file: '{certificates.key(certificate)}', timeout: 5\n{more} }}"


@pytest.mark.row(121)
def test_a_server_that_wants_our_certificate(tmp_path: Path, certificates: Certificates) -> None:
    own = f"client_cert: '{certificates.client}', client_key: '{certificates.key(certificates.client)}'"
    trusted = f"client_ca: '{certificates.authority}'"
    verifying = tls(certificates, certificates.server, f"ca_file: '{certificates.authority}', verify: true")
    with running_nats_server(tmp_path, verifying) as nats:
        with running_server("-c", write(tmp_path, f"streaming {{ tls {{ {own}, {trusted} }} }}"), "-ns", nats.url):
            pass
        refused = failed_start("-c", write(tmp_path, f"streaming {{ tls {{ {trusted} }} }}"), "-ns", nats.url)
        assert refused.returncode == 1
        assert "[FTL] STREAM: Failed to start: " in refused.stderr


@pytest.mark.row(121)
@pytest.mark.parametrize("asked", ["secure: true", "tls { server_name: localhost }", "tls { skip_verify: true }"])
def test_a_server_without_tls_is_refused_by_who_asks_for_it(tmp_path: Path, nats: NatsServer, asked: str) -> None:
    refused = failed_start("-c", write(tmp_path, f"streaming {{ {asked} }}"), "-ns", nats.url)
    assert refused.returncode == 1
    assert "[FTL] STREAM: Failed to start: nats: secure connection not available" in refused.stderr
