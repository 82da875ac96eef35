"""The clients of the crash tests: publishers, members of durables, and readers, each with its books.

They go on after a restart as client libraries do: the same subjects again, under the same client ID and connID, and a
ping. Or, `anew`, as a program that was started again: registered with another connID, and subscribed again.
"""

import asyncio
import itertools
import random
import time
from typing import Final

from tests.blackbox.stan_client import CLUSTER, SEQUENCE, Fields, read_fields
from tests.crash.connection import Connection, Handler
from tests.crash.ledger import ChannelLedger, Complaints, DurableLedger
from tests.crash.messages import ATTEMPTS_MAX, PUBLISHERS_MAX, data_of, key_of
from tests.server_process import PATIENCE_S
from tests.wire.wire_format import blob, integer, number

__all__ = ["IN_FLIGHT", "MARKER", "Life", "Participant", "Publisher", "Reader", "Subscriber"]

IN_FLIGHT: Final = 128
"""How many unacknowledged messages a publisher keeps on their way."""
MARKER: Final = PUBLISHERS_MAX - 1
"""The publisher number of what readers publish, to know where the end is."""
OTHER_EVERY: Final = 4
"""Each so manieth message of a publisher goes to the second channel."""
HELD_BACK_MAX: Final = 200
HELD_BACK: Final = 0.05
"""How much a subscriber does not acknowledge before the next life: in part, and at most (below its MaxInFlight)."""
SUBSCRIPTION_IN_FLIGHT_MAX: Final = 1024
READER_IN_FLIGHT_MAX: Final = 1 << 30
READER_ACK_WAIT_S: Final = 3600
ACK_WAIT_S: Final = 600
"""So long that a durable which waited for it would have stopped: after a kill, none may have to."""

_numbers = itertools.count(1)


class Life:
    """One life of the server, as the clients know it. `complaints` is the list of the whole test."""

    def __init__(self, complaints: Complaints, durables: list[DurableLedger]) -> None:
        self.port = 0
        self.complaints = complaints
        self.is_ending = False  # from now on, connections may be lost
        self.published_s = 0.0  # when the last of the publishes that are acknowledged was sent
        self.has_settled = asyncio.Event()  # some acknowledgement of each durable will have to be known after the kill
        self._durables = durables

    def on_published(self, sent_s: float) -> None:
        """A publish is acknowledged that was sent at `sent_s`."""
        if sent_s <= self.published_s:
            return
        self.published_s = sent_s
        if not self.has_settled.is_set():
            firsts_s = [durable.first_confirmed_s for durable in self._durables]
            if all(
                first_s is not None and first_s + durable.SETTLING_S <= sent_s
                for first_s, durable in zip(firsts_s, self._durables, strict=True)
            ):
                self.has_settled.set()


class Participant:
    """A client ID, and what it listens on. A kill may come at any point of it: then ConnectionError is raised."""

    def __init__(self, client_id: bytes) -> None:
        self.client_id = client_id
        self.connection: Connection | None = None
        self.life: Life | None = None
        self.is_settled_in = False  # registered, and everything else that only has to be done once
        self.connection_id = b""
        self.subjects = Fields()
        self._inbox = b""
        self._is_leaving = False
        self._listens: dict[bytes, Handler] = {}

    async def go_on(self, life: Life, *, anew: bool) -> None:
        """Connect to the server of `life`."""
        self.life = life
        self._is_leaving = False
        self.connection = connection = await Connection.open(life.port)
        connection.lost.add_done_callback(lambda _: self._on_lost(life))
        if anew or not self.is_settled_in:
            self.is_settled_in = False
            await self._register(connection)
            await self.settle_in(connection)
            connection.flush()
            self.is_settled_in = True
            return
        for subject, handler in self._listens.items():
            connection.listen(subject, handler)
        self.prepare(connection)
        ping = self.subjects.text(7)
        error = read_fields(await connection.request(ping, blob(1, self.connection_id), self._inbox)).text(1)
        self._expect_no(error, "is not known any more")

    def _on_lost(self, life: Life) -> None:
        if not life.is_ending and not self._is_leaving:
            life.complaints.add(f"{self.client_id.decode()}: the server closed the connection")

    def _expect_no(self, error: bytes, what: str) -> None:
        if error:
            assert self.life is not None
            self.life.complaints.add(f"{self.client_id.decode()} {what}: {error.decode()}")

    async def _register(self, connection: Connection) -> None:
        self.connection_id = b"connection-%d" % next(_numbers)
        self._inbox = b"_INBOX.crash-%d" % next(_numbers)
        self._listens.clear()
        heartbeats = self._inbox + b".heartbeats"

        def on_heartbeat(reply: bytes, _: bytes) -> None:
            assert self.connection is not None
            self.connection.publish(reply, b"")

        self.listen(connection, heartbeats, on_heartbeat)
        payload = blob(1, self.client_id) + blob(2, heartbeats) + integer(3, 1) + blob(4, self.connection_id)
        self.subjects = read_fields(await connection.request(b"_STAN.discover." + CLUSTER, payload, self._inbox))
        self._expect_no(self.subjects.text(5), "is not registered")

    def listen(self, connection: Connection, subject: bytes, handler: Handler) -> None:
        """SUB, and again after each restart."""
        self._listens[subject] = handler
        connection.listen(subject, handler)

    async def settle_in(self, connection: Connection) -> None:
        """What else has to be done once."""
        self.prepare(connection)

    def prepare(self, connection: Connection) -> None:
        """What has to be done on each connection."""

    async def subscribe(
        self,
        channel: bytes,
        handler: Handler,
        *,
        start: int,
        group: bytes = b"",
        durable: bytes = b"",
        in_flight_max: int,
        ack_wait_s: int,
    ) -> bytes:
        """Subscribe; the ack inbox."""
        connection = self.connection
        assert connection is not None
        inbox = b"%b.subscription-%d" % (self._inbox, next(_numbers))
        self.listen(connection, inbox, handler)
        payload = blob(1, self.client_id) + blob(2, channel) + blob(3, group) + blob(4, inbox) + blob(7, durable)
        payload += integer(5, in_flight_max) + integer(6, ack_wait_s) + integer(10, SEQUENCE) + integer(11, start)
        answer = read_fields(await connection.request(self.subjects.text(2), payload, self._inbox))
        self._expect_no(answer.text(3), f"cannot subscribe to {channel.decode()}")
        return answer.text(2)

    async def disconnect(self) -> None:
        """Close the client, and its connection."""
        assert self.connection is not None
        payload = blob(1, self.client_id)
        error = read_fields(await self.connection.request(self.subjects.text(4), payload, self._inbox)).text(1)
        self._expect_no(error, "cannot close")
        await self.close()

    async def close(self) -> None:
        """Close the connection, if there is one, whatever the server will think."""
        if self.connection is not None:
            self._is_leaving = True
            await self.connection.close()


