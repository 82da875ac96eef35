"""`kill -9` between any two steps of producer, relay and consumer, and of the server: nothing lost, nothing doubled.

A round is one life of each program: it dies at a step of its list (tests/outbox/victims.py), which all come in turn, or
at some moment; the server is killed now and then, too, and starts again. After the last round all live until everything is done,
and the books are compared. DURABUS_OUTBOX_ROUNDS asks for another number of rounds, DURABUS_OUTBOX_SEED for those of an
earlier run.
"""

import itertools
import json
import os
import random
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import create_engine, func, make_url, select

import durabus.sync
from durabus.client import StartPosition
from durabus.events import event_type
from tests.conftest import ROOT
from tests.databases import PASSWORD, mariadb_server, postgres_server
from tests.outbox import victims
from tests.server_process import HOST, ServerProcess

WANTED = os.environ.get("DURABUS_OUTBOX_ROUNDS")
ROUNDS = {kind: int(WANTED or usual) for kind, usual in (("sqlite", 3), ("postgresql", 1), ("mariadb", 1))}
SEED = int(os.environ.get("DURABUS_OUTBOX_SEED") or random.SystemRandom().randrange(1 << 32))
LIFE_S = 3.0
"""A program that has not come to its step by then is killed where it is."""
END_S = 60.0

pytestmark = pytest.mark.once


class Programs:
    """The server, the producer and two consumers, over all of their lives."""

    def __init__(self, folder: Path, database: str, seed: int) -> None:
        self.chance = random.Random(seed)
        self.database = database
        self.log = folder / "log"
        self._flags = ("-store", "FILE", "-dir", str(folder / "store"), "-m", "-1", "-mc", "0")
        self._port = -1
        self.server = self._start_server()
        self.running: dict[str, subprocess.Popen[bytes]] = {}
        self.reached: set[str] = set()
        self.deaths: list[str] = []
        self._producer_steps = self._steps(victims.PRODUCER_STEPS)
        self._consumer_steps = self._steps(victims.CONSUMER_STEPS)

    def _steps(self, steps: list[str]) -> Iterator[str]:
        """All of them, in an order by chance, again and again."""
        while True:
            yield from self.chance.sample(steps, len(steps))

    @property
    def url(self) -> str:
        return f"nats://{HOST}:{self._port}"

    def _start_server(self) -> ServerProcess:
        server = ServerProcess(*self._flags, port=self._port)
        server.wait_ready()
        self._port = server.port
        return server

    def restart_server(self) -> None:
        """Kill it, and start it again."""
        self.server.kill()
        self.server = self._start_server()

    def start(self, name: str, style: str, step: str = "", count: int = 0, fault: str = "") -> None:
        """Start a program, which dies at a step, or lives."""
        role = name.partition("-")[0]
        command = [sys.executable, "-m", "tests.outbox.victims", role, style, self.url, self.database, name]
        with self.log.open("ab") as log:
            self.running[name] = subprocess.Popen(
                [*command, step, str(count), fault], cwd=ROOT, stdin=subprocess.DEVNULL, stdout=log, stderr=log
            )

    def round(self, style: str) -> None:
        """One life of each program."""
        chance = self.chance
        producer_step, consumer_step = next(self._producer_steps), next(self._consumer_steps)
        self.start("producer", style, producer_step, chance.randrange(1, 20))
        self.start("consumer-1", style, consumer_step, chance.randrange(1, 10))
        self.start("consumer-2", "asyncio", "long after ack", chance.randrange(1, 50))
        deadline_s = time.monotonic() + LIFE_S
        server_dies_s = time.monotonic() + chance.uniform(0.3, 2.0) if chance.random() < 0.5 else deadline_s
        while time.monotonic() < deadline_s and any(self.running[n].poll() is None for n in ("producer", "consumer-1")):
            if time.monotonic() >= server_dies_s:
                server_dies_s = deadline_s
                self.restart_server()
            time.sleep(0.01)
        for name, program in self.running.items():
            was_alive = program.poll() is None
            program.kill()
            code = program.wait(END_S)
            assert code == -9, f"{name} ended by itself with {code}"
            self.deaths.append(f"{name} {'killed from outside' if was_alive else 'at its step'}")
            if not was_alive and name != "consumer-2":
                self.reached.add(producer_step if name == "producer" else consumer_step)

    def produce(self, style: str) -> None:
        """Have a producer publish what there is, and a few more."""
        self.start("producer", style)
        assert self.running["producer"].wait(END_S) == 0

    def finish(self, style: str) -> None:
        """Let everything come to its end."""
        self.start("consumer-1", style)
        self.start("consumer-2", "asyncio")
        self.produce(style)
        deadline_s = time.monotonic() + END_S
        while not self._is_done():
            assert time.monotonic() < deadline_s, f"not everything was dealt with: {self._subscriptions()}"
            time.sleep(0.02)
        for name in ("consumer-1", "consumer-2"):
            self.running[name].terminate()
            assert self.running[name].wait(END_S) == 0

    def _subscriptions(self) -> dict[str, Any]:
        address = f"http://{HOST}:{self.server.monitor_port}/streaming/channelsz?channel={victims.SUBJECT}&subs=1"
        with urllib.request.urlopen(address, timeout=END_S) as answer:
            found: dict[str, Any] = json.load(answer)
        return found

    def _is_done(self) -> bool:
        """Whether everything that is stored is acknowledged."""
        found = self._subscriptions()
        members = found.get("subscriptions") or []
        sent = max((member["last_sent"] for member in members), default=0)
        return sent == found["last_seq"] and not any(member["pending_count"] for member in members)

    def end(self) -> None:
        """Nobody stays."""
        for program in self.running.values():
            if program.poll() is None:
                program.kill()
            program.wait(END_S)
        if self.server.is_running():
            self.server.kill()

    def stored(self) -> list[int]:
        """The tickets of all events in the channel, in their order."""
        kind = event_type(victims.Paid)
        tickets: list[int] = []
        with durabus.sync.connect(self.url) as bus:
            subscription = bus.subscribe(victims.SUBJECT, start=StartPosition.all_available())
            last = int(self._subscriptions()["last_seq"])
            while len(tickets) < last:
                tickets.append(kind.decode(subscription.next(END_S).data).ticket)
        return tickets


