"""The key of encryption at rest on its way to the options: from the environment, the command line, or a file."""

from pathlib import Path

import pytest

from durabus.config.command_line import Request, read_command_line
from durabus.config.options import OptionsError


def request(*arguments: str, environment: dict[str, str] | None = None) -> Request:
    return read_command_line(arguments, environment or {})


@pytest.mark.row(160)
@pytest.mark.parametrize(
    ("arguments", "key", "is_on"),
    [
        (["-encryption_key", "k"], "k", True),
        (["-encrypt", "-encryption_key", "k"], "k", True),
        (["-encrypt=false", "-encryption_key", "k"], "k", True),
        (["-encryption_key", ""], "", False),
        ([], "", False),
        (["-encryption_cipher", "nonsense"], "", False),
    ],
)
def test_a_key_turns_encryption_on(arguments: list[str], key: str, is_on: bool) -> None:
    encryption = request(*arguments).options.encryption
    assert (encryption.key, encryption.is_on) == (key, is_on)


@pytest.mark.row(160)
def test_the_key_of_the_environment_wins(tmp_path: Path) -> None:
    file = tmp_path / "bus.conf"
    file.write_text('streaming { encryption_key: "of the file" }', encoding="utf-8")
    environment = {"NATS_STREAMING_ENCRYPTION_KEY": "of the environment"}
    for arguments in (["-encrypt"], ["-encryption_key", "of the line"], ["-c", str(file)]):
        asked = request(*arguments, environment=environment)
        assert asked.options.encryption.key == "of the environment"
        assert asked.warnings == ()
    assert request("-c", str(file)).options.encryption.key == "of the file"
    assert request("-c", str(file), "-encryption_key", "of the line").options.encryption.key == "of the line"


def test_an_empty_key_in_a_file_asks_for_one_from_elsewhere(tmp_path: Path) -> None:
    file = tmp_path / "bus.conf"
    file.write_text('encryption_key: ""', encoding="utf-8")
    with pytest.raises(OptionsError) as caught:
        request("-c", str(file))
    assert str(caught.value) == f"{file}:1:1: encryption_key: encryption key required"
    environment = {"NATS_STREAMING_ENCRYPTION_KEY": "k"}
    assert request("-c", str(file), environment=environment).options.encryption.is_on


def test_a_key_that_encrypts_nothing_is_told() -> None:
    asked = request(environment={"NATS_STREAMING_ENCRYPTION_KEY": "s3cret"})
    assert not asked.options.encryption.is_on
    assert asked.options.encryption.key == ""
    assert asked.warnings == ("NATS_STREAMING_ENCRYPTION_KEY is set, but nothing is encrypted: that takes -encrypt",)


def test_what_is_wrong_with_encryption_in_the_words_of_the_original() -> None:
    for arguments, error in (
        (["-encrypt"], "encryption key required"),
        (["-encryption_cipher", "DES", "-encrypt"], "-encryption_cipher: encryption cipher not supported"),
        (["-encryption_cipher", "DES", "-encryption_key", "k"], "-encryption_cipher: encryption cipher not supported"),
    ):
        with pytest.raises(OptionsError) as caught:
            request(*arguments)
        assert str(caught.value) == error


def test_a_key_is_in_no_text_of_the_options() -> None:
    asked = request("-encryption_key", "s3cret", "-encryption_cipher", "chacha")
    assert asked.options.encryption.cipher == "chacha"
    assert "s3cret" not in repr(asked)
