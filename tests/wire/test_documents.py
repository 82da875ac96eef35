"""INFO and CONNECT: what is left out, what is not understood, and that nothing but DocumentError comes out."""

import contextlib
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from durabus.wire.documents import (
    ConnectDocument,
    ConnectRequestDocument,
    DocumentError,
    InfoDocument,
    ServerInfoDocument,
    decode_connect,
    decode_info,
    encode_connect,
    encode_info,
)


def info(client_id: int = 0, client_ip: str = "") -> InfoDocument:
    """What a server says of itself."""
    return InfoDocument(
        server_id="NSERVER",
        server_name="shop",
        version="0.1.0",
        proto=1,
        go="python",
        host="0.0.0.0",
        port=4222,
        headers=True,
        max_payload=1_048_576,
        client_id=client_id,
        client_ip=client_ip,
    )


def test_info_has_what_the_original_tells() -> None:
    assert json.loads(encode_info(info(7, "127.0.0.1"))) == {
        "server_id": "NSERVER",
        "server_name": "shop",
        "version": "0.1.0",
        "proto": 1,
        "go": "python",
        "host": "0.0.0.0",
        "port": 4222,
        "headers": True,
        "max_payload": 1_048_576,
        "client_id": 7,
        "client_ip": "127.0.0.1",
    }


def test_info_leaves_out_what_is_not_known() -> None:
    text = encode_info(info())
    assert b"client_id" not in text
    assert b"client_ip" not in text
    assert b"\n" not in text and b"\r" not in text, "it must fit on one line"


def test_a_client_that_says_nothing_is_verbose_and_pedantic() -> None:
    document = decode_connect(b"{}")
    assert (document.verbose, document.pedantic, document.echo) == (True, True, True)
    assert (document.headers, document.no_responders, document.protocol) == (False, False, 0)
    assert (document.name, document.lang, document.version) == ("", "", "")


def test_every_key_counts() -> None:
    said = {
        "verbose": False,
        "pedantic": False,
        "echo": False,
        "headers": True,
        "no_responders": True,
        "protocol": 1,
        "name": "orders",
        "lang": "node",
        "version": "1.4.12",
    }
    document = decode_connect(json.dumps(said).encode())
    assert {name: getattr(document, name) for name in said} == said


@pytest.mark.parametrize(
    "text",
    [
        b'{"verbose":false,"user":null,"tls_required":false,"jwt":"","nkey":"","sig":"","auth_token":"x"}',
        b'{"verbose":false,"nested":{"verbose":true}}',
        b' {"verbose" : false} ',
        b'{"verbose":true,"verbose":false}',
    ],
)
def test_other_keys_are_ignored(text: bytes) -> None:
    assert decode_connect(text).verbose is False


def test_null_says_nothing() -> None:
    document = decode_connect(b'{"verbose":null,"pedantic":false,"name":null,"protocol":null}')
    assert document == ConnectDocument(pedantic=False)
    assert decode_connect(b"null") == ConnectDocument()


def test_keys_in_any_case() -> None:
    assert decode_connect(b'{"Verbose":false,"NO_RESPONDERS":true}') == ConnectDocument(
        verbose=False, no_responders=True
    )


def test_text_that_is_not_utf_8() -> None:
    assert decode_connect(b'{"verbose":false,"name":"caf\xe9"}') == ConnectDocument(verbose=False, name="caf\ufffd")


@pytest.mark.parametrize(
    ("text", "named"),
    [
        (b'{"verbose":3}', "verbose"),
        (b'{"pedantic":"false"}', "pedantic"),
        (b'{"protocol":"1"}', "protocol"),
        (b'{"protocol":1.5}', "protocol"),
        (b'{"name":7}', "name"),
        (b'{"headers":[]}', "headers"),
    ],
)
def test_a_wrong_type_is_named(text: bytes, named: str) -> None:
    with pytest.raises(DocumentError, match=named):
        decode_connect(text)


@pytest.mark.parametrize(
    "text", [b"", b"{", b"[]", b"3", b'"{}"', b"{}{}", b"{'verbose':false}", b"\xff", b"{" * 4000, b"[" * 4000]
)
def test_what_is_no_document(text: bytes) -> None:
    with pytest.raises(DocumentError):
        decode_connect(text)


@given(
    st.binary(max_size=40)
    | st.sampled_from([b'{"a":' * 2000, b'{"name":"\xff', b'{"protocol":1e400}', b'{"protocol":' + b"9" * 3000 + b"}"])
)
def test_any_bytes(text: bytes) -> None:
    with contextlib.suppress(DocumentError):
        assert isinstance(decode_connect(text), ConnectDocument)


json_values = (
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(max_size=5)
)


@given(st.dictionaries(st.sampled_from(["verbose", "protocol", "name", "x", "Verbose"]), json_values))
def test_any_values(values: dict[str, object]) -> None:
    try:
        document = decode_connect(json.dumps(values).encode())
    except DocumentError:
        assert values
    else:
        assert type(document.verbose) is bool
        assert type(document.protocol) is int
        assert type(document.name) is str


# The other direction: what another server says, and what we say to it.


def test_what_we_look_at_in_the_info_of_another_server() -> None:
    assert decode_info(encode_info(info())) == ServerInfoDocument(
        tls_required=False, max_payload=1_048_576, headers=True
    )
    assert decode_info(b'{"server_id":"x","tls_required":true,"max_payload":5,"nonce":"y"}') == ServerInfoDocument(
        tls_required=True, max_payload=5, headers=False
    )


@given(
    st.binary(max_size=40) | st.sampled_from([b"", b"[]", b'{"max_payload":"big"}', b'{"max_payload":', b"{" * 4000])
)
def test_any_bytes_as_info(text: bytes) -> None:
    with contextlib.suppress(DocumentError):
        assert isinstance(decode_info(text), ServerInfoDocument)


def test_what_we_say_to_another_server() -> None:
    said = json.loads(encode_connect(ConnectRequestDocument(name="_NSS-shop-general", tls_required=False)))
    assert (said["verbose"], said["pedantic"], said["headers"], said["no_responders"]) == (False, False, True, True)
    assert (said["protocol"], said["name"], said["tls_required"]) == (1, "_NSS-shop-general", False)
    assert not {"user", "pass", "auth_token"} & set(said), "an empty password is not the same as none"
    document = ConnectRequestDocument(name="x", tls_required=True, user="me", password="secret", auth_token="t")
    said = json.loads(encode_connect(document))
    assert (said["user"], said["pass"], said["auth_token"], said["tls_required"]) == ("me", "secret", "t", True)


def test_our_own_server_understands_what_we_say() -> None:
    document = decode_connect(encode_connect(ConnectRequestDocument(name="x", tls_required=False)))
    assert (document.verbose, document.headers, document.no_responders, document.name) == (False, True, True, "x")