class Publisher(Participant):
    """Publishes without end, to two channels, with `IN_FLIGHT` messages on their way.

    What was not acknowledged when the server died is published again, as another attempt, before anything else.
    """

    def __init__(self, index: int, channels: list[ChannelLedger]) -> None:
        super().__init__(b"publisher-%d" % index)
        self.is_stopping = False
        self.done = asyncio.Event()  # stopped, and everything is acknowledged
        self._index = index
        self._channels = channels
        self._number = 0
        self._again: list[tuple[int, int]] = []  # number, attempt
        self._in_flight: dict[bytes, tuple[int, int, float]] = {}  # guid -> number, attempt, when it was sent
        self._ack_subject = b""
        self._start = b""
        self._end = b""

    async def settle_in(self, connection: Connection) -> None:
        """Listen for acknowledgements."""
        self._ack_subject = self._inbox + b".acknowledgements"
        self.listen(connection, self._ack_subject, self._on_answer)
        self._start, self._end = blob(1, self.client_id), blob(6, self.connection_id)
        self.prepare(connection)

    def prepare(self, connection: Connection) -> None:
        """Begin to publish."""
        self._again = sorted([(number, attempt + 1) for number, attempt, _ in self._in_flight.values()] + self._again)
        self._in_flight.clear()
        connection.after_chunk = self._refill
        self._refill()

    def stop(self) -> None:
        """Publish nothing new from now on."""
        self.is_stopping = True
        self._refill()

    def _channel(self, number: int) -> ChannelLedger:
        return self._channels[number % OTHER_EVERY == 0]

    def _refill(self) -> None:
        now_s = time.monotonic()
        while len(self._in_flight) < IN_FLIGHT:
            if self._again:
                self._publish(*self._again.pop(0), now_s)
            elif not self.is_stopping:
                self._number += 1
                self._publish(self._number, 0, now_s)
            else:
                break
        if self.is_stopping and not self._in_flight:
            self.done.set()

    def _publish(self, index: int, attempt: int, now_s: float) -> None:
        connection = self.connection
        assert connection is not None
        assert attempt < ATTEMPTS_MAX
        channel = self._channel(index)
        key = key_of(self._index, index, attempt)
        guid, data = b"%d" % key, data_of(key)
        self._in_flight[guid] = index, attempt, now_s
        channel.sent(key)
        payload = b"%b\x12%b%b\x1a%b%b\x2a%b%b%b" % (
            *(self._start, number(len(guid)), guid, number(len(channel.name)), channel.name),
            *(number(len(data)), data, self._end),
        )  # fmt: skip
        connection.publish(self.subjects.text(1) + b"." + channel.name, payload, self._ack_subject)

    def _on_answer(self, _: bytes, payload: bytes) -> None:
        answer = read_fields(payload)
        self._expect_no(answer.text(2), "may not publish")
        index, attempt, sent_s = self._in_flight.pop(answer.text(1))
        self._channel(index).acknowledged(key_of(self._index, index, attempt))
        assert self.life is not None
        self.life.on_published(sent_s)


