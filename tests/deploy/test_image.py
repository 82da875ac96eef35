"""The image: what its Dockerfile says, and its entry point run as a container would, without a container engine."""

import json
import os
import re
import signal
import socket
import subprocess
import sys
import threading
import urllib.request
import venv
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path

import pytest
import yaml

from tests.conftest import ROOT

pytestmark = pytest.mark.once

DOCKERFILE = ROOT / "Dockerfile"
MANIFEST = ROOT / "deploy" / "kubernetes" / "nats-depl.yaml"
ENTRY_POINT = "nats-streaming-server"
DEFAULT_ARGUMENTS = ["-m", "8222"]
START_S_MAX = 20
STOP_S_MAX = 20


@dataclass
class Stage:
    """One stage of a Dockerfile."""

    base: str
    instructions: list[tuple[str, str]] = field(default_factory=list)


def stages(text: str) -> dict[str, Stage]:
    """The stages by name, in order."""
    found: dict[str, Stage] = {}
    current: Stage | None = None
    without_comments = re.sub(r"^\s*#.*\n", "", text, flags=re.MULTILINE)
    for line in re.sub(r"\\\n", " ", without_comments).splitlines():
        verb, _, rest = line.strip().partition(" ")
        if verb == "FROM":
            base, _, name = rest.partition(" AS ")
            current = found[name] = Stage(base)
        elif verb and current is not None:
            current.instructions.append((verb, rest.strip()))
    return found


def effective(text: str, name: str) -> dict[str, str]:
    """What holds in the image of a stage: the last of each instruction, those of its bases included."""
    by_name = stages(text)
    said: dict[str, str] = {}
    while name in by_name:
        for verb, rest in reversed(by_name[name].instructions):
            said.setdefault(verb, rest)
        name = by_name[name].base
    return said


def everything_run(text: str, name: str) -> str:
    """All commands that make the image of a stage."""
    by_name = stages(text)
    commands: list[str] = []
    while name in by_name:
        commands += [rest for verb, rest in by_name[name].instructions if verb == "RUN"]
        name = by_name[name].base
    return "\n".join(commands)


def test_the_default_image_is_the_last_stage_and_runs_as_root() -> None:
    text = DOCKERFILE.read_text(encoding="utf-8")
    assert list(stages(text))[-1] == "root"
    assert "USER" not in effective(text, "root")


@pytest.mark.parametrize("stage", ["root", "nonroot"])
def test_the_image_starts_like_the_original(stage: str) -> None:
    text = DOCKERFILE.read_text(encoding="utf-8")
    image = effective(text, stage)
    assert json.loads(image["ENTRYPOINT"]) == [f"/{ENTRY_POINT}"]
    assert json.loads(image["CMD"]) == DEFAULT_ARGUMENTS
    assert image["EXPOSE"].split() == ["4222", "8222"]
    assert f"ln -s /usr/local/bin/{ENTRY_POINT} /{ENTRY_POINT}" in everything_run(text, stage)


def test_the_other_image_is_not_root() -> None:
    user = effective(DOCKERFILE.read_text(encoding="utf-8"), "nonroot")["USER"]
    assert user.isdigit()  # a number, or Kubernetes cannot know that it is not root
    assert int(user) > 0


def test_the_other_image_has_a_directory_that_it_may_write() -> None:
    """What Docker makes a new volume of: without it, the volume would be root's."""
    text = DOCKERFILE.read_text(encoding="utf-8")
    user = effective(text, "nonroot")["USER"]
    assert re.search(
        rf"install --directory --owner {user} --mode 0700 /data$", everything_run(text, "nonroot"), re.MULTILINE
    )


def test_the_image_has_the_compiled_build_and_nothing_of_its_making() -> None:
    text = DOCKERFILE.read_text(encoding="utf-8")
    by_name = stages(text)
    assert "DURABUS_BUILD_EXTENSION=yes" in everything_run(text, "builder")
    assert by_name["runtime"].base == by_name["builder"].base
    assert [rest for verb, rest in by_name["runtime"].instructions if verb == "COPY"] == [
        "--from=builder /durabus /usr/local"
    ]


def test_the_build_context_has_what_the_wheel_needs() -> None:
    lines = (ROOT / ".dockerignore").read_text(encoding="utf-8").split()
    assert "*" in lines
    for name in ("src", "pyproject.toml", "setup.py", "README.md", "LICENSE"):
        assert f"!{name}" in lines
        assert (ROOT / name).exists()


