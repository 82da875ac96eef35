"""The services that join the shop later: two in Python and two in TypeScript, written with the generated classes."""

import json
import os
import sys
import urllib.error
import urllib.request
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from .bus import CLUSTER_ID, Bus
from .service import CommandRefusedError, Instance

EXAMPLE_DIRECTORY = Path(__file__).resolve().parents[1]
PROJECT_DIRECTORY = EXAMPLE_DIRECTORY.parents[1]
ACK_WAIT_S = 3
ANSWER_WITHIN_S = 10.0


def python_command(service: str) -> list[str]:
    """Starts a service of ../python."""
    return [sys.executable, "-m", f"examples.ticketing.python.{service}"]


def node_command(service: str) -> list[str]:
    """Starts a compiled service of ../typescript."""
    return ["node", str(EXAMPLE_DIRECTORY / "typescript" / service / "build" / "main.js")]


class Newcomer:
    """A service with one instance, which may be up or down."""

    def __init__(self, name: str, command: Sequence[str], bus: Bus, directory: Path) -> None:
        self.name = name
        self.database = directory / f"{name}.db"
        self._command = command
        self._log = directory / f"{name}.log"
        self._environment = {
            "BUS_URL": bus.url,
            "CLUSTER_ID": CLUSTER_ID,
            "CLIENT_ID": f"{name}-a",
            "DATABASE": str(self.database),
            "ACK_WAIT": str(ACK_WAIT_S),
            "PORT": "0",
            "PYTHONPATH": os.pathsep.join(filter(None, [str(PROJECT_DIRECTORY), os.environ.get("PYTHONPATH", "")])),
        }
        self._instance: Instance | None = None
        self._url = ""

    @property
    def instance(self) -> Instance:
        """The instance, which was started."""
        assert self._instance is not None, f"{self.name} was started"
        return self._instance

    @property
    def is_up(self) -> bool:
        """Whether it was started, and not ended."""
        return self._instance is not None

    def start(self) -> None:
        """Starts it; `wait_ready` waits for it."""
        self._instance = Instance(f"{self.name}-a", self._command, self._log, self._environment)

    def wait_ready(self) -> None:
        """Waits until it listens and, if it does that, answers HTTP."""
        self._url = self.instance.wait_ready().details.get("url", "")

    def request(self, method: str, path: str, **details: object) -> Any:  # noqa: ANN401 - whatever JSON says
        """The answer to an HTTP request; CommandRefusedError says why there is none."""
        request = urllib.request.Request(
            self._url + path,
            method=method,
            data=json.dumps(details).encode() if details else None,
            headers={"Content-Type": "application/json"},
        )
        try:
            with urllib.request.urlopen(request, timeout=ANSWER_WITHIN_S) as answer:
                return json.load(answer)
        except urllib.error.HTTPError as error:
            with error:
                raise CommandRefusedError(json.load(error)["detail"]) from None
        except OSError as error:
            raise CommandRefusedError(f"{self.name} does not answer: {error}") from error

    def kill(self) -> None:
        """SIGKILL: it ends without a word."""
        self.instance.kill()
        self._instance = None

    def end(self) -> None:
        """Ends it, if it runs."""
        if self._instance is not None:
            self._instance.end()
            self._instance = None


class Newcomers:
    """The four of them. None runs before `start`."""

    def __init__(self, bus: Bus, directory: Path) -> None:
        self.box_office = Newcomer("box-office", python_command("box_office"), bus, directory)
        self.sales = Newcomer("sales", python_command("sales"), bus, directory)
        self.admissions = Newcomer("admissions", node_command("admissions"), bus, directory)
        self.doors = Newcomer("doors", node_command("doors"), bus, directory)
        self.services = [self.box_office, self.sales, self.admissions, self.doors]

    def start(self) -> list[str]:
        """Starts those that do not run, and waits until they are ready; returns their names."""
        absent = [service for service in self.services if not service.is_up]
        for service in absent:
            service.start()
        for service in absent:
            service.wait_ready()
        return [service.name for service in absent]

    def check_runs(self) -> None:
        """Raises StoryError if one has ended that should be there."""
        for service in self.services:
            if service.is_up:
                service.instance.check_runs()

    def end(self) -> None:
        """Ends those that run, all at the same time."""
        for service in self.services:
            if service.is_up:
                service.instance.ask_to_end()
        for service in self.services:
            service.end()
