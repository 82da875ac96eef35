"""Kills a server under load, again and again, and checks after each kill that it kept what it had promised.

A round is one life of the server: it starts, a reader and the durables check what is there, publishers load it, and a
SIGKILL ends it. After the last round it lives once more, for a last check of everything, and is stopped in order.

SIGKILL leaves the system's page cache as it is. What becomes of what was never synced when the power fails, the tests
of each store show (tests/stores/file/test_crash.py).
"""

import asyncio
import random
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from tests.crash.ledger import ChannelLedger, Complaints, DurableLedger
from tests.crash.participants import Life, Participant, Publisher, Reader, Subscriber
from tests.server_process import PATIENCE_S, ServerProcess

__all__ = ["Report", "Rounds"]

PUBLISHERS: Final = 4
KILL_AFTER_MIN_S: Final = 0.003
KILL_AFTER_MAX_S: Final = 1.0
LONG_EVERY: Final = 10
"""Each so manieth life is long enough for acknowledgements to be known after the kill for certain."""
FALSE_START: Final = 0.25
"""How often a server is killed while it recovers, before it serves anybody."""
RECOVERY_MAX_S: Final = 0.1
ANEW: Final = 0.25
"""How often a client comes back as a new one."""
READ_ALL_FIRST: Final = 5
"""The life in which everything is read again, as in those of twice the number, four times, and so on, and in the last."""
READ_AGAIN_MAX: Final = 5000
LIMIT_MESSAGES: Final = 2000
"""How much the second channel keeps: what is below lies dead in between, and the store may take its space."""
LAST_LOAD_S: Final = 0.2

CONFIGURATION: Final = f"""
streaming {{
  store_limits {{
    max_channels: 0, max_subs: 0, max_msgs: 0, max_bytes: 0
    channels {{ "crash.limited" {{ max_msgs: {LIMIT_MESSAGES} }} }}
  }}
}}
"""


@dataclass
class Report:
    """What came of it, in numbers. `complaints` are what the server did wrong; they end the test early."""

    seed: int
    rounds: int = 0
    false_starts: int = 0
    sent: int = 0
    acknowledged: int = 0
    stored: int = 0
    checked: int = 0
    delivered: int = 0
    repeated: int = 0
    settled: int = 0
    seconds: float = 0.0
    complaints: list[str] = field(default_factory=list)

    def __str__(self) -> str:
        text = (
            f"seed {self.seed}: {self.rounds} rounds and {self.false_starts} kills while recovering in {self.seconds:.0f} s;"
            f" {self.sent} messages sent, {self.acknowledged} acknowledged, {self.stored} stored, {self.checked} read and"
            f" compared; durables: {self.delivered} deliveries, {self.repeated} of them again, {self.settled}"
            " acknowledgements that no kill may undo"
        )
        return "\n".join([text, *self.complaints])


def reads_all(life: int) -> bool:
    """Whether readers begin with the first message: so often that it takes no more time the longer the test is."""
    doublings, rest = divmod(life, READ_ALL_FIRST)
    return rest == 0 and doublings.bit_count() == 1


