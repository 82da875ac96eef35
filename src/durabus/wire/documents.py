"""The two JSON documents of the NATS protocol: INFO, which the server says, and CONNECT, which the client answers."""

import msgspec

__all__ = [
    "ConnectDocument",
    "ConnectRequestDocument",
    "DocumentError",
    "InfoDocument",
    "ServerInfoDocument",
    "decode_connect",
    "decode_info",
    "encode_connect",
    "encode_info",
]


class DocumentError(ValueError):
    """A CONNECT line whose JSON is not what it must be; the text names the key."""


class InfoDocument(msgspec.Struct, omit_defaults=True):
    """What INFO tells: docs/protocol.md §1.2. `max_payload` in bytes."""

    server_id: str
    server_name: str
    version: str
    proto: int
    go: str
    host: str
    port: int
    headers: bool
    max_payload: int
    client_id: int = 0
    client_ip: str = ""
    auth_required: bool = False
    tls_required: bool = False
    tls_verify: bool = False


class ConnectDocument(msgspec.Struct, rename={"password": "pass"}):
    """What CONNECT may say; the defaults are what a client gets that leaves a key out: docs/protocol.md §1.3."""

    verbose: bool = True
    pedantic: bool = True
    echo: bool = True
    headers: bool = False
    no_responders: bool = False
    protocol: int = 0
    name: str = ""
    lang: str = ""
    version: str = ""
    user: str = ""
    password: str = ""
    auth_token: str = ""


def encode_info(document: InfoDocument) -> bytes:
    """The JSON text of an INFO document."""
    return msgspec.json.encode(document)


def decode_connect(text: bytes) -> ConnectDocument:
    """Decode the JSON text of a CONNECT line; unknown keys are ignored; raises DocumentError.

    As lenient as the original: keys in any case, `null` says nothing, and text need not be UTF-8.
    """
    try:
        said = msgspec.json.decode(text.decode(errors="replace"), type=dict[str, object] | None) or {}
        known = {key.lower(): value for key, value in said.items() if value is not None}
        return msgspec.convert(known, ConnectDocument)
    except (msgspec.DecodeError, RecursionError) as error:
        raise DocumentError(str(error)) from None


class ServerInfoDocument(msgspec.Struct):
    """What we look at in the INFO of another server."""

    tls_required: bool = False
    max_payload: int = 1024 * 1024
    headers: bool = False


class ConnectRequestDocument(msgspec.Struct, omit_defaults=True, rename={"password": "pass"}):
    """What we say to another server: quiet, strict about nothing, told at once when nobody takes a request."""

    name: str
    tls_required: bool
    user: str = ""
    password: str = ""
    auth_token: str = ""


def decode_info(text: bytes) -> ServerInfoDocument:
    """Decode the JSON text of another server's INFO; raises DocumentError."""
    try:
        return msgspec.json.decode(text, type=ServerInfoDocument)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise DocumentError(str(error)) from None


def encode_connect(document: ConnectRequestDocument) -> bytes:
    """The JSON text of a CONNECT line: the fixed part, and what `document` adds."""
    fixed: dict[str, object] = {
        "verbose": False,
        "pedantic": False,
        "echo": True,
        "headers": True,
        "no_responders": True,
        "protocol": 1,
        "lang": "python",
        "version": "0",
    }
    return msgspec.json.encode({**fixed, **msgspec.to_builtins(document)})
