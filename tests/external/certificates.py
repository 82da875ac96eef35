"""Certificates for tests, made by `openssl` when they are needed: an authority, servers, a client, and wrong ones."""

import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path

import pytest

__all__ = ["Certificates", "make_certificates"]

_KEY = ("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes")


@dataclass(frozen=True)
class Certificates:
    """Files in PEM form; X has its key in X.key."""

    authority: Path
    other_authority: Path
    server: Path
    """For `localhost` and 127.0.0.1."""
    named: Path
    """For `localhost`, not for 127.0.0.1."""
    elsewhere: Path
    """For `bus.example` only."""
    expired: Path
    """For `localhost` and 127.0.0.1, but yesterday."""
    client: Path
    locked_key: Path
    """The key of `client`, with a passphrase."""

    def key(self, certificate: Path) -> Path:
        """The key that belongs to a certificate."""
        return certificate.with_suffix(".key")


def _openssl(*arguments: str | Path) -> None:
    program = shutil.which("openssl")
    if program is None:
        pytest.skip("there is no openssl to make certificates with")
    done = subprocess.run([program, *map(str, arguments)], capture_output=True, text=True, check=False, timeout=60)
    assert done.returncode == 0, done.stderr


def _authority(folder: Path, name: str) -> Path:
    made = folder / f"{name}.pem"
    _openssl(
        "req", "-x509", *_KEY, "-keyout", made.with_suffix(".key"), "-out", made, "-days", "30", "-subj", f"/CN={name}"
    )
    return made


def _certificate(folder: Path, name: str, names: str, authority: Path, days: int = 30) -> Path:
    made = folder / f"{name}.pem"
    request = folder / f"{name}.csr"
    _openssl(
        "req", *_KEY, "-keyout", made.with_suffix(".key"), "-out", request, "-subj", f"/CN={name}",
        "-addext", f"subjectAltName={names}",
    )  # fmt: skip
    _openssl(
        "x509", "-req", "-in", request, "-CA", authority, "-CAkey", authority.with_suffix(".key"), "-CAcreateserial",
        "-copy_extensions", "copy", "-days", str(days), "-out", made,
    )  # fmt: skip
    return made


def make_certificates(folder: Path) -> Certificates:
    """Make all of them in `folder`."""
    authority = _authority(folder, "authority")
    here = "DNS:localhost,IP:127.0.0.1"
    client = _certificate(folder, "client", "DNS:client.example", authority)
    locked_key = folder / "locked.key"
    _openssl("pkcs8", "-topk8", "-in", client.with_suffix(".key"), "-out", locked_key, "-passout", "pass:secret")
    return Certificates(
        authority=authority,
        other_authority=_authority(folder, "other-authority"),
        server=_certificate(folder, "server", here, authority),
        named=_certificate(folder, "named", "DNS:localhost", authority),
        elsewhere=_certificate(folder, "elsewhere", "DNS:bus.example", authority),
        expired=_certificate(folder, "expired", here, authority, days=-1),
        client=client,
        locked_key=locked_key,
    )