class Rounds:
    """The server with `flags`, its clients, and their books, over many lives. `folder` is for a configuration file."""

    def __init__(self, flags: list[str], folder: Path, seed: int) -> None:
        configuration = folder / "crash.conf"
        configuration.write_text(CONFIGURATION, encoding="utf-8")
        self._flags = ["-c", str(configuration), *flags]
        self._chance = random.Random(seed)
        self._port = -1
        self._complaints = complaints = Complaints()
        self._report = Report(seed, complaints=complaints.texts)
        self._errors: list[dict[str, Any]] = []  # what went wrong in the callbacks of this test
        self._all = ChannelLedger(b"crash.all", complaints)
        self._limited = ChannelLedger(b"crash.limited", complaints, LIMIT_MESSAGES)
        durable = DurableLedger("durable", self._all, complaints, is_group=False)
        group = DurableLedger("durable group", self._all, complaints, is_group=True)
        self._durables = [durable, group]
        self._subscribers = [
            Subscriber(b"worker", durable, b"", random.Random(self._chance.random())),
            Subscriber(b"member-1", group, b"group", random.Random(self._chance.random())),
            Subscriber(b"member-2", group, b"group", random.Random(self._chance.random())),
        ]
        self._publishers = [Publisher(index, [self._all, self._limited]) for index in range(PUBLISHERS)]

    async def run(self, rounds: int) -> Report:
        """So many kills, or less if something is wrong before."""
        started_s = time.monotonic()
        asyncio.get_running_loop().set_exception_handler(lambda _, context: self._errors.append(context))
        for index in range(1, rounds + 2):
            self._complaints.life = index
            await self._live(index, is_last=index > rounds)
            assert not self._errors, self._errors
            if self._complaints:
                break
        report = self._report
        for channel in (self._all, self._limited):
            report.sent += channel.sent_count
            report.acknowledged += channel.acknowledged_count
            report.stored += channel.verified
            report.checked += channel.checked_count
        for durable in self._durables:
            report.delivered += durable.delivered_count
            report.repeated += durable.repeated_count
            report.settled += durable.settled_count
        report.seconds = time.monotonic() - started_s
        return report

    # One life.

    async def _live(self, index: int, *, is_last: bool) -> None:
        if index > 1 and self._chance.random() < FALSE_START:
            await self._start_falsely()
        life = Life(self._complaints, self._durables)
        server = ServerProcess(*self._flags, port=self._port)
        try:
            await asyncio.to_thread(server.wait_ready)
            self._port = life.port = server.port
            for durable in self._durables:
                durable.begin_life()
            await self._check(life, is_whole=reads_all(index))
            if self._complaints:
                return
            if is_last:
                await self._end(life, server)
            else:
                await self._load(life, server, is_long=index % LONG_EVERY == 2)
        except ConnectionError as error:
            self._complaints.add(f"a connection was lost while the server had to run: {error}")
        except BaseException as error:
            error.add_note(f"seed {self._report.seed}, life {index}; the server's log:\n{server.log}")
            raise
        finally:
            if server.is_running():
                life.is_ending = True
                server.kill()
            await asyncio.gather(*(participant.close() for participant in self._everybody()))
            self._check_log(server.log)

    def _everybody(self) -> list[Participant]:
        return [*self._publishers, *self._subscribers]

    def _is_anew(self) -> bool:
        return self._chance.random() < ANEW

    async def _start_falsely(self) -> None:
        """A server that is killed while it recovers, or just after."""
        self._report.false_starts += 1
        server = ServerProcess(*self._flags, port=self._port)
        try:
            await asyncio.to_thread(server.wait_line, "Recovering the state...")
            await asyncio.sleep(self._chance.random() * RECOVERY_MAX_S)
        finally:
            server.kill()
        self._check_log(server.log)

    async def _check(self, life: Life, *, is_whole: bool) -> None:
        """Readers and durables: is everything there? The durables go on first, to see what is redelivered to whom."""
        await asyncio.gather(*(member.go_on(life, anew=self._is_anew()) for member in self._subscribers))
        reader = Reader(b"reader")
        await reader.go_on(life, anew=True)
        for channel in (self._limited, self._all):
            again = 0 if is_whole else self._chance.randrange(READ_AGAIN_MAX)
            first = 1 if is_whole else max(1, channel.verified + 1 - again)
            last = await reader.read_to_end(channel, first)
        if self._complaints:
            await reader.close()
            return
        await reader.disconnect()
        await asyncio.gather(*(self._wait_for(durable, last) for durable in self._durables))

    async def _wait_for(self, durable: DurableLedger, last: int) -> None:
        """Until the durable was sent everything up to `last` that it has not acknowledged."""
        complete = asyncio.Event()
        durable.expect(last, complete.set)
        try:
            async with asyncio.timeout(PATIENCE_S):
                await complete.wait()
        except TimeoutError:
            durable.give_up()

    async def _load(self, life: Life, server: ServerProcess, *, is_long: bool) -> None:
        """Publish, and kill the server at some moment."""
        publishing = [
            asyncio.create_task(publisher.go_on(life, anew=self._is_anew())) for publisher in self._publishers
        ]
        if is_long:
            async with asyncio.timeout(PATIENCE_S):
                await life.has_settled.wait()
        # Early moments are the more interesting ones: the square draws them more often.
        kill_after_s = KILL_AFTER_MIN_S + self._chance.random() ** 2 * (KILL_AFTER_MAX_S - KILL_AFTER_MIN_S)
        await asyncio.sleep(kill_after_s)
        if not server.is_running():
            self._complaints.add("the server ended by itself")
        life.is_ending = True
        server.process.kill()
        # What it had sent before its end still counts.
        for participant in self._everybody():
            if participant.connection is not None:
                await participant.connection.lost
        for result in await asyncio.gather(*publishing, return_exceptions=True):
            if isinstance(result, BaseException) and not isinstance(result, ConnectionError):
                raise result
        await asyncio.to_thread(server.wait_end)
        for durable in self._durables:
            durable.end_life(life.published_s)
        self._report.rounds += 1

    async def _end(self, life: Life, server: ServerProcess) -> None:
        """Publish to an end, check everything a last time, and stop the server."""
        await asyncio.gather(*(publisher.go_on(life, anew=False) for publisher in self._publishers))
        await asyncio.sleep(LAST_LOAD_S)
        async with asyncio.timeout(PATIENCE_S):
            for publisher in self._publishers:
                publisher.stop()
                await publisher.done.wait()
        reader = Reader(b"reader")
        await reader.go_on(life, anew=True)
        for channel in (self._limited, self._all):
            last = await reader.read_to_end(channel, 1)
        await asyncio.gather(*(self._wait_for(durable, last) for durable in self._durables))
        await reader.close()
        life.is_ending = True
        code = await asyncio.to_thread(server.stop)
        if code:
            self._complaints.add(f"the server was stopped, and ended with {code}")

    def _check_log(self, log: str) -> None:
        for line in log.splitlines():
            if any(word in line for word in ("[ERR]", "[FTL]", "Traceback", "Exception", "damage")):
                self._complaints.add(f"the server's log: {line}")
