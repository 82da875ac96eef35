"""TLS to a real nats-server: whom we trust, who trusts us, and what is said when somebody does not."""

import re
import ssl
from collections.abc import Callable
from pathlib import Path

import pytest

from durabus.broker.uplink import UplinkSettings, make_tls_context
from durabus.errors import StartError
from tests.external.certificates import Certificates
from tests.external.harness import LoopFactory, Station, connected, run, settings_for, until
from tests.nats_server import NatsServer, running_nats_server

UNKNOWN = "x509: certificate signed by unknown authority"


def tls(certificates: Certificates, certificate: Path, *more: str) -> str:
    """The configuration of a server with this certificate."""
    key = certificates.key(certificate)
    lines = [f'cert_file: "{certificate}"', f'key_file: "{key}"', "timeout: 5", *more]
    return "tls {\n" + "\n".join(lines) + "\n}\n"


def trusting(
    certificates: Certificates, server: NatsServer, host: str = "127.0.0.1", scheme: str = "nats"
) -> UplinkSettings:
    """Settings of one who trusts the authority."""
    settings = settings_for(f"{scheme}://{host}:{server.port}")
    settings.tls = make_tls_context(str(certificates.authority))
    return settings


def is_encrypted(station: Station) -> bool:
    """Whether what is said is said in TLS."""
    connection = station.uplink._connection
    assert connection is not None and connection.transport is not None
    return connection.transport.get_extra_info("ssl_object") is not None


async def talks(settings: UplinkSettings, encrypted: bool = True) -> None:
    """There is a connection, and it carries messages of any size."""
    async with connected(settings) as one:
        assert is_encrypted(one) == encrypted
        await one.listen(b"foo")
        large = [b"a" * 70_000, b"b" * 1024 * 1024, b"", b"c"]
        assert one.say(b"foo", *large)
        await one.hears(*large)
        assert one.lines == [] and one.changes == []


async def refusal(settings: UplinkSettings) -> str:
    """Why there is no connection."""
    station = Station(settings)
    with pytest.raises(StartError) as caught:
        await station.start()
    assert not station.bus.is_open()
    await station.uplink.stop()
    return str(caught.value)


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost"])
@pytest.mark.parametrize("scheme", ["nats", "tls"])
def test_a_trusted_server(
    tmp_path: Path, certificates: Certificates, make_loop: LoopFactory, host: str, scheme: str
) -> None:
    with running_nats_server(tmp_path, tls(certificates, certificates.server)) as server:
        run(make_loop, talks(trusting(certificates, server, host, scheme)))


def test_tls_that_nobody_configured(tmp_path: Path, certificates: Certificates, make_loop: LoopFactory) -> None:
    """The server wants it: then the system's authorities decide, and they do not know ours."""

    async def scenario() -> None:
        assert await refusal(settings_for(server.url)) == UNKNOWN

    with running_nats_server(tmp_path, tls(certificates, certificates.server)) as server:
        run(make_loop, scenario())


@pytest.mark.row(121)
@pytest.mark.parametrize(
    ("certificate", "authority", "name", "expected"),
    [
        ("server", "other_authority", "", UNKNOWN),
        ("server", "authority", "bus.example", "x509: Hostname mismatch, certificate is not valid for 'bus.example'."),
        ("elsewhere", "authority", "", "x509: IP address mismatch, certificate is not valid for '127.0.0.1'."),
        ("named", "authority", "", "x509: IP address mismatch, certificate is not valid for '127.0.0.1'."),
        ("expired", "authority", "", "x509: certificate has expired or is not yet valid"),
        ("elsewhere", "authority", "bus.example", ""),
        ("named", "authority", "localhost", ""),
    ],
)
def test_certificates_and_names(
    tmp_path: Path,
    certificates: Certificates,
    make_loop: LoopFactory,
    certificate: str,
    authority: str,
    name: str,
    expected: str,
) -> None:
    async def scenario() -> None:
        settings = settings_for(server.url)
        settings.tls = make_tls_context(str(getattr(certificates, authority)))
        settings.tls_server_name = name
        if expected:
            assert await refusal(settings) == expected
        else:
            await talks(settings)

    with running_nats_server(tmp_path, tls(certificates, getattr(certificates, certificate))) as server:
        run(make_loop, scenario())


@pytest.mark.row(121)
@pytest.mark.parametrize("certificate", ["server", "elsewhere", "expired"])
def test_whoever_it_is(tmp_path: Path, certificates: Certificates, make_loop: LoopFactory, certificate: str) -> None:
    async def scenario() -> None:
        settings = settings_for(server.url)
        settings.tls = make_tls_context(skip_verify=True)
        await talks(settings)

    with running_nats_server(tmp_path, tls(certificates, getattr(certificates, certificate))) as server:
        run(make_loop, scenario())


