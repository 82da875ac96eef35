"""Keys and ciphers by name."""

import hashlib
import subprocess
import sys

import pytest

from durabus.errors import StartError
from durabus.stores.encryption_bodies import CODE_AES, CODE_CHACHA
from durabus.stores.encryption_keys import Keys, channel_key, cipher_code, load_library


@pytest.mark.parametrize(
    ("name", "machine", "code"),
    [
        ("AES", "aarch64", CODE_AES),
        ("aes", "", CODE_AES),
        ("CHACHA", "x86_64", CODE_CHACHA),
        ("ChaCha", "", CODE_CHACHA),
        ("", "x86_64", CODE_AES),
        ("", "AMD64", CODE_AES),
        ("", "i686", CODE_AES),
        ("", "aarch64", CODE_CHACHA),
        ("", "arm64", CODE_CHACHA),
        ("", "s390x", CODE_CHACHA),
    ],
)
@pytest.mark.row(160)
def test_the_cipher(name: str, machine: str, code: int) -> None:
    assert cipher_code(name, machine) == code


def test_the_cipher_for_this_machine() -> None:
    assert cipher_code("") in (CODE_AES, CODE_CHACHA)
    assert Keys("k", "AES").cipher_name == "AES-256-GCM"
    assert Keys("k", "CHACHA").cipher_name == "ChaCha20-Poly1305"


@pytest.mark.parametrize(
    ("key", "cipher", "text"),
    [
        ("", "", "encryption key required"),
        ("k", "DES", "encryption cipher not supported"),
        ("", "DES", "encryption cipher not supported"),
        ("k", "AES-256", "encryption cipher not supported"),
    ],
)
def test_what_cannot_be_used(key: str, cipher: str, text: str) -> None:
    with pytest.raises(StartError) as caught:
        Keys(key, cipher)
    assert str(caught.value) == text


@pytest.mark.row(160)
def test_the_key_of_a_channel() -> None:
    master = hashlib.sha256(b"key").digest()
    zeros = b"\0" * (32 + 1 + 3)
    assert channel_key(master, b"foo") == hashlib.sha256(zeros + master + b".foo").digest()


def test_the_key_itself_is_not_kept() -> None:
    keys = Keys("a very secret key")
    assert "secret" not in repr(vars(keys))


def test_bytes_that_are_no_text() -> None:
    """A key from the environment may be any bytes."""
    written = Keys(b"\xff\xfe".decode("utf-8", "surrogateescape"))
    assert written._master == hashlib.sha256(b"\xff\xfe").digest()


def test_the_library_that_is_missing() -> None:
    load_library()
    script = (
        "import sys; sys.modules['cryptography'] = None\n"
        "from durabus.errors import StartError\n"
        "from durabus.stores.encryption_keys import Keys\n"
        "try:\n    Keys('s3cret')\nexcept StartError as error:\n    print(error)\n"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout == (
        "encryption at rest needs cryptography, which is not installed: pip install 'durabus[crypto]'\n"
    )


def test_the_library_is_loaded_when_it_is_needed() -> None:
    script = (
        "import sys; from durabus.stores.names import make_store; from durabus.config.options import Options; "
        "make_store(Options()); print('cryptography' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout == "False\n"
