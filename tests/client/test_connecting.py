"""`durabus.connect`: where it is found, what it refuses at once, and what it does at the end."""

import inspect
import subprocess
import sys

import pytest

import durabus
from durabus.client import ClosedError, UsageError
from durabus.client.options import BusOptions
from tests.client.harness import connect, new_channel
from tests.server_process import HOST


def test_the_server_starts_without_the_client() -> None:
    lines = "import sys, durabus, durabus.cli.main; print([m for m in sys.modules if m.startswith('durabus.client')])"
    done = subprocess.run([sys.executable, "-c", lines], capture_output=True, text=True, check=True, timeout=60)
    assert done.stdout.strip() == "[]"


def test_the_package_has_nothing_else() -> None:
    with pytest.raises(AttributeError, match="nothing_of_that_name"):
        _ = durabus.nothing_of_that_name


def test_its_defaults_are_those_of_the_options() -> None:
    parameters = inspect.signature(durabus.connect).parameters
    for name, field in BusOptions.__dataclass_fields__.items():
        if name in parameters and name not in ("servers", "cluster_id", "client_id"):
            assert parameters[name].default == field.default, name
        else:
            assert name in ("servers", "cluster_id", "client_id", "has_own_client_id"), name


def test_mistakes_are_found_before_anything_is_done() -> None:
    for options in ({"client_id": "a b"}, {"cluster_id": ""}, {"servers": "http://a"}, {"ping_interval_s": 0}):
        with pytest.raises(UsageError):
            durabus.connect(**options)


async def test_awaited_it_is_the_callers_to_close(port: int) -> None:
    bus = await connect(port)
    await bus.publish(new_channel(), b"")
    await bus.close()
    assert bus.is_closed


async def test_a_client_id_is_made_up(port: int) -> None:
    url = f"nats://{HOST}:{port}"
    async with durabus.connect(url) as one, durabus.connect(url) as two:
        assert one.client_id != two.client_id
    with pytest.raises(ClosedError):
        await one.publish("a", b"")