def test_a_server_that_wants_to_know_us(tmp_path: Path, certificates: Certificates, make_loop: LoopFactory) -> None:
    def known(certificate: Path) -> UplinkSettings:
        settings = settings_for(server.url)
        key = certificates.key(certificate)
        settings.tls = make_tls_context(str(certificates.authority), str(certificate), str(key))
        return settings

    async def scenario() -> None:
        await talks(known(certificates.client))
        for settings in (known(certificates.other_authority), trusting(certificates, server)):
            assert re.fullmatch(
                r"remote error: tls: .*certificate|"
                r"nats: the server closed the connection: .* \(it may want another client certificate\)",
                await refusal(settings),
            )

    verifying = tls(certificates, certificates.server, f'ca_file: "{certificates.authority}"', "verify: true")
    with running_nats_server(tmp_path, verifying) as server:
        run(make_loop, scenario())


@pytest.mark.parametrize("scheme", ["nats", "tls"])
def test_a_server_without_tls(tmp_path: Path, certificates: Certificates, make_loop: LoopFactory, scheme: str) -> None:
    async def scenario() -> None:
        settings = trusting(certificates, server, scheme=scheme)
        settings.must_be_tls = scheme == "nats"
        assert await refusal(settings) == "nats: secure connection not available"
        await talks(settings_for(server.url), encrypted=False)

    with running_nats_server(tmp_path) as server:
        run(make_loop, scenario())


def test_a_server_with_both(tmp_path: Path, certificates: Certificates, make_loop: LoopFactory) -> None:
    async def scenario() -> None:
        settings = trusting(certificates, server)
        await talks(settings, encrypted=False)
        settings.must_be_tls = True
        await talks(settings)
        await talks(trusting(certificates, server, scheme="tls"))

    with running_nats_server(tmp_path, tls(certificates, certificates.server) + "allow_non_tls: true\n") as server:
        run(make_loop, scenario())


def test_credentials_within_tls(tmp_path: Path, certificates: Certificates, make_loop: LoopFactory) -> None:
    async def scenario() -> None:
        settings = trusting(certificates, server)
        assert await refusal(settings) == "nats: Authorization Violation"
        settings.token = "s3cret"
        await talks(settings)

    configuration = tls(certificates, certificates.server) + "authorization { token: s3cret }\n"
    with running_nats_server(tmp_path, configuration) as server:
        run(make_loop, scenario())


@pytest.mark.parametrize("make_context", [make_tls_context, lambda _: make_tls_context(skip_verify=True)])
def test_killed_and_started_again(
    tmp_path: Path, certificates: Certificates, make_loop: LoopFactory, make_context: Callable[[str], ssl.SSLContext]
) -> None:
    async def scenario() -> None:
        settings = settings_for(server.url)
        settings.tls = make_context(str(certificates.authority))
        async with connected(settings) as one:
            await one.listen(b"foo")
            for life in range(1, 4):
                server.kill()
                await until(lambda life=life: len(one.changes) == 2 * life - 1)  # type: ignore[misc]
                server.start()
                await until(lambda life=life: one.changes == [False, True] * life)  # type: ignore[misc]
                assert is_encrypted(one)
                assert one.say(b"foo", b"x" * 100_000)
                await one.hears(b"x" * 100_000)

    with running_nats_server(tmp_path, tls(certificates, certificates.server)) as server:
        run(make_loop, scenario())


def test_another_certificate_after_the_restart(
    tmp_path: Path, certificates: Certificates, make_loop: LoopFactory
) -> None:
    async def scenario() -> None:
        async with connected(trusting(certificates, server)) as one:
            server.kill()
            server.configure(tls(certificates, certificates.elsewhere))
            server.start()
            await until(lambda: len(one.lines) == 2)
            assert "cannot be made again yet: x509: IP address mismatch" in one.lines[1]
            server.kill()
            server.configure("")
            server.start()
            await until(lambda: one.changes == [False, True])
            assert not is_encrypted(one), "TLS was a matter of the server, not of the settings"

    with running_nats_server(tmp_path, tls(certificates, certificates.server)) as server:
        run(make_loop, scenario())


def test_a_server_that_only_the_first_one_knew(
    tmp_path: Path, certificates: Certificates, make_loop: LoopFactory
) -> None:
    """It is told by its IP address; its certificate has the name by which we know the first one."""
    common = tls(certificates, certificates.named) + "authorization { token: secret }\n"

    async def scenario() -> None:
        async with connected(trusting(certificates, first, "secret@localhost")) as one:
            await until(lambda: str(second.port).encode() in one.bus.info, "word of the other server")
            first.kill()
            await until(lambda: one.changes == [False, True])
            assert str(one.uplink.address) == f"nats://[REDACTED]@127.0.0.1:{second.port}"
            assert is_encrypted(one)

    with running_nats_server(tmp_path, common + 'cluster { name: a, listen: "127.0.0.1:-1" }') as first:
        routes = first.wait_line("Listening for route connections on").rpartition(":")[2]
        joining = f'cluster {{ name: a, listen: "127.0.0.1:-1", routes: ["nats-route://127.0.0.1:{routes}"] }}'
        with running_nats_server(tmp_path, common + joining) as second:
            run(make_loop, scenario())
