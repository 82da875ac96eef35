"""TLS contexts for the ports of the server, out of its options."""

import ssl
from pathlib import Path

from durabus.config.ciphers import CIPHERS
from durabus.config.options import TlsOptions
from durabus.errors import StartError

__all__ = ["server_tls"]


def server_tls(options: TlsOptions, *, asks_client: bool) -> ssl.SSLContext:
    """How to serve TLS with the certificate of `options`; clients are asked for theirs only if `asks_client`.

    Raises StartError, whose text says which file is of no use, and why.
    """
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    for file in (options.certificate_file, options.key_file):
        check_readable(file)
    try:
        context.load_cert_chain(options.certificate_file, options.key_file, password="")  # never ask a person
        if options.ciphers:
            context.set_ciphers(":".join(CIPHERS[name] for name in options.ciphers))
        if asks_client and options.authority_file:
            check_readable(options.authority_file)
            context.load_verify_locations(options.authority_file)
        if asks_client and options.verify:
            context.verify_mode = ssl.CERT_REQUIRED
    except ssl.SSLError as error:
        raise StartError(str(error.reason or error)) from None
    return context


def check_readable(file: str) -> None:
    """Raise StartError when `file` cannot be opened."""
    try:
        Path(file).open("rb").close()
    except OSError as error:
        raise StartError(f"open {file}: {str(error.strerror).lower()}") from None
