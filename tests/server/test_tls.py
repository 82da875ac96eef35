"""TLS contexts of the server's ports."""

import ssl
from pathlib import Path

import pytest

from durabus.config.options import TlsOptions
from durabus.errors import StartError
from durabus.server.tls import server_tls
from tests.external.certificates import Certificates, make_certificates


@pytest.fixture(scope="module")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> Certificates:
    """Certificates for servers and clients."""
    return make_certificates(tmp_path_factory.mktemp("certificates"))


def options(certificates: Certificates, *, verify: bool = False, ciphers: tuple[str, ...] = ()) -> TlsOptions:
    """TLS with a good certificate."""
    return TlsOptions(
        enabled=True,
        certificate_file=str(certificates.server),
        key_file=str(certificates.key(certificates.server)),
        authority_file=str(certificates.authority),
        verify=verify,
        ciphers=ciphers,
    )


@pytest.mark.parametrize(
    ("asks", "verify", "expected"),
    [(True, True, ssl.CERT_REQUIRED), (True, False, ssl.CERT_NONE), (False, True, ssl.CERT_NONE)],
)
def test_who_is_asked_for_a_certificate(
    certificates: Certificates, asks: bool, verify: bool, expected: ssl.VerifyMode
) -> None:
    assert server_tls(options(certificates, verify=verify), asks_client=asks).verify_mode is expected


def test_old_versions_are_not_spoken(certificates: Certificates) -> None:
    assert server_tls(options(certificates), asks_client=False).minimum_version is ssl.TLSVersion.TLSv1_2


def test_ciphers(certificates: Certificates) -> None:
    chosen = ("TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384",)
    context = server_tls(options(certificates, ciphers=chosen), asks_client=False)
    old = [cipher["name"] for cipher in context.get_ciphers() if cipher["protocol"] != "TLSv1.3"]
    assert old == ["ECDHE-RSA-AES256-GCM-SHA384"]


@pytest.mark.row(121)
def test_files_of_no_use(certificates: Certificates, tmp_path: Path) -> None:
    nothing = tmp_path / "none.pem"
    for certificate, key, authority in (
        (nothing, certificates.key(certificates.server), certificates.authority),
        (certificates.server, nothing, certificates.authority),
        (certificates.server, certificates.key(certificates.client), certificates.authority),
        (certificates.server, certificates.locked_key, certificates.authority),
        (certificates.server, certificates.key(certificates.server), nothing),
    ):
        with pytest.raises(StartError) as caught:
            server_tls(
                TlsOptions(certificate_file=str(certificate), key_file=str(key), authority_file=str(authority)),
                asks_client=True,
            )
        assert "\n" not in str(caught.value)
