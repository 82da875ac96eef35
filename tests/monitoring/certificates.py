"""A certificate that signs itself, for tests of HTTPS."""

import shutil
import ssl
import subprocess
from pathlib import Path

import pytest

__all__ = ["make_certificate", "server_context"]


def make_certificate(folder: Path) -> tuple[Path, Path]:
    """The files of a certificate for 127.0.0.1 and of its key."""
    program = shutil.which("openssl")
    if program is None:
        pytest.skip("there is no openssl to make a certificate with")
    certificate, key = folder / "monitoring.pem", folder / "monitoring.key"
    words = (
        "req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 30 -subj /CN=monitoring "
        "-addext subjectAltName=IP:127.0.0.1"
    )
    command = [program, *words.split(), "-keyout", str(key), "-out", str(certificate)]
    subprocess.run(command, capture_output=True, check=True, timeout=60)
    return certificate, key


def server_context(certificate: Path, key: Path) -> ssl.SSLContext:
    """TLS with that certificate."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, key)
    return context
