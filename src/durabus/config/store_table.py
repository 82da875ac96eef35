"""What the FILE and the SQL store can be told: flags and keys in one table, and what becomes of each value.

The stores are not the original's, so many of its options have nothing here that they could tune. They are accepted, and
one line of the log says so. An option that would break what an acknowledgement promises is refused. Both only where the
value is not the original's default, and only with the store that the option is for; as in the original, another store
has no look at them.
"""

from collections.abc import Iterator
from dataclasses import dataclass

from durabus.config.flags import Kind
from durabus.config.options import SEGMENT_BYTES_MIN, Options, Setting
from durabus.config.refusals import refusal

__all__ = ["STORE_TABLE", "StoreOption", "effect_notes", "first_refusal"]

FILE, SQL = "FILE", "SQL"


@dataclass(frozen=True, slots=True, kw_only=True)
class StoreOption:
    """One option of one store."""

    store: str
    """The store that it is for."""
    flag: str
    """Its flag, without the dash."""
    keys: str
    """The names of its key in the section of the store, divided by blanks; empty: it has none."""
    kind: Kind
    """How its value is written."""
    option: str
    """The option that it sets, as a dotted name."""
    help: str = ""
    """A few words for the help, where it has an effect."""
    ignored: str = ""
    """Why it has no effect here."""
    refused: str = ""
    """Why no value but the default is taken, and what to do."""

    @property
    def default(self) -> Setting:
        """The original's default."""
        return option_value(Options(), self.option)


def option_value(options: Options, name: str) -> Setting:
    """The value of the option with this dotted name."""
    section, _, field = name.partition(".")
    value: Setting = getattr(getattr(options, section), field)
    return value


def of_file(flag: str, keys: str, kind: Kind, option: str, **words: str) -> StoreOption:
    """An option of the FILE store."""
    return StoreOption(store=FILE, flag=f"file_{flag}", keys=keys, kind=kind, option=f"file.{option}", **words)


def of_sql(flag: str, keys: str, kind: Kind, option: str, **words: str) -> StoreOption:
    """An option of the SQL store."""
    return StoreOption(store=SQL, flag=f"sql_{flag}", keys=keys, kind=kind, option=f"sql.{option}", **words)


BOOL, INT, SIZE, DURATION, STRING = Kind.BOOL, Kind.INT, Kind.SIZE, Kind.DURATION, Kind.STRING

BY_ITSELF = "the store sees by itself when there is space to be given back"
SHARED_FILES = "a file holds messages of all channels; -file_slice_max_bytes says how large it may be"

