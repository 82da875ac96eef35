"""Messages of one channel with their data encrypted, as NATS Streaming Server stores them, and back.

Data are stored as `code(1) nonce(12) ciphertext tag(16)`; the code names the cipher. Everything else of a message stays
as it is, and so do empty data. Compiled: here is all that happens per message.
"""

from collections.abc import Callable
from typing import Final

from mypy_extensions import i64

from durabus.wire.stored_data import StoredData, with_data

__all__ = [
    "CODE_AES",
    "CODE_CHACHA",
    "DOUBTFUL",
    "ENCRYPTED",
    "OVERHEAD_BYTES",
    "PLAIN",
    "UNREADABLE",
    "ChannelCipher",
    "look_encrypted",
]

CODE_AES: Final = 1
CODE_CHACHA: Final = 2
OVERHEAD_BYTES: Final = 29
"""What data grow by."""
_HEADER_BYTES: Final = 13
_SHORTEST_BYTES: Final = OVERHEAD_BYTES + 1
_WRONG_BITS_MIN: Final = 4

PLAIN: Final = 0
"""The data are stored as they are, or there are none."""
ENCRYPTED: Final = 1
"""The data can be decrypted."""
UNREADABLE: Final = 2
"""The data are encrypted, and cannot be decrypted with this key."""
DOUBTFUL: Final = 3
"""The same, but the data may be damaged, or plain after all; or the message is none."""

Encrypt = Callable[[bytes, bytes, None], bytes]
"""From nonce and data to ciphertext and tag."""
Decrypt = Callable[[bytes, bytes], bytes | None]
"""From nonce, and ciphertext with tag, to the data; None when they do not belong together."""


class ChannelCipher:
    """Encrypts and decrypts what one channel has, with the channel's own key."""

    def __init__(self, code: int, encrypt: Encrypt, decrypt_aes: Decrypt, decrypt_chacha: Decrypt) -> None:
        """Encrypt with the cipher that `code` names; decrypt with whichever it was. `begin` comes before encrypting."""
        self.stopped_at: i64 = 0
        self._code = code
        self._encrypt = encrypt
        self._decrypt_aes = decrypt_aes
        self._decrypt_chacha = decrypt_chacha
        self._start = b""
        self._counter: i64 = 0
        self._where = StoredData()

    @property
    def has_begun(self) -> bool:
        """Whether `begin` was called."""
        return bool(self._start)

    def begin(self, salt: bytes, sequence: int) -> None:
        """The nonces from now on are these 4 random bytes and a number that begins at the `sequence` of the next message."""
        self._start = bytes([self._code]) + salt
        self._counter = sequence

    def encrypted(self, bodies: list[bytes]) -> list[bytes]:
        """Stored messages out of plain ones. Raises ValueError for one that is no MsgProto: it must not get there plain."""
        where = self._where
        encrypt = self._encrypt
        found: list[bytes] = []
        for body in bodies:
            if not where.locate(body):
                raise ValueError("what is to be encrypted is no stored message")
            if where.start == where.end:
                found.append(body)
                continue
            header = self._start + int(self._counter).to_bytes(8, "big")
            self._counter += 1
            data = encrypt(header[1:], body[where.start : where.end], None)
            found.append(with_data(body, where, header, data))
        return found

    def decrypted(self, bodies: list[bytes], first: i64) -> list[bytes]:
        """Plain messages out of stored ones, which begin at sequence `first`, up to the first that is unreadable.

        `stopped_at` is the sequence of that one, 0 when there is none.
        """
        found: list[bytes] = []
        self.stopped_at = 0
        for body in bodies:
            opened = self._opened(body, first)
            if opened is None:
                self.stopped_at = first
                break
            found.append(opened)
            first += 1
        return found

    def kind(self, body: bytes, sequence: i64) -> int:
        """Whether the stored message `sequence` is PLAIN, ENCRYPTED, UNREADABLE or DOUBTFUL."""
        opened = self._opened(body, sequence)
        if opened is not None:
            return PLAIN if opened is body else ENCRYPTED
        return UNREADABLE if look_encrypted(body, sequence) else DOUBTFUL

    def _opened(self, body: bytes, sequence: i64) -> bytes | None:
        """The plain message, `body` itself where nothing is encrypted; None when it is unreadable."""
        where = self._where
        if not body:
            return body  # lost: there is nothing to be decrypted
        if not where.locate(body):
            return None
        start: i64 = where.start
        length: i64 = where.end - start
        if length < _SHORTEST_BYTES:
            return body  # encrypted data are longer, or there are none
        code: i64 = body[start]
        if code != CODE_AES and code != CODE_CHACHA:
            return body
        nonce = body[start + 1 : start + _HEADER_BYTES]
        decrypt = self._decrypt_aes if code == CODE_AES else self._decrypt_chacha
        data = decrypt(nonce, body[start + _HEADER_BYTES : where.end])
        if data is not None:
            return with_data(body, where, b"", data)
        return None if could_be_nonce(nonce, sequence) else body


def look_encrypted(body: bytes, sequence: i64) -> bool:
    """Whether the data of the stored message `sequence` have the form of encrypted ones, and a nonce that fits."""
    where = StoredData()
    if not where.locate(body) or where.end - where.start < _SHORTEST_BYTES:
        return False
    start: i64 = where.start
    code: i64 = body[start]
    number = int.from_bytes(body[start + _HEADER_BYTES - 8 : start + _HEADER_BYTES], "big")
    return code in (CODE_AES, CODE_CHACHA) and 0 < number <= int(sequence)


def could_be_nonce(nonce: bytes, sequence: i64) -> bool:
    """Whether the 12 bytes `nonce` could be those of message `sequence`, which counts nonces from 1 on, or nearly.

    Their number is that of a message of the same channel, so they agree in the upper half but for a damaged bit or two.
    Data that are not encrypted and only begin with a byte like a code do not: of their own accord nearly never.
    """
    differing = (int.from_bytes(nonce[4:8], "big") ^ (int(sequence) >> 32)).bit_count()
    return differing < _WRONG_BITS_MIN