class Subscriber(Participant):
    """A member of a durable. Acknowledges by itself, but not everything: some only in a later life, when it comes again."""

    def __init__(self, client_id: bytes, durable: DurableLedger, group: bytes, chance: random.Random) -> None:
        super().__init__(client_id)
        self._durable = durable
        self._group = group
        self._chance = chance
        self._ack_inbox = b""
        self._held_back: set[int] = set()  # in this life
        self._early: list[int] = []  # came before we knew where acknowledgements go
        self._unconfirmed: list[int] = []
        self._is_asking = False
        self._ack_start = blob(1, durable.channel.name) + b"\x10"

    async def settle_in(self, connection: Connection) -> None:
        """Subscribe, from the first message on if nobody has before."""
        self.prepare(connection)
        self._ack_inbox = b""
        self._ack_inbox = await self.subscribe(
            self._durable.channel.name,
            self._on_message,
            start=1,
            group=self._group,
            durable=b"position",
            in_flight_max=SUBSCRIPTION_IN_FLIGHT_MAX,
            ack_wait_s=ACK_WAIT_S,
        )
        early, self._early = self._early, []
        for sequence in early:
            self._acknowledge(sequence)
        self._ask()

    def prepare(self, connection: Connection) -> None:
        """Nothing of the old connection counts."""
        self._held_back = set()
        self._early = []
        self._unconfirmed = []
        self._is_asking = False
        connection.after_chunk = self._ask

    def _on_message(self, _: bytes, payload: bytes) -> None:
        fields = read_fields(payload)
        sequence = fields.number(1)
        self._durable.channel.seen(sequence, fields.text(4), fields.number(5))
        self._durable.delivered(sequence, is_new=not fields.number(6))
        if sequence in self._held_back:
            return
        if len(self._held_back) < HELD_BACK_MAX and self._chance.random() < HELD_BACK:
            self._held_back.add(sequence)
        else:
            self._acknowledge(sequence)

    def _acknowledge(self, sequence: int) -> None:
        if not self._ack_inbox:
            self._early.append(sequence)
            return
        assert self.connection is not None
        self._durable.acknowledged(sequence)
        self._unconfirmed.append(sequence)
        self.connection.publish(self._ack_inbox, self._ack_start + number(sequence))

    def _ask(self) -> None:
        """Learn what of the acknowledgements the server has read."""
        if not self._unconfirmed or self._is_asking:
            return
        asked, self._unconfirmed = self._unconfirmed, []
        connection = self.connection
        assert connection is not None

        def on_pong() -> None:
            self._is_asking = False
            self._durable.confirmed(time.monotonic(), asked)

        self._is_asking = True
        connection.ping(on_pong)


class Reader(Participant):
    """Reads a channel up to what is there now, without acknowledging anything."""

    async def read_to_end(self, channel: ChannelLedger, first: int) -> int:
        """Let `channel` check everything from `first` on; the last sequence. A reading that stops is a complaint."""
        life, connection = self.life, self.connection
        assert life is not None
        assert connection is not None
        key = await self._publish_marker(channel, connection)
        marker = data_of(key)
        channel.begin_reading(first)
        loop = asyncio.get_running_loop()
        end: asyncio.Future[int] = loop.create_future()
        begins_at = 0

        def on_message(_: bytes, payload: bytes) -> None:
            nonlocal begins_at
            fields = read_fields(payload)
            sequence, data = fields.number(1), fields.text(4)
            begins_at = begins_at or sequence
            if end.done():
                return
            channel.read(sequence, data, fields.number(5))
            if data == marker:
                end.set_result(sequence)

        def on_chunk() -> None:
            if not watchdog.expired():
                watchdog.reschedule(loop.time() + PATIENCE_S)

        try:
            async with asyncio.timeout(PATIENCE_S) as watchdog:
                connection.after_chunk = on_chunk
                await self.subscribe(
                    channel.name,
                    on_message,
                    start=first,
                    in_flight_max=READER_IN_FLIGHT_MAX,
                    ack_wait_s=READER_ACK_WAIT_S,
                )
                await end
        except TimeoutError:
            life.complaints.add(f"{channel.name.decode()}: the reading stopped after sequence {channel.verified}")
            return channel.verified
        finally:
            connection.after_chunk = lambda: None
        channel.end_reading()
        if first == 1:
            channel.check_first(begins_at)
        return end.result()

    async def _publish_marker(self, channel: ChannelLedger, connection: Connection) -> int:
        key = key_of(MARKER, next(_numbers), 0)
        guid, data = b"%d" % key, data_of(key)
        payload = (
            blob(1, self.client_id)
            + blob(2, guid)
            + blob(3, channel.name)
            + blob(5, data)
            + blob(6, self.connection_id)
        )
        channel.sent(key)
        answer = await connection.request(self.subjects.text(1) + b"." + channel.name, payload, self._inbox)
        self._expect_no(read_fields(answer).text(2), "may not publish")
        channel.acknowledged(key)
        return key
