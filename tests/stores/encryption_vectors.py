"""What NATS Streaming Server 0.23.2 stored with encryption: keys and plain data as they were given, messages from its files."""

from typing import NamedTuple

__all__ = ["VECTORS", "Vector"]


class Vector(NamedTuple):
    """One stored message."""

    key: str
    """As it was given to the server."""
    cipher: str
    """-encryption_cipher; empty: none was given, on x86-64."""
    channel: str
    sequence: int
    data: bytes
    """As it was published."""
    body: bytes
    """The MsgProto in the file."""


VECTORS = (
    Vector(
        "a secret of the tests",
        "AES",
        "foo",
        1,
        b"hello",
        bytes.fromhex(
            "08011203666f6f222201f496ecff0000000000000001f3391f38ff0b93f00a77f1f40d2ee9fbf4abdec37a28dc8ba8d59efab3f518"
        ),
    ),
    Vector(
        "a secret of the tests",
        "AES",
        "foo",
        2,
        b"",
        bytes.fromhex("08021203666f6f28d69e85d69efab3f518"),
    ),
    Vector(
        "a secret of the tests",
        "AES",
        "foo",
        3,
        b"x" * 99,
        bytes.fromhex(
            "08031203666f6f22800101f496ecff0000000000000002ef70bb98b99ab7f7d0d8512a0d7047e3f9e46db1e88f5e7bc8a18e"
            "89a06eed707820a0bff0a4d1d5d0650cfb144ea1f8246d0a5dcc35a78841fc119ad0e56cc5a7546ced0d28b6b5ad46ee7b94"
            "2f6f1041d6d7c9853c0e591392cdc410e7cfe03ce0ae11c493927303b5c533bcc6e2609cd056289bf4a9d69efab3f518"
        ),
    ),
    Vector(
        "a secret of the tests",
        "AES",
        "foo",
        4,
        b"\x01plain, it seems, and as long as anything that was encrypted",
        bytes.fromhex(
            "08041203666f6f225901f496ecff00000000000000038d4443a7fd39826e418722c266ec0b36d1befb761898032c3a7c4df9"
            "fcd9cb783ae8138c490cbe0b99a6c00686aa49a6591e69e589bd31d7cec9399c4a06525e52519c5c4bde3c3c5152b6f528b9"
            "f3e2d69efab3f518"
        ),
    ),
    Vector(
        "a secret of the tests",
        "AES",
        "orders.europe",
        1,
        b"\x00\xff\x00\xff\x00\xff",
        bytes.fromhex(
            "0801120d6f72646572732e6575726f70652223017d29f165000000000000000182935ab6a3af42d21801a5fcf0db64341347"
            "4c6668a328cfa495d79efab3f518"
        ),
    ),
    Vector(
        "clé 鍵",
        "CHACHA",
        "foo",
        1,
        b"hello",
        bytes.fromhex(
            "08011203666f6f22220289a1d1f00000000000000001048f92dcf5275a5096788e8d8bc2e6fafa40d12fc628a496def19efab3f518"
        ),
    ),
    Vector(
        "clé 鍵",
        "CHACHA",
        "foo",
        2,
        b"y" * 40,
        bytes.fromhex(
            "08021203666f6f22450289a1d1f00000000000000002c9c6f251001ca332c5ea13aa38af19ae9aa8a14c4de78d86683a6ba5"
            "bbb3bcef96385dd772d036a2d5fa26ac9b81cc311c3f1380bdf9e07e28ec98f8f29efab3f518"
        ),
    ),
    Vector(
        "clé 鍵",
        "CHACHA",
        "größe",
        1,
        b"42",
        bytes.fromhex(
            "080112076772c3b6c39f65221f021877cfb5000000000000000137ee48a455d9ae8b037ef33aaf62b519257428bed2baf29e"
            "fab3f518"
        ),
    ),
    Vector(
        "k",
        "",
        "a.very.long.name.of.a.channel.that.has.more.than.one.hundred.and.twenty.eight.letters.so.that.its.length.takes.two.bytes.in.a.message",
        1,
        b"data",
        bytes.fromhex(
            "0801128501612e766572792e6c6f6e672e6e616d652e6f662e612e6368616e6e656c2e746861742e6861732e6d6f72652e74"
            "68616e2e6f6e652e68756e647265642e616e642e7477656e74792e65696768742e6c6574746572732e736f2e746861742e69"
            "74732e6c656e6774682e74616b65732e74776f2e62797465732e696e2e612e6d657373616765222101d0d2f2550000000000"
            "000001c7de04cfa3feb8abd2285456cb38233e6ac4670928c9f09b899ffab3f518"
        ),
    ),
)