@pytest.fixture(scope="module")
def entry_point(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The image's entry point in a root of its own: the wheel with what it requires, and nothing of development."""
    top = tmp_path_factory.mktemp("image")
    wheels = sorted((ROOT / "dist").glob("durabus-*.whl"))
    assert len(wheels) == 1, "`make setup` builds the wheel that this test installs"
    prefix = top / "usr" / "local"
    venv.create(prefix, with_pip=True)
    install = [str(prefix / "bin" / "python"), "-m", "pip", "install", "--quiet", "--no-compile", str(wheels[0])]
    subprocess.run(install, check=True, cwd=top, env=container_environment())
    link = top / ENTRY_POINT
    link.symlink_to(prefix / "bin" / ENTRY_POINT)
    return link


def container_environment() -> dict[str, str]:
    """The environment without what leads Python to this source or marks this as a test run."""
    return {name: value for name, value in os.environ.items() if not name.startswith(("PYTHON", "DURABUS", "PYTEST"))}


def is_free(port: int) -> bool:
    """Whether nobody listens on `port`."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("0.0.0.0", port))
        except OSError:
            return False
    return True


def free_port() -> int:
    """A port on which nobody listens."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def with_free_ports(arguments: list[str], occupied: list[str]) -> list[str]:
    """The arguments, with other ports where the given ones are in use here."""
    replaced = {port: str(free_port()) for port in occupied}
    return [replaced.get(argument, argument) for argument in arguments]


@dataclass
class Container:
    """A running server, its ports, and what it has said."""

    process: subprocess.Popen[str]
    client_port: int
    monitoring_port: int
    log: list[str]

    def first_line(self) -> str:
        """What the server says to a client that connects."""
        with socket.create_connection(("127.0.0.1", self.client_port), timeout=5) as connection:
            return connection.makefile("r", encoding="utf-8").readline()

    def get(self, path: str) -> tuple[int, str]:
        """Status and text of a page of the monitoring port."""
        with urllib.request.urlopen(f"http://127.0.0.1:{self.monitoring_port}{path}", timeout=5) as answer:
            return answer.status, answer.read().decode()

    def stop(self, number: signal.Signals) -> int:
        """Send a signal; the exit code as a shell or an orchestrator sees it."""
        self.process.send_signal(number)
        code = self.process.wait(STOP_S_MAX)
        return 128 - code if code < 0 else code


@contextmanager
def container(entry_point: Path, arguments: list[str]) -> Iterator[Container]:
    """Run the entry point as PID 1 of a container is run: no shell, no terminal, from the root folder."""
    process = subprocess.Popen(
        [str(entry_point), *arguments],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
        cwd="/",
        env=container_environment(),
    )
    ready = threading.Event()
    log: list[str] = []

    def read() -> None:
        assert process.stderr is not None
        with process.stderr:
            for line in process.stderr:
                log.append(line)
                if "Streaming Server is ready" in line:
                    ready.set()
        ready.set()

    reader = threading.Thread(target=read)
    reader.start()
    try:
        assert ready.wait(START_S_MAX), "".join(log)
        assert process.poll() is None, "".join(log)
        ports = {name: int(value) for name, value in pairwise(arguments) if name in ("-p", "-m")}
        yield Container(process, ports.get("-p", 4222), ports["-m"], log)
    finally:
        if process.poll() is None:
            process.kill()
            process.wait()
        reader.join()


def manifest_arguments() -> list[str]:
    """The arguments of the manifest's container."""
    deployment = next(iter(yaml.safe_load_all(MANIFEST.read_text(encoding="utf-8"))))
    arguments = deployment["spec"]["template"]["spec"]["containers"][0]["args"]
    assert all(isinstance(argument, str) for argument in arguments)
    return list(arguments)


def test_the_entry_point_runs_with_the_arguments_of_the_manifest(entry_point: Path) -> None:
    arguments = manifest_arguments()
    arguments = with_free_ports(arguments, [port for port in ("4222", "8222") if not is_free(int(port))])
    with container(entry_point, arguments) as running:
        greeting = running.first_line()
        assert greeting.startswith("INFO {")
        assert json.loads(greeting.removeprefix("INFO "))["max_payload"] == 1048576
        assert running.get("/healthz")[0] == 200
        status, text = running.get("/streaming/serverz")
        assert status == 200
        assert json.loads(text)["cluster_id"] == "ticketing"
        assert running.stop(signal.SIGTERM) == 143
        assert running.log[0].startswith(f"[{running.process.pid}] ")  # no shell in between: signals reach the server


def test_the_entry_point_runs_with_the_default_arguments(entry_point: Path) -> None:
    arguments = with_free_ports(["-p", "4222", *DEFAULT_ARGUMENTS], ["4222", "8222"])
    with container(entry_point, arguments) as running:
        assert running.first_line().startswith("INFO {")
        assert json.loads(running.get("/streaming/serverz")[1])["cluster_id"] == "test-cluster"
        assert running.stop(signal.SIGINT) == 0


def test_the_entry_point_says_its_version_as_the_original(entry_point: Path) -> None:
    said = subprocess.run(
        [str(entry_point), "--version"], check=True, capture_output=True, text=True, env=container_environment()
    )
    assert re.fullmatch(r"nats-streaming-server version \S+, nats-server: v\S+\n", said.stdout)


def test_the_image_needs_nothing_of_development(entry_point: Path) -> None:
    python = entry_point.resolve().parent / "python"
    listed = subprocess.run(
        [str(python), "-m", "pip", "list", "--format", "json"], check=True, capture_output=True, text=True
    )
    names = {package["name"].lower().replace("_", "-") for package in json.loads(listed.stdout)}
    assert {"durabus", "msgspec", "starlette", "uvicorn"} <= names
    assert not {"mypy", "pytest", "hypothesis", "ruff"} & names
    assert sys.platform == "win32" or "uvloop" in names
