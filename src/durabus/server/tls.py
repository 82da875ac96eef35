"""TLS contexts for the ports of the server, out of its options."""

import ssl
from pathlib import Path

from durabus.config.ciphers import CIPHERS
from durabus.config.options import OptionsError, TlsOptions

__all__ = ["server_tls"]


def server_tls(options: TlsOptions, *, asks_client: bool) -> ssl.SSLContext:
    """How to serve TLS with the certificate of `options`; clients are asked for theirs only if `asks_client`.

    Raises OptionsError, whose text says which file is of no use, and why.
    """
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    check_readable(options.certificate_file, "tls.certificate_file")
    check_readable(options.key_file, "tls.key_file")
    option = "tls.certificate_file"
    try:
        context.load_cert_chain(options.certificate_file, options.key_file, password="")  # never ask a person
        option = "tls.ciphers"
        if options.ciphers:
            context.set_ciphers(":".join(CIPHERS[name] for name in options.ciphers))
        option = "tls.authority_file"
        if asks_client and options.authority_file:
            check_readable(options.authority_file, option)
            context.load_verify_locations(options.authority_file)
        if asks_client and options.verify:
            context.verify_mode = ssl.CERT_REQUIRED
    except ssl.SSLError as error:
        raise OptionsError(str(error.reason or error), option) from None
    return context


def check_readable(file: str, option: str) -> None:
    """Raise OptionsError about `option` when its `file` cannot be opened."""
    try:
        Path(file).open("rb").close()
    except OSError as error:
        raise OptionsError(f"open {file}: {str(error.strerror).lower()}", option) from None
