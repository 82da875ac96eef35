"""A directory of NATS Streaming Server as a store that can be read and not written: what there is to take over."""

import asyncio
from collections.abc import Callable
from typing import Final

from durabus.errors import StoreError
from durabus.stores.findings import shown_name
from durabus.stores.original_file.channel_log import ChannelLog
from durabus.stores.original_file.checksum import IEEE, Checksum
from durabus.stores.original_file.files import ChannelFiles, OriginalFiles, SourceFile, find_files
from durabus.stores.original_file.findings import Findings
from durabus.stores.original_file.quarantine import Quarantine
from durabus.stores.original_file.records import VERSION_BYTES, RecordReader
from durabus.stores.original_file.registry import fitting_polynomials, has_fitting_record, read_clients, read_cluster_id
from durabus.stores.original_file.subscription_log import KIND_MAX, RECORDS_BEGIN, SubscriptionLog
from durabus.stores.original_file.typed_file import TypedWalk
from durabus.streaming.records import SERVER_KEY, encode_channel_name, encode_server
from durabus.streaming.store_port import (
    KIND_CHANNEL,
    KIND_CLIENT,
    KIND_SERVER,
    KIND_SUBSCRIPTION,
    REFUSED,
    Batch,
    ChannelState,
    Cursor,
    Lease,
    Recovered,
    Store,
    StoreListener,
)
from durabus.wire.varint import FieldReader, bytes_field, uint_field

__all__ = ["OriginalFileStore", "OriginalOptions", "cluster_id_of"]

_NUMBER: Final = 1  # fields of a SubState
_CHANNEL: Final = 100  # what the original has no field for: streaming/records.py
_FILES_PROBED: Final = 16


class OriginalOptions:
    """How the original was run on the directory."""

    def __init__(self, cluster_id: bytes = b"", crc_polynomial: int = IEEE, check_crc: bool = True) -> None:
        """`crc_polynomial` and `check_crc` as -file_crc_poly and -file_crc.

        `cluster_id` takes the place of one that cannot be read any more.
        """
        self.cluster_id = cluster_id
        self.crc_polynomial = crc_polynomial
        self.check_crc = check_crc


