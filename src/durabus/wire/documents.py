"""The two JSON documents of the NATS protocol: INFO, which the server says, and CONNECT, which the client answers."""

import msgspec

__all__ = ["ConnectDocument", "DocumentError", "InfoDocument", "decode_connect", "encode_info"]


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


class ConnectDocument(msgspec.Struct):
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
