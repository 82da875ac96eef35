"""The uplink without a network: what addresses may look like, files for TLS, and what goes wrong in words.

Its connections are tested in tests/external, with a real nats-server and with servers by script.
"""

import errno
import socket
import ssl
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from durabus.broker import uplink as uplink_module
from durabus.broker.uplink import (
    SKIP_VERIFY_WARNING,
    ServerAddress,
    make_tls_context,
    parse_address,
    parse_servers,
)
from durabus.errors import StartError
from tests.external.certificates import Certificates, make_certificates


@pytest.fixture(scope="module")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> Certificates:
    return make_certificates(tmp_path_factory.mktemp("certificates"))


# Addresses.


def parts(address: ServerAddress) -> tuple[str, int, str, str, str, bool]:
    """Everything about an address."""
    return (address.host, address.port, address.user, address.password, address.token, address.is_tls)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("nats://localhost:4222", [("localhost", 4222, "", "", "", False)]),
        ("nats://10.0.0.1:1/", [("10.0.0.1", 1, "", "", "", False)]),
        ("nats://[::1]:4222", [("::1", 4222, "", "", "", False)]),
        ("nats://:4222", [("localhost", 4222, "", "", "", False)]),
        ("tls://bus.example:4443", [("bus.example", 4443, "", "", "", True)]),
        ("http://bus.example:4443", [("bus.example", 4443, "", "", "", False)]),
        ("nats://jane:pw@bus.example", [("bus.example", 4222, "jane", "pw", "", False)]),
        ("jane:pw@bus.example", [("bus.example", 4222, "jane", "pw", "", False)]),
        ("jane:pw@[::1]:7", [("::1", 7, "jane", "pw", "", False)]),
        ("nats://jane:p%40w%3A@h:1", [("h", 1, "jane", "p@w:", "", False)]),
        ("nats://jane:p@w@h:1", [("h", 1, "jane", "p@w", "", False)]),
        ("nats://jane:@h:1", [("h", 1, "jane", "", "", False)]),
        ("nats://t0ken@h:1", [("h", 1, "", "", "t0ken", False)]),
        ("tls://t0ken@h:1", [("h", 1, "", "", "t0ken", True)]),
        (
            "nats://a:1, b ,tls://c:3,u:p@d,t@e:5",
            [
                ("a", 1, "", "", "", False),
                ("b", 4222, "", "", "", False),
                ("c", 3, "", "", "", True),
                ("d", 4222, "u", "p", "", False),
                ("e", 5, "", "", "t", False),
            ],
        ),
    ],
)
def test_addresses(text: str, expected: list[tuple[str, int, str, str, str, bool]]) -> None:
    assert [parts(address) for address in parse_servers(text)] == expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("127.0.0.1:24999", "malformed url: 127.0.0.1:24999"),
        ("localhost", "malformed url: localhost"),
        ("nats://a://b", "malformed url: nats://a://b"),
        ("", "malformed url: "),
        ("nats://localhost", "address localhost: missing port in address"),
        ("nats://[::1]", "address [::1]: missing port in address"),
        ("nats://::1:4222", "address ::1:4222: too many colons in address"),
        ("nats://localhost:port", "malformed url: nats://localhost:port"),
        ("nats://localhost:99999", "malformed url: nats://localhost:99999"),
        ("nats://local host:4222", "malformed url: nats://local host:4222"),
        ("nats://[::1:4222", "address [::1:4222: too many colons in address"),
        ("nats://]:4222", "malformed url: nats://]:4222"),
        ("ws://a:80", "malformed url: ws://a:80: WebSocket is not supported, use nats:// or tls://"),
        ("nats://a:1,", "malformed url: "),
        ("nats://a:1,,nats://b:2", "malformed url: "),
        ("nats://a:1,nats://b:x", "malformed url: nats://b:x"),
        ("nats://jane:secret@h:x", "malformed url: [REDACTED]"),
        ("nats://jane:se/cret@h:1", "malformed url: [REDACTED]"),
        ("nats://jane:sec[ret@h:1", "malformed url: [REDACTED]"),
        ("nats://jane:12/34@h:1", "malformed url: [REDACTED]"),
        ("nats://jane:12#34@h:1", "malformed url: [REDACTED]"),
        ("nats://jane:sec,ret@h:1", "malformed url: [REDACTED] (number 1 of 2)"),
        ("nats://a:1,nats://jane:secret@h:x", "malformed url: [REDACTED] (number 2 of 2)"),
        ("wss://jane:secret@h", "malformed url: [REDACTED]: WebSocket is not supported, use nats:// or tls://"),
    ],
)
def test_malformed_addresses(text: str, expected: str) -> None:
    with pytest.raises(StartError) as caught:
        parse_servers(text)
    assert str(caught.value) == expected
    assert caught.value.__suppress_context__ or caught.value.__context__ is None, "a traceback would quote it"


