"""The manifests are valid Kubernetes, and say what people who come from NATS Streaming Server have."""

import copy
from pathlib import Path
from typing import Any

import kubernetes_validate
import pytest
import yaml

from durabus.config.command_line import read_command_line
from tests.conftest import ROOT

pytestmark = pytest.mark.once

MANIFEST = ROOT / "deploy" / "kubernetes" / "nats-depl.yaml"
WITH_VOLUME = ROOT / "deploy" / "kubernetes" / "nats-with-volume.yaml"
# The oldest version that clusters still run, and the newest that the validator knows.
VERSIONS = ("1.29", kubernetes_validate.latest_version())
ARGUMENTS = ["-p", "4222", "-m", "8222", "-hbi", "5s", "-hbt", "5s", "-hbf", "2", "-SD", "-cid", "ticketing"]


def documents(path: Path = MANIFEST) -> dict[str, Any]:
    """The manifest's documents by kind."""
    return {document["kind"]: document for document in yaml.safe_load_all(path.read_text(encoding="utf-8"))}


def check(document: dict[str, Any], version: str = VERSIONS[-1]) -> None:
    """Validate against the schema of a Kubernetes version; unknown keys are mistakes too."""
    kubernetes_validate.validate(document, version, strict=True)


@pytest.mark.parametrize("version", [VERSIONS[0], VERSIONS[-1]])
@pytest.mark.parametrize(
    ("path", "kind"),
    [(MANIFEST, "Deployment"), (MANIFEST, "Service"), (WITH_VOLUME, "StatefulSet"), (WITH_VOLUME, "Service")],
)
def test_the_manifests_are_valid(path: Path, kind: str, version: str) -> None:
    check(documents(path)[kind], version)


def test_there_is_nothing_else() -> None:
    assert set(documents()) == {"Deployment", "Service"}
    assert set(documents(WITH_VOLUME)) == {"StatefulSet", "Service"}
    assert set(MANIFEST.parent.iterdir()) == {MANIFEST, WITH_VOLUME}


@pytest.mark.parametrize(
    ("kind", "path", "value"),
    [
        ("Deployment", ("spec", "replicas"), "one"),
        ("Deployment", ("spec", "selector"), "app=nats"),
        ("Deployment", ("spec", "template", "spec", "containers", 0, "args"), "-p 4222"),
        ("Deployment", ("spec", "template", "spec", "containers", 0, "argz"), ["-p"]),
        ("Service", ("spec", "ports", 0, "port"), "4222"),
        ("Service", ("spec", "ports", 0), {"name": "client"}),
    ],
)
def test_a_broken_manifest_is_found(kind: str, path: tuple[str | int, ...], value: object) -> None:
    document = copy.deepcopy(documents()[kind])
    place: Any = document
    for step in path[:-1]:
        place = place[step]
    place[path[-1]] = value
    with pytest.raises(kubernetes_validate.ValidationError):
        check(document)


def test_the_server_gets_the_arguments_that_people_have() -> None:
    (container,) = documents()["Deployment"]["spec"]["template"]["spec"]["containers"]
    assert container["args"] == ARGUMENTS
    assert "command" not in container  # the image's own entry point
    assert [port["containerPort"] for port in container["ports"]] == [4222, 8222]


def test_there_is_one_server_and_the_service_finds_it() -> None:
    deployment, service = documents()["Deployment"]["spec"], documents()["Service"]["spec"]
    labels = deployment["template"]["metadata"]["labels"]
    assert deployment["selector"]["matchLabels"].items() <= labels.items()
    assert service["selector"].items() <= labels.items()
    assert [(port["port"], port["targetPort"]) for port in service["ports"]] == [(4222, 4222), (8222, 8222)]
    assert deployment["replicas"] == 1
    assert deployment["strategy"] == {"type": "Recreate"}


def test_with_a_volume_clients_find_the_server_in_the_same_way() -> None:
    stateful, deployment = documents(WITH_VOLUME)["StatefulSet"]["spec"], documents()["Deployment"]["spec"]
    assert documents(WITH_VOLUME)["Service"] == documents()["Service"]
    assert stateful["template"]["metadata"] == deployment["template"]["metadata"]
    assert stateful["selector"] == deployment["selector"]
    assert stateful["serviceName"] == documents()["Service"]["metadata"]["name"]
    assert stateful["replicas"] == 1


def test_with_a_volume_the_server_keeps_its_data_there_and_may_write_it() -> None:
    stateful = documents(WITH_VOLUME)["StatefulSet"]["spec"]
    pod = stateful["template"]["spec"]
    (container,) = pod["containers"]
    assert container["args"][: len(ARGUMENTS)] == ARGUMENTS
    options = read_command_line(container["args"]).options
    assert options.streaming.store == "FILE"
    (mount,) = container["volumeMounts"]
    (claim,) = stateful["volumeClaimTemplates"]
    assert Path(options.file.directory).is_relative_to(mount["mountPath"])
    assert mount["name"] == claim["metadata"]["name"]
    context = pod["securityContext"]
    assert context["fsGroup"] == context["runAsGroup"] == context["runAsUser"] > 0
