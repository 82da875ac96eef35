"""Cipher suites: each name leads to a suite that OpenSSL knows."""

import ssl

import pytest

from durabus.config.ciphers import CIPHERS


@pytest.mark.parametrize(
    "name", [name for name in CIPHERS if not name.startswith("TLS_AES") and "POLY1305_SHA" not in name]
)
def test_openssl_knows_them(name: str) -> None:  # fmt: skip
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.set_ciphers(f"{CIPHERS[name]}:@SECLEVEL=0")
    assert CIPHERS[name] in {cipher["name"] for cipher in context.get_ciphers()}


def test_those_of_tls_1_3_keep_their_names() -> None:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    always = {cipher["name"] for cipher in context.get_ciphers() if cipher["protocol"] == "TLSv1.3"}
    assert {name for name, other in CIPHERS.items() if name == other} <= always
