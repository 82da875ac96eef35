"""The keys and ciphers of encryption at rest: those of NATS Streaming Server, bit by bit.

From the key that the operator gives comes the master key, from that and its name the key of each channel.
"""

import hashlib
import platform
from typing import TYPE_CHECKING, Final

from durabus.errors import StartError
from durabus.stores.encryption_bodies import CODE_AES, CODE_CHACHA, ChannelCipher

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.ciphers.aead import AESGCM, ChaCha20Poly1305

__all__ = ["CIPHERS", "Keys", "channel_key", "cipher_code", "load_library"]

CIPHERS: Final = {"AES": CODE_AES, "CHACHA": CODE_CHACHA}
"""What -encryption_cipher can be, in any case."""
_WITH_AES: Final = ("x86_64", "amd64", "i386", "i486", "i586", "i686", "x86")
"""Machines for which AES is chosen, by the names that systems have for them."""


def load_library() -> None:
    """See that the library with the ciphers is there; raises StartError that says how to get it."""
    try:
        from cryptography.hazmat.primitives.ciphers import aead

        del aead
    except ImportError:
        raise StartError(
            "encryption at rest needs cryptography, which is not installed: pip install 'durabus[crypto]'"
        ) from None


def cipher_code(name: str, machine: str = "") -> int:
    """The code of the cipher `name`, empty: of the one for this `machine`. Raises StartError."""
    if name:
        code = CIPHERS.get(name.upper())
        if code is None:
            raise StartError("encryption cipher not supported")
        return code
    return CODE_AES if (machine or platform.machine()).lower() in _WITH_AES else CODE_CHACHA


def channel_key(master: bytes, channel: bytes) -> bytes:
    """The key of one channel. The zeros in front are a slip of the original, and part of what is on its disks."""
    return hashlib.sha256(bytes(len(master) + 1 + len(channel)) + master + b"." + channel).digest()


class Keys:
    """Makes the ciphers of channels. The key itself is not kept, only what is derived from it."""

    def __init__(self, key: str, cipher: str = "") -> None:
        """Derive the master key; raises StartError when there is no key, no such cipher, or no library."""
        self.code = cipher_code(cipher)
        if not key:
            raise StartError("encryption key required")
        load_library()
        self._master = hashlib.sha256(key.encode("utf-8", "surrogateescape")).digest()

    @property
    def cipher_name(self) -> str:
        """What new messages are encrypted with."""
        return "AES-256-GCM" if self.code == CODE_AES else "ChaCha20-Poly1305"

    def cipher(self, channel: bytes) -> ChannelCipher:
        """The cipher of the channel `channel`."""
        key = channel_key(self._master, channel)
        aes, chacha = _Aead(CODE_AES, key), _Aead(CODE_CHACHA, key)
        encrypt = (aes if self.code == CODE_AES else chacha).made().encrypt
        return ChannelCipher(self.code, encrypt, aes.decrypt, chacha.decrypt)


class _Aead:
    """One cipher with one key, made when it is first needed: mostly a channel has messages of one cipher only."""

    def __init__(self, code: int, key: bytes) -> None:
        from cryptography.exceptions import InvalidTag

        self._code = code
        self._key = key
        self._mismatch: type[Exception] = InvalidTag
        self._made: AESGCM | ChaCha20Poly1305 | None = None

    def made(self) -> "AESGCM | ChaCha20Poly1305":
        """The library's object."""
        from cryptography.hazmat.primitives.ciphers.aead import AESGCM, ChaCha20Poly1305

        self._made = AESGCM(self._key) if self._code == CODE_AES else ChaCha20Poly1305(self._key)
        return self._made

    def decrypt(self, nonce: bytes, data: bytes) -> bytes | None:
        """The data; None when they were not encrypted with this key and this nonce, or changed."""
        aead = self._made or self.made()
        try:
            return aead.decrypt(nonce, data, None)
        except self._mismatch:
            return None
