"""What a check finds before a start would."""

import sys
from pathlib import Path

import pytest

from durabus.config.options import Options, OptionsError, Setting, with_settings
from durabus.errors import StartError
from durabus.server.preflight import check_start, why_not_writable
from tests.external.certificates import Certificates, make_certificates


@pytest.fixture(scope="module")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> Certificates:
    """Certificates for servers and clients."""
    return make_certificates(tmp_path_factory.mktemp("certificates"))


def options(**settings: Setting) -> Options:
    """Options by dotted names, written with two underscores."""
    return with_settings(Options(), {name.replace("__", "."): value for name, value in settings.items()})


def test_what_is_good(certificates: Certificates, tmp_path: Path) -> None:
    server, client = certificates.server, certificates.client
    check_start(Options())
    tls = with_settings(
        Options(),
        {
            "tls.enabled": True,
            "tls.certificate_file": str(server),
            "tls.key_file": str(certificates.key(server)),
            "monitoring.https_port": 0,
            "log.file": str(tmp_path / "log"),
            "process.pid_file": str(tmp_path / "pid"),
        },
    )
    check_start(tls)
    external = with_settings(
        tls,
        {
            "external.url": "nats://127.0.0.1:1",
            "external.authority_file": str(certificates.authority),
            "external.certificate_file": str(client),
            "external.key_file": str(certificates.key(client)),
        },
    )
    check_start(external)
    assert list(tmp_path.iterdir()) == []


def test_a_key_of_another_certificate(certificates: Certificates) -> None:
    with pytest.raises(OptionsError) as caught:
        check_start(
            options(
                tls__enabled=True,
                tls__certificate_file=str(certificates.server),
                tls__key_file=str(certificates.key(certificates.client)),
            )
        )
    assert caught.value.options == ("tls.certificate_file",)


@pytest.mark.parametrize("name", ["certificate_file", "authority_file"])
def test_files_for_an_external_server(tmp_path: Path, name: str) -> None:
    with pytest.raises(OptionsError, match="no such file or directory") as caught:
        check_start(options(external__url="nats://h:1", **{f"external__{name}": str(tmp_path / "nope")}))
    assert caught.value.options == (f"external.{name}",)


def test_an_address_without_a_port() -> None:
    with pytest.raises(StartError, match="missing port in address"):
        check_start(options(external__url="nats://h"))


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("new", ""),
        ("there", ""),
        ("folder", "Is a directory"),
        ("none/new", "No such file or directory"),
        ("there/new", "Not a directory"),
        ("a\0b", "Invalid argument"),
    ],
)
def test_what_can_be_written_to(tmp_path: Path, name: str, reason: str) -> None:
    (tmp_path / "there").write_text("kept")
    (tmp_path / "folder").mkdir()
    assert why_not_writable(f"{tmp_path}/{name}") == reason
    assert (tmp_path / "there").read_text() == "kept"
    assert not (tmp_path / "new").exists()


def test_a_library_that_is_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    check_start(options(encryption__key="k"))
    monkeypatch.setitem(sys.modules, "cryptography", None)
    for name in [name for name in sys.modules if name.startswith("cryptography.")]:
        monkeypatch.setitem(sys.modules, name, None)
    check_start(options(encryption__cipher="AES"))
    with pytest.raises(StartError) as caught:
        check_start(options(encryption__key="k"))
    assert "pip install 'durabus[crypto]'" in str(caught.value)