def check(programs: Programs) -> str:
    """Compare the books: what the producer committed, what the bus has, and what the consumer did."""
    plain = make_url(programs.database)
    engine = create_engine(plain.set(drivername=victims.DRIVERS[plain.get_backend_name()][1]))
    with engine.connect() as connection:
        committed = list(connection.execute(select(victims.TICKETS.c.id).order_by(victims.TICKETS.c.id)).scalars())
        done = list(connection.execute(select(victims.INVOICES.c.ticket)).scalars())
        waiting = connection.execute(select(func.count()).select_from(victims.OUTBOX.table)).scalar_one()
    victims.METADATA.drop_all(engine)  # one database of PostgreSQL is for all tests
    engine.dispose()
    stored = programs.stored()
    lost, doubled = set(committed) - set(done), len(done) - len(set(done))
    text = (
        f"{len(committed)} events committed, {len(stored)} published, {len(stored) - len(set(stored))} of them again;"
        f" {len(done)} done, {len(lost)} lost, {doubled} doubled"
    )
    assert not lost, text
    assert not doubled, text
    assert set(done) == set(committed), f"something was done that was rolled back: {text}"
    assert waiting == 0
    first_copies = list(dict.fromkeys(stored))
    for lane, members in itertools.groupby(
        sorted(first_copies, key=lambda t: str(victims.lane_of(t))), victims.lane_of
    ):
        assert (found := list(members)) == sorted(found), f"{lane} lost its order"
    return text


def database(kind: str, folder: Path) -> str:
    """An empty database with the tables of both services."""
    if kind == "sqlite":
        address = f"sqlite:///{folder / 'service.db'}"
    elif kind == "postgresql":
        server = postgres_server()
        address = f"postgresql://durabus@{HOST}:{server.port}/postgres"
    else:
        mariadb = mariadb_server()
        name = mariadb.new_database().rpartition("/")[2].partition("?")[0]
        address = f"mysql://durabus@{HOST}:{mariadb.port}/{name}"
    url = make_url(address)
    if kind != "sqlite":
        url = url.set(password=PASSWORD)
    engine = create_engine(url.set(drivername=victims.DRIVERS[url.get_backend_name()][1]))
    with engine.begin() as connection:
        if kind == "sqlite":
            connection.exec_driver_sql("PRAGMA journal_mode=WAL")
        victims.METADATA.create_all(connection)
    engine.dispose()
    return url.render_as_string(hide_password=False)


@pytest.mark.timeout(200 + 15 * max(ROUNDS.values()))
@pytest.mark.parametrize("kind", ["sqlite", "postgresql", "mariadb"])
def test_nothing_is_lost_and_nothing_doubled(kind: str, tmp_path: Path) -> None:
    programs = Programs(tmp_path, database(kind, tmp_path), SEED)
    try:
        for number in range(ROUNDS[kind]):
            programs.round(("asyncio", "threads")[number % 2])
        programs.finish("asyncio")
        text = check(programs)
        own = sum("step" in death for death in programs.deaths)
        sys.stdout.write(
            f"\n{kind}, seed {SEED}: {ROUNDS[kind]} rounds, {len(programs.deaths)} deaths, {own} at a step; {text};"
            f" {len(programs.reached)} of {len(victims.PRODUCER_STEPS) + len(victims.CONSUMER_STEPS)} steps\n"
        )
    except BaseException as error:
        error.add_note(f"seed {SEED}; the programs' log:\n{programs.log.read_text(errors='replace')[-20_000:]}")
        raise
    finally:
        programs.end()


@pytest.mark.parametrize(
    ("fault", "step", "words"),
    [("acknowledges-first", "service before INSERT invoice", "1 lost"), ("no-inbox", "before ack", "1 doubled")],
)
def test_a_careless_consumer_is_found_out(fault: str, step: str, words: str, tmp_path: Path) -> None:
    """Else the test above would prove nothing."""
    programs = Programs(tmp_path, database("sqlite", tmp_path), SEED)
    try:
        programs.produce("asyncio")
        programs.start("consumer-1", "asyncio", step, 2, fault)
        assert programs.running["consumer-1"].wait(END_S) == -9
        programs.finish("asyncio")
        with pytest.raises(AssertionError, match=words):
            check(programs)
    finally:
        programs.end()
