"""Which configuration file is for which half: -c only, -sc only, both, with and without a section for the bus."""

from pathlib import Path

import pytest

from durabus.config.files import read_files
from durabus.config.keys import Draft
from durabus.config.options import ConfigError, Setting

BOTH = "port: 4333\nmax_subs: 5\nstreaming { id: bus, store_limits { max_subs: 6 } }"
FLAT = "port: 4333\nid: bus\nmax_subs: 5\nstore_limits { max_subs: 6 }"
SETTINGS: dict[str, Setting] = {
    "broker.port": 4333,
    "broker.max_subscriptions": 5,
    "streaming.cluster_id": "bus",
    "limits.max_subscriptions": 6,
}


def file(folder: Path, name: str, text: str) -> str:
    path = folder / name
    path.write_text(text, encoding="utf-8")
    return str(path)


@pytest.mark.row(128)
@pytest.mark.parametrize("text", [BOTH, FLAT])
@pytest.mark.parametrize("is_streaming", [False, True])
def test_one_file_is_for_both_halves(tmp_path: Path, text: str, is_streaming: bool) -> None:
    name = file(tmp_path, "a.conf", text)
    draft = read_files("", name, {}) if is_streaming else read_files(name, "", {})
    assert draft == Draft(settings={**SETTINGS, "process.config_file": name})


@pytest.mark.row(128)
@pytest.mark.parametrize("text", [BOTH, FLAT])
def test_two_files_are_for_one_half_each(tmp_path: Path, text: str) -> None:
    one = file(tmp_path, "a.conf", text)
    other = file(tmp_path, "b.conf", text.replace("4333", "4444").replace("bus", "other").replace("6", "7"))
    assert read_files(one, other, {}).settings == {
        "broker.port": 4333,
        "broker.max_subscriptions": 5,
        "streaming.cluster_id": "other",
        "limits.max_subscriptions": 7,
        "process.config_file": one,
    }


def test_no_file_says_nothing() -> None:
    assert read_files("", "", {}) == Draft()


def test_variables_come_from_the_environment(tmp_path: Path) -> None:
    name = file(tmp_path, "a.conf", "port: $PORT\nstreaming { id: $ID }")
    settings = read_files(name, "", {"PORT": "5", "ID": "x"}).settings
    assert (settings["broker.port"], settings["streaming.cluster_id"]) == (5, "x")


def test_a_file_that_is_not_there(tmp_path: Path) -> None:
    good = file(tmp_path, "a.conf", "")
    for broker, streaming in (("no.conf", ""), ("", "no.conf"), (good, "no.conf"), ("no.conf", good)):
        with pytest.raises(ConfigError) as caught:
            read_files(broker, streaming, {})
        assert str(caught.value) == "error opening config file: open no.conf: no such file or directory"


def test_without_a_section_of_its_own_a_file_counts_for_both_halves(tmp_path: Path) -> None:
    """As in the original, the NATS half's cluster and tls then count for the bus as well."""
    name = file(tmp_path, "a.conf", "cluster { port: 6222 }\ntls { cert_file: c, key_file: k }")
    draft = read_files(name, "", {})
    assert [refused.partition(" is not")[0] for refused in draft.refusals] == [f"{name}:1:1: cluster"] * 2
    assert draft.settings["tls.enabled"] is True
    draft = read_files(file(tmp_path, "b.conf", "cluster { port: 6222 }\nstreaming {}"), "", {})
    assert len(draft.refusals) == 1


def test_mistakes_of_the_nats_half_come_first(tmp_path: Path) -> None:
    name = file(tmp_path, "a.conf", "streaming { hbf: x }\nport: x")
    with pytest.raises(ConfigError, match=':2:1: parameter "port"'):
        read_files(name, "", {})
    with pytest.raises(ConfigError, match=':1:13: parameter "hbf"'):
        read_files(file(tmp_path, "b.conf", "streaming { hbf: x }"), "", {})
