"""docs/moving-from-node-nats-streaming.md: its three services are one group, and take over from each other."""

import os
import re
import subprocess
import sys
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest
from ticketing_events import OrderCreated, OrderedTicket
from ticketing_events.order_created import OrderStatus

import durabus.sync
from durabus.client import Bus, Message, StartPosition, Subscription
from durabus.events.sync import Publisher
from durabus.outbox.inbox import Received
from examples.ticketing.story.packages import EXAMPLE_DIRECTORY, install_packages
from tests.conftest import ROOT
from tests.examples.tutorial import File, read_tutorial
from tests.server_process import HOST, ServerProcess, running_server

pytestmark = [pytest.mark.once, pytest.mark.timeout(180)]

GUIDE = ROOT / "docs" / "moving-from-node-nats-streaming.md"
PATIENCE_S = 30.0


@pytest.fixture
def services(tmp_path: Path) -> Path:
    """A folder with the files of the guide, compiled as strictly as may be, and with the packages that they need."""
    install_packages()
    files = [step for step in read_tutorial(GUIDE.read_text(encoding="utf-8")) if isinstance(step, File)]
    for file in files:
        (tmp_path / file.path).write_text(file.text, encoding="utf-8")
    (tmp_path / "node_modules").symlink_to(EXAMPLE_DIRECTORY / "typescript" / "doors" / "node_modules")
    tools = EXAMPLE_DIRECTORY / "node_modules"
    options = ["--strict", "--module", "nodenext", "--target", "es2022", "--skipLibCheck", "--types", "node"]
    places = ["--typeRoots", str(tools / "@types")]
    sources = [file.path for file in files if file.path.endswith(".ts")]
    command = [str(tools / ".bin" / "tsc"), *options, *places, *sources]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=PATIENCE_S, check=False)
    assert done.returncode == 0, done.stdout
    return tmp_path


@pytest.fixture
def server() -> Iterator[ServerProcess]:
    with running_server("-cid", "ticketing") as server:
        yield server


def order(number: int) -> OrderCreated:
    ticket = OrderedTicket(id="t1", title="concert", price=20 + number)
    expires_at = datetime(2026, 11, 24, 12, 15, tzinfo=UTC)
    return OrderCreated(
        id=f"o{number}", version=1, status=OrderStatus.CREATED, user_id="ben", expires_at=expires_at, ticket=ticket
    )


def test_each_service_goes_on_where_the_one_before_stopped(server: ServerProcess, services: Path) -> None:
    url = f"nats://{HOST}:{server.port}"
    with durabus.sync.connect(url, cluster_id="ticketing") as bus:
        for number, command in enumerate((["node", "before.js"], ["node", "after.js"], [sys.executable, "after.py"])):
            Publisher[OrderCreated](bus).publish(order(number))
            environment = {**os.environ, "BUS_URL": url, "PYTHONPATH": os.pathsep.join(sys.path)}
            with subprocess.Popen(
                command, cwd=services, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
            ) as service:
                assert service.stdout is not None
                try:
                    assert service.stdout.readline() == f"ben owes {20 + number} for concert\n"
                    service.terminate()
                    rest, _ = service.communicate(timeout=PATIENCE_S)
                    assert (rest, service.returncode) == ("", 0)
                finally:
                    service.kill()


def test_the_names_of_the_table_are_there() -> None:
    owners = {"bus": Bus, "message": Message, "subscription": Subscription, "StartPosition": StartPosition}
    rows = [line.split("|")[-2] for line in GUIDE.read_text(encoding="utf-8").splitlines() if line.startswith("|")]
    named = re.findall(r"\b(bus|message|subscription|StartPosition)\.([a-z_]+)", "\n".join(rows))
    assert len(named) > 15
    for owner, name in named:
        is_there = hasattr(owners[owner], name) or (owner == "message" and name in Received.__annotations__)
        assert is_there, f"{owner}.{name}"
