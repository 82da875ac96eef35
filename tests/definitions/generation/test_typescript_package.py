"""Whole npm packages: formatted as by prettier, compiled by tsc, packed, deterministic."""

import json
import subprocess
import tarfile
from pathlib import Path, PurePosixPath

import pytest

from durabus.definitions.folder import read_folder
from durabus.definitions.generation.plan import GenerationError, Plan, make_plan
from durabus.definitions.generation.typescript_package import typescript_files
from durabus.definitions.generation.writing import write
from tests.definitions.conftest import NpmPackage
from tests.definitions.odd import write_odd_definitions

pytestmark = [pytest.mark.once, pytest.mark.timeout(180)]


def tool(tools: Path, name: str, *arguments: str, folder: Path) -> None:
    """Run a tool that must find nothing wrong."""
    command = [str(tools / "node_modules" / ".bin" / name), *arguments]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=110, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


def test_prettier_finds_nothing_to_format(npm_package: NpmPackage, node_tools: Path) -> None:
    sources = ["src", "package.json", "tsconfig.json", str(node_tools / "service.ts")]
    tool(node_tools, "prettier", "--check", "--no-config", *sources, folder=npm_package.folder)


def test_what_is_packed(npm_package: NpmPackage) -> None:
    with tarfile.open(npm_package.archive) as archive:
        names = set(archive.getnames())
    assert {"package/package.json", "package/build/index.js", "package/build/index.d.ts"} <= names
    assert not any(name.startswith("package/src") for name in names)
    manifest = json.loads((npm_package.folder / "package.json").read_text(encoding="utf-8"))
    assert (manifest["name"], manifest["version"]) == ("@shop/common", "1.2.0")
    assert manifest["dependencies"].keys() == {"avsc", "protobufjs"}


def test_odd_definitions(node_tools: Path, tmp_path: Path) -> None:
    (tmp_path / "definitions").mkdir()
    odd = tmp_path / "odd"
    write(odd, typescript_files(make_plan(read_folder(write_odd_definitions(tmp_path / "definitions"))), "odd"))
    (odd / "node_modules").symlink_to(node_tools / "node_modules")
    tool(node_tools, "prettier", "--check", "--no-config", "src", folder=odd)
    tool(node_tools, "tsc", "--project", ".", folder=odd)
    codecs = "Object.values(require('./build').codecs).length"
    done = subprocess.run(["node", "-p", codecs], cwd=odd, capture_output=True, text=True, check=False)
    assert done.stdout == "3\n", done.stderr


def test_libraries_are_asked_for_only_where_a_definition_needs_them(samples: Path) -> None:
    files = typescript_files(make_plan(read_folder(samples / "shop")), "common")
    manifest = json.loads(files[PurePosixPath("package.json")])
    assert "dependencies" not in manifest
    assert manifest["peerDependencies"] == {"node-nats-streaming": ">=0.3.2"}
    assert not any(path.name in ("avro.ts", "protobuf.ts") for path in files)


def test_the_same_whatever_the_order(samples: Path) -> None:
    definitions = read_folder(samples)
    assert typescript_files(make_plan(definitions), "a") == typescript_files(make_plan(definitions[::-1]), "a")


def test_what_is_refused(plan: Plan, tmp_path: Path) -> None:
    with pytest.raises(GenerationError, match="no name of an npm package"):
        typescript_files(plan, "Shop Events")
    for version, name in enumerate(("One", "Two"), 1):
        text = {"title": name, "x-subject": "same", "x-version": version, "type": "object", "properties": {"a": {}}}
        (tmp_path / f"{name}.json").write_text(json.dumps(text), encoding="utf-8")
    with pytest.raises(GenerationError, match="both define the subject same"):
        typescript_files(make_plan(read_folder(tmp_path)), "common")
