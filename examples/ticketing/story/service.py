"""One instance of a service, seen through the lines it writes and the commands it takes."""

import json
import signal
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from .children import Child
from .narrator import StoryError

ANSWER_WITHIN_S = 20.0
LOOK_EVERY_S = 0.2  # whether the process still runs


class CommandRefusedError(StoryError):
    """The service said no, and why."""


@dataclass(frozen=True)
class Message:
    """A line that the instance wrote: what it says, the details, and when the line arrived here."""

    at: float
    what: str
    details: dict[str, Any]

    def is_like(self, what: str, details: dict[str, object]) -> bool:
        """Whether it is of that kind and has these details, among others."""
        return self.what == what and details.items() <= self.details.items()


class Instance:
    """A process with a name, "payments-a"."""

    def __init__(self, name: str, command: Sequence[str], log: Path, environment: dict[str, str]) -> None:
        self.name = name
        self.letter = name.rpartition("-")[2]
        self.messages: list[Message] = []  # only ever appended to
        self._call_count = 0
        self._arrival = threading.Condition()
        self._child = Child(name, command, log, environment, takes_commands=True)
        self._reader = threading.Thread(target=self._read, name=f"reads {name}", daemon=True)
        self._reader.start()

    def _read(self) -> None:
        with self._child.log.open("ab", buffering=0) as log:
            for line in self._child.stdout:
                at, body = time.monotonic(), json.loads(line)
                log.write(self.name.encode() + b" " + line)
                with self._arrival:
                    self.messages.append(Message(at, body.pop("say"), body))
                    self._arrival.notify_all()

    def call(self, command: str, **details: object) -> Any:  # noqa: ANN401 - whatever JSON says
        """Sends a command and waits for the answer to it."""
        self._call_count += 1
        number = self._call_count
        line = json.dumps({"do": command, "call": number, **details}) + "\n"
        try:
            self._child.stdin.write(line.encode())
            self._child.stdin.flush()
        except OSError as error:
            raise StoryError(f"{self.name} takes no commands any more: {error.strerror}") from error
        answer = self.wait_message(f"answer {command}", "reply", call=number)
        if "error" in answer.details:
            raise CommandRefusedError(answer.details["error"])
        return answer.details.get("result")

    def wait_ready(self) -> Message:
        """Waits until it listens and takes commands."""
        return self.wait_message("become ready", "ready")

    def wait_message(self, purpose: str, what: str, **details: object) -> Message:
        """Waits for a message of that kind with these details."""
        deadline = time.monotonic() + ANSWER_WITHIN_S
        with self._arrival:
            while True:
                if found := self.find(what, **details):
                    return found
                self.check_runs()
                if (left := deadline - time.monotonic()) <= 0:
                    raise StoryError(f"{self.name} did not {purpose} within {ANSWER_WITHIN_S:.0f} s")
                self._arrival.wait(min(left, LOOK_EVERY_S))

    def find(self, what: str, **details: object) -> Message | None:
        """The first message of that kind with these details."""
        return next((message for message in list(self.messages) if message.is_like(what, details)), None)

    def check_runs(self) -> None:
        """Raises StoryError if it has ended."""
        if (code := self._child.exit_code()) is not None:
            raise StoryError(f"{self.name} ended with exit code {code}:\n{self._child.last_lines()}")

    def kill(self) -> None:
        """SIGKILL: it ends without a word."""
        self._child.send(signal.SIGKILL)
        self._child.wait()

    def freeze(self) -> None:
        """SIGSTOP: it stays connected and does nothing."""
        self._child.send(signal.SIGSTOP)

    def thaw(self) -> None:
        """SIGCONT: it goes on where it was."""
        self._child.send(signal.SIGCONT)

    def ask_to_end(self) -> None:
        """Like `end`, but does not wait."""
        self._child.ask_to_end()

    def end(self) -> int:
        """SIGTERM: it says goodbye to the bus."""
        return self._child.end()