class OriginalFileStore(Store):
    """Reads the directory when it is recovered. Memory is for what is pending and for places, not for messages.

    Channels get numbers from `channel_id_first` on, in the order of their names. Subscriptions are numbered anew, because
    the original begins at 1 in each channel. `damage` of what is recovered names each message that is lost; in pages it is
    an empty body. What is damaged is copied to the `quarantine`, where there is one.
    """

    def __init__(
        self,
        directory: str,
        options: OriginalOptions | None = None,
        quarantine: str = "",
        report: Callable[[str], None] = lambda _: None,
        channel_id_first: int = 1,
    ) -> None:
        """Touch nothing yet. `quarantine` is the path of a file; `report` is told how far a recovery is."""
        self.name = "FILE"
        self.durability = "nothing is acknowledged: this store can only be read"
        self.message_bytes_max = 0
        self.message_overhead_bytes = 0
        self.batches_in_flight_max = 1
        self.is_immediate = True
        self.has_lost = True
        self.lost_count = 0
        """Messages that are damaged, or gone, as of the last recovery."""
        self.on_problem: Callable[[str], None] = lambda _: None
        self._directory = directory
        self._options = options or OriginalOptions()
        self._quarantine = quarantine
        self._report = report
        self._channel_id_first = channel_id_first
        self._checksum = Checksum(self._options.crc_polynomial)
        self._channels: dict[int, ChannelLog] = {}
        self._open: ChannelLog | None = None  # the one whose files are open
        self._listener: StoreListener | None = None

    def bind(self, listener: StoreListener) -> None:
        """Tell `listener` how work ends, from now on."""
        self._listener = listener

    async def acquire(self, owner: str) -> Lease | None:
        """Refuse: nobody writes here. Raises StoreError, always."""
        raise StoreError("not supported")

    async def recover(self, lease: Lease | None) -> Recovered:
        """Read everything once. Raises StoreError when there is no store, or its checksums are of another kind."""
        try:
            return await asyncio.to_thread(self._recover)
        except OSError as error:
            name = f": {error.filename}" if error.filename else ""
            raise StoreError(f"{self._directory} cannot be read: {error.strerror or error}{name}") from None

    def _recover(self) -> Recovered:
        self._close()
        files = find_files(self._directory)
        if not files:
            raise StoreError(f"{self._directory} holds no data of a NATS Streaming Server")
        self._check_polynomial(files)
        quarantine = Quarantine(self._quarantine) if self._quarantine else None
        findings = Findings(quarantine, self._report, self._size(files))
        try:
            recovered = self._read_all(files, findings)
        finally:
            findings.finish()
        recovered.damage = findings.damage
        self.lost_count = findings.lost_count
        return recovered

    def _size(self, files: OriginalFiles) -> int:
        """The bytes that a recovery reads, and says so."""
        total = 0
        names = [part.data for channel in files.channels for part in channel.slices]
        for name in [*names, *(channel.subscriptions for channel in files.channels if channel.subscriptions)]:
            file = SourceFile(self._directory, name)
            total += file.size
            file.close()
        self._report(f"{len(files.channels)} channels in {total / 1e6:,.1f} MB found")
        return total

    # What is there.

    def _read_all(self, files: OriginalFiles, findings: Findings) -> Recovered:
        for name in files.strange:
            findings.note(f"{shown_name(name.encode(errors='surrogateescape'))} is not of a channel: it is left alone")
        recovered = Recovered()
        cluster_id = self._options.cluster_id
        if files.server:
            with self._opened(files.server) as file:
                cluster_id = read_cluster_id(file, self._reader(file, False), findings) or cluster_id
        else:
            findings.note("server.dat is not there, so nothing says whose store this is")
        if not cluster_id:
            raise StoreError(
                f"{self._directory} does not say any more for which cluster ID it was written: name that yourself"
            )
        if files.clients:
            with self._opened(files.clients) as file:
                for key, value in read_clients(file, self._reader(file, True), findings).items():
                    recovered.state.append((KIND_CLIENT, key, value))
        subscription_id_last = 0
        for channel_id, channel in enumerate(files.channels, self._channel_id_first):
            subscription_id_last = self._read_channel(channel_id, channel, subscription_id_last, recovered, findings)
        channel_id_last = self._channel_id_first + len(files.channels) - 1
        value = encode_server(cluster_id, channel_id_last, subscription_id_last)
        recovered.state.append((KIND_SERVER, SERVER_KEY, value))
        return recovered

    def _read_channel(
        self, channel_id: int, files: ChannelFiles, subscription_id_last: int, recovered: Recovered, findings: Findings
    ) -> int:
        """Everything of one channel; the number of its last subscription."""
        log = ChannelLog(self._directory, files, self._checksum, self._options.check_crc)
        log.scan(findings)
        positions = self._read_subscriptions(files, findings)
        log.settle(int(positions.sent_last), findings)
        log.close()
        self._channels[channel_id] = log
        recovered.state.append((KIND_CHANNEL, b"%d" % channel_id, encode_channel_name(files.name)))
        figures = ChannelState(channel_id, log.first, log.last, log.stored_bytes, log.last_timestamp_ns)
        recovered.channels.append(figures)
        for number in sorted(positions.subscriptions):
            one = positions.subscriptions[number]
            subscription_id_last += 1
            value = _renumbered(one.record, subscription_id_last) + bytes_field(_CHANNEL, files.name)
            recovered.state.append((KIND_SUBSCRIPTION, b"%d" % subscription_id_last, value))
            pending = _ranges(one.pending, log.first, log.last)
            recovered.cursors.append(Cursor(subscription_id_last, min(int(one.last_sent), log.last), pending))
        return subscription_id_last

    def _read_subscriptions(self, files: ChannelFiles, findings: Findings) -> SubscriptionLog:
        if not files.subscriptions:
            return SubscriptionLog(None)
        with self._opened(files.subscriptions) as file:
            before = len(findings.damage)
            walk = TypedWalk(file, self._reader(file, True), KIND_MAX, RECORDS_BEGIN, files.name, findings)
            log = SubscriptionLog(walk)
            log.replay()
        if len(findings.damage) > before:
            findings.note(
                f'channel "{shown_name(files.name)}": its subscriptions may get messages again, or be older ones'
            )
        return log

    def _opened(self, name: str) -> SourceFile:
        return SourceFile(self._directory, name)

    def _reader(self, file: SourceFile, is_typed: bool) -> RecordReader:
        return RecordReader(file, is_typed, self._checksum, self._options.check_crc)

    def _check_polynomial(self, files: OriginalFiles) -> None:
        """Raise StoreError when the checksums are of another polynomial: then nothing at all would be readable."""
        if not self._options.check_crc:
            return
        probed = 0
        others: set[int] = set()
        names = [(name, name != files.server) for name in (files.server, files.clients) if name]
        for channel in files.channels[:_FILES_PROBED]:
            names += [(part.data, False) for part in channel.slices[-1:]]
            if channel.subscriptions:
                names.append((channel.subscriptions, True))
        for name, is_typed in names:
            with self._opened(name) as file:
                if file.size <= VERSION_BYTES:
                    continue
                if has_fitting_record(file, self._reader(file, is_typed), is_typed):
                    return
                probed += 1
                others.update(fitting_polynomials(file, is_typed))
        if others:
            raise StoreError(
                f"the checksums in {self._directory} are those of another polynomial, {min(others)}: "
                f"say -file_crc_poly {min(others)}"
            )
        if probed > 2:
            raise StoreError(
                f"no checksum in {self._directory} is right: say with -file_crc_poly which polynomial the original "
                "was given, or -file_crc=false to have none checked"
            )

    # The port.

    def submit(self, batch: Batch) -> None:
        """Refuse it."""
        if self._listener is not None:
            self._listener.on_failed(batch.number, REFUSED, self.durability)

    def read_now(self, channel_id: int, first: int, count_max: int, bytes_max: int) -> list[bytes] | None:
        """Messages from `first` on; always at hand."""
        log = self._at(channel_id)
        if log is None:
            return []
        try:
            bodies = log.read(first, count_max, bytes_max)
        except OSError as error:
            self.on_problem(
                f'channel "{shown_name(log.name)}": message {first} cannot be read any more: {error.strerror}'
            )
            return [b""] if log.first <= first <= log.last else []
        return bodies

    def read(self, request: int, channel_id: int, first: int, count_max: int, bytes_max: int) -> None:
        """Answer at once."""
        if self._listener is not None:
            self._listener.on_page(request, self.read_now(channel_id, first, count_max, bytes_max) or [])

    def seek(self, request: int, channel_id: int, timestamp_ns: int) -> None:
        """Answer at once."""
        log = self._at(channel_id)
        if self._listener is not None:
            self._listener.on_seek(request, log.find_time(timestamp_ns) if log is not None else 0)

    def measure(self, request: int, channel_id: int, first: int, end: int, enough_bytes: int) -> None:
        """Find nothing out: who has limits to keep does not work on this store."""
        if self._listener is not None:
            self._listener.on_measured(request, first, 0)

    async def close(self) -> None:
        """Let go of the files."""
        self._close()

    def _at(self, channel_id: int) -> ChannelLog | None:
        """A channel; files of one at a time are open."""
        log = self._channels.get(channel_id)
        if self._open is not log and self._open is not None:
            self._open.close()
        self._open = log
        return log

    def _close(self) -> None:
        if self._open is not None:
            self._open.close()
            self._open = None
        self._channels.clear()


def cluster_id_of(file: SourceFile, options: OriginalOptions) -> bytes:
    """The cluster ID in server.dat, which is `file`; empty when that cannot be read."""
    reader = RecordReader(file, False, Checksum(options.crc_polynomial), options.check_crc)
    return read_cluster_id(file, reader, Findings(None, lambda _: None))


def _renumbered(record: bytes, number: int) -> bytes:
    """A SubState with another number."""
    fields = FieldReader(record)
    if fields.next() == _NUMBER:  # as it always is
        return uint_field(_NUMBER, number) + record[fields.position :]
    return record + uint_field(_NUMBER, number)  # of two, the last one counts


def _ranges(sequences: set[int], first: int, last: int) -> list[tuple[int, int]]:
    """Those of `sequences` from `first` to `last`, as ascending closed ranges."""
    found: list[tuple[int, int]] = []
    for sequence in sorted(sequences):
        if not first <= sequence <= last:
            continue
        if found and sequence == found[-1][1] + 1:
            found[-1] = (found[-1][0], sequence)
        else:
            found.append((sequence, sequence))
    return found