@given(
    st.text(max_size=30), st.sampled_from(["nats://jane:hidden@%s", "nats://hidden@h:%s", "nats://a:1,jane:hidden%s@h"])
)
def test_no_malformed_address_shows_a_credential(text: str, form: str) -> None:
    shown: list[object] = []
    try:
        shown += parse_servers(form % text.replace("hidden", ""))
    except StartError as error:
        shown.append(error)
    assert shown
    for one in shown:
        assert "hidden" not in str(one) and "hidden" not in repr(one)


@pytest.mark.row(122)
@pytest.mark.parametrize(
    ("url", "expected"),
    [
        ("nats://h:1", "nats://h:1"),
        ("tls://h:1", "tls://h:1"),
        ("jane:pw@h", "nats://[REDACTED]@h:4222"),
        ("token@[::1]:7", "nats://[REDACTED]@[::1]:7"),
        (":pw@h:1", "nats://[REDACTED]@h:1"),
    ],
)
def test_addresses_in_the_log(url: str, expected: str) -> None:
    assert str(parse_address(url)) == expected


# TLS files.


def test_contexts(certificates: Certificates) -> None:
    trusting = make_tls_context(str(certificates.authority))
    assert (trusting.verify_mode, trusting.check_hostname) == (ssl.CERT_REQUIRED, True)
    assert len(trusting.get_ca_certs()) == 1, "the given authority, and nobody else's"
    careless = make_tls_context(skip_verify=True)
    assert (careless.verify_mode, careless.check_hostname) == (ssl.CERT_NONE, False)
    key = certificates.key(certificates.client)
    make_tls_context("", str(certificates.client), str(key))
    assert trusting.minimum_version >= ssl.TLSVersion.TLSv1_2
    assert "DO NOT USE IN PRODUCTION!" in SKIP_VERIFY_WARNING


def test_files_of_no_use(certificates: Certificates, tmp_path: Path) -> None:
    nothing = tmp_path / "nothing.pem"
    nonsense = tmp_path / "nonsense.pem"
    nonsense.write_text("nonsense", encoding="ascii")
    client, key = certificates.client, certificates.key(certificates.client)
    loading = "nats: error loading client certificate: "
    wrong = {
        (nothing, "", ""): f"nats: error loading or parsing rootCA file: open {nothing}: no such file or directory",
        (tmp_path, "", ""): f"nats: error loading or parsing rootCA file: open {tmp_path}: is a directory",
        (nonsense, "", ""): f'nats: failed to parse root certificate from "{nonsense}"',
        ("", nothing, key): f"{loading}open {nothing}: no such file or directory",
        ("", client, nothing): f"{loading}open {nothing}: no such file or directory",
        ("", client, ""): f"{loading}open : no such file or directory",
        ("", "", key): f"{loading}open : no such file or directory",
        ("", nonsense, key): f"{loading}tls: no PEM data in it, or the key has a passphrase",
        ("", client, certificates.locked_key): f"{loading}tls: no PEM data in it, or the key has a passphrase",
        ("", client, certificates.key(certificates.server)): f"{loading}tls: key values mismatch",
    }
    for (authority, certificate, private), expected in wrong.items():
        with pytest.raises(StartError) as caught:
            make_tls_context(str(authority), str(certificate), str(private))
        assert str(caught.value) == expected


# What goes wrong, in words.


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        (ConnectionRefusedError(errno.ECONNREFUSED, "Connect call failed ('127.0.0.1', 1)"), ""),
        (OSError("Multiple exceptions: [Errno 111] Connect call failed ('::1', 1, 0, 0), [Errno 111] Co"), ""),
        (socket.gaierror(-2, "Name or service not known"), "dial tcp: lookup h: no such host"),
        (UnicodeError("label too long"), "dial tcp: lookup h: no such host"),
        (TimeoutError(), "dial tcp h:7: i/o timeout"),
        (OSError(errno.ENETUNREACH, "Network is unreachable"), "dial tcp h:7: network is unreachable"),
        (OSError(), "dial tcp h:7: oserror"),
        (ConnectionResetError(), "dial tcp h:7: connection reset by peer"),
        (ssl.SSLError(1, "[SSL: WRONG_VERSION_NUMBER] wrong version number (_ssl.c:1)"), "tls: "),
    ],
)
def test_words_for_errors(error: OSError | ValueError, expected: str) -> None:
    words = uplink_module._network_words(error, ServerAddress("h", 7, "", "secret", "", False))
    assert words.startswith(expected) if expected == "tls: " else words == expected