STORE_TABLE: tuple[StoreOption, ...] = (
    of_file("compact_enabled", "compact compact_enabled", BOOL, "compact", ignored=BY_ITSELF),
    of_file(
        "compact_frag",
        "compact_frag compact_fragmentation",
        INT,
        "compact_fragmentation_percent",
        ignored=BY_ITSELF,
    ),
    of_file("compact_interval", "compact_interval", INT, "compact_interval_s", ignored=BY_ITSELF),
    of_file("compact_min_size", "compact_min_size", SIZE, "compact_bytes_min", ignored=BY_ITSELF),
    of_file(
        "buffer_size",
        "buffer_size",
        SIZE,
        "write_buffer_bytes",
        ignored="all that waits is written at once, unbuffered",
    ),
    of_file(
        "crc",
        "crc do_crc",
        BOOL,
        "check_crc",
        ignored=(
            "every message is checked whenever it is read; only the files of NATS Streaming Server, when they are taken over, "
            "are not"
        ),
    ),
    of_file(
        "crc_poly",
        "crc_poly",
        INT,
        "crc_polynomial",
        help="polynomial of the checksums in files of NATS Streaming Server",
    ),
    of_file(
        "sync",
        "sync do_sync sync_on_flush",
        BOOL,
        "sync",
        refused=(
            "an acknowledged message is on the disk, that is what the store is for; leave it out, "
            "or use -st MEMORY if messages may be lost"
        ),
    ),
    of_file(
        "slice_max_msgs",
        "slice_max_msgs slice_max_count slice_msgs slice_count",
        INT,
        "slice_messages_max",
        ignored=SHARED_FILES,
    ),
    of_file(
        "slice_max_bytes",
        "slice_max_bytes slice_max_size slice_bytes slice_size",
        SIZE,
        "slice_bytes_max",
        help="how large a file of the store may be, 0 for the best size",
    ),
    of_file(
        "slice_max_age",
        "slice_max_age slice_age slice_max_time slice_time_limit",
        DURATION,
        "slice_age_max_ns",
        ignored=SHARED_FILES,
    ),
    of_file(
        "slice_archive_script",
        "slice_archive_script slice_archive slice_script",
        STRING,
        "slice_archive_script",
        refused=(
            "there are no files of single channels that a script could take away; leave it out, "
            "and have a durable subscription write down what is to be kept for longer than the limits say"
        ),
    ),
    of_file(
        "fds_limit",
        "file_descriptors_limit fds_limit",
        INT,
        "open_files_max",
        ignored="few files are open, however many channels there are",
    ),
    of_file(
        "parallel_recovery",
        "parallel_recovery",
        INT,
        "parallel_recoveries",
        ignored="a start reads what was written last, and not every channel",
    ),
    of_file(
        "truncate_bad_eof",
        "",
        BOOL,
        "truncate_bad_end",
        refused=(
            "what was not written to its end before a crash is left out by itself, and it never was acknowledged; leave it out"
        ),
    ),
    of_file(
        "read_buffer_size",
        "file_read_buffer_size read_buffer_size",
        SIZE,
        "read_buffer_bytes",
        ignored="how far to read ahead depends on who reads",
    ),
    of_file(
        "auto_sync",
        "file_auto_sync auto_sync",
        DURATION,
        "auto_sync_interval_ns",
        ignored="everything is synced before it is acknowledged, so nothing waits for a later sync",
    ),
    of_sql("driver", "driver", STRING, "driver", help="kind of the database: postgres, mysql or sqlite"),
    of_sql("source", "source", STRING, "source", help="where the database is; a configuration file hides it better"),
    of_sql(
        "no_caching", "no_caching", BOOL, "no_caching", help="a row for each message that waits for acknowledgement"
    ),
    of_sql("max_open_conns", "max_open_conns max_conns", INT, "connections_max", help="connections, 0 for any number"),
    of_sql("create_tables", "create_tables", BOOL, "create_tables", help="make tables that are missing"),
    of_sql(
        "bulk_insert_limit",
        "bulk_insert_limit",
        INT,
        "bulk_insert_messages",
        ignored="all messages of a batch are inserted together",
    ),
)
"""All options of the FILE and SQL stores, but for -dir; each flag and each key stands once."""


def changed(options: Options) -> Iterator[tuple[StoreOption, Setting]]:
    """The options of the chosen store whose values are not the original's defaults."""
    for entry in STORE_TABLE:
        value = option_value(options, entry.option)
        if entry.store == options.streaming.store and value != entry.default:
            yield entry, value


def first_refusal(options: Options) -> tuple[str, str]:
    """Why the chosen store cannot be as `options` say, as one line, and because of which option; empty: it can."""
    for entry, _ in changed(options):
        if entry.refused:
            return refusal(f"-{entry.flag} with the {entry.store} store", entry.refused), entry.option
    return "", ""


def effect_notes(options: Options) -> list[str]:
    """What in `options` has no effect on the store, or another one than it says: a line about each."""
    notes = [f"-{entry.flag} has no effect here: {entry.ignored}" for entry, _ in changed(options) if entry.ignored]
    store, file, sql = options.streaming.store, options.file, options.sql
    if store == FILE and 0 < file.slice_bytes_max < SEGMENT_BYTES_MIN:
        notes.append(f"-file_slice_max_bytes is taken as {SEGMENT_BYTES_MIN} bytes, the least that a file can have")
    if store != FILE and file.directory:
        notes.append(
            f"-dir has no effect with -st {store}: nothing is kept there; -st FILE is the store with a directory"
        )
    if store != SQL and (sql.driver or sql.source):
        notes.append(f"-sql_driver and -sql_source have no effect with -st {store}: -st SQL is the store in a database")
    return notes
