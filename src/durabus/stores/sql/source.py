"""`-sql_source` in the forms that the original takes: those of the drivers lib/pq and go-sql-driver, and a path for sqlite.

Passwords stand in values that never print them. What a driver of Go understands and ours cannot do is refused in words;
parameters that only concern Go programs are taken without effect.
"""

import re
import ssl
from dataclasses import dataclass, field
from typing import Final
from urllib.parse import parse_qsl, unquote, unquote_plus, urlsplit

from durabus.config.units import UnitError, parse_duration
from durabus.errors import StartError

__all__ = ["MysqlSource", "PostgresSource", "parse_mysql", "parse_postgres", "parse_sqlite", "tls_context"]

_TLS_MODES: Final = ("disable", "require", "verify-ca", "verify-full")
_FOR_GO_ONLY: Final = frozenset(
    (
        "allowAllFiles",
        "allowCleartextPasswords",
        "allowNativePasswords",
        "allowOldPasswords",
        "checkConnLiveness",
        "clientFoundRows",
        "columnsWithAlias",
        "interpolateParams",
        "loc",
        "maxAllowedPacket",
        "multiStatements",
        "parseTime",
        "rejectReadOnly",
        "serverPubKey",
    )
)
_TRUE: Final = ("1", "true", "TRUE", "True")
_FALSE: Final = ("0", "false", "FALSE", "False")
_VARIABLE: Final = re.compile(r"[A-Za-z_][A-Za-z0-9_.]*\Z")


class _SourceError(StartError):
    """A source that cannot be used; the text has no secrets."""

    def __init__(self, driver: str, text: str) -> None:
        super().__init__(f"sql: invalid source for {driver}: {text}")


@dataclass(frozen=True, slots=True, kw_only=True)
class PostgresSource:
    """Where a PostgreSQL is, and how to talk to it. Empty texts: what the environment or the system says."""

    host: str = ""
    """A name, an address, or the folder of a Unix socket."""
    port: int = 0
    user: str = ""
    password: str = field(default="", repr=False)
    database: str = ""
    tls_mode: str = "require"
    """As lib/pq has it: disable, require, verify-ca or verify-full."""
    tls_files: tuple[str, str, str] = ("", "", "")
    """Certificate, key, authorities."""
    connect_timeout_s: float = 0.0
    answer_timeout_s: float = 0.0
    """readTimeout and writeTimeout together; 0: ours."""
    prepares: bool = True
    """Whether statements may be prepared; not behind some connection poolers."""
    settings: tuple[tuple[str, str], ...] = ()
    """Settings of the session."""


@dataclass(frozen=True, slots=True, kw_only=True)
class MysqlSource:
    """Where a MySQL or MariaDB is, and how to talk to it."""

    host: str = "127.0.0.1"
    port: int = 3306
    socket: str = ""
    """A Unix socket, instead of host and port."""
    user: str = ""
    password: str = field(default="", repr=False)
    database: str = ""
    tls: str = "false"
    """true, false, skip-verify or preferred."""
    charset: str = "utf8mb4"
    connect_timeout_s: float = 0.0
    answer_timeout_s: float = 0.0
    """readTimeout and writeTimeout together; 0: ours."""
    variables: tuple[tuple[str, str], ...] = ()
    """System variables of the session, with their values as SQL."""


def parse_sqlite(source: str) -> str:
    """The path of the database; raises StartError."""
    if not source:
        raise _SourceError("sqlite", "it is the path of the database file")
    if source == ":memory:" or source.startswith("file:"):
        raise _SourceError("sqlite", f"{source} is no file: a database in memory would lose what was acknowledged")
    if "\0" in source:
        raise _SourceError("sqlite", "it has a NUL in it")
    return source


def _seconds(driver: str, name: str, text: str) -> float:
    try:
        value_ns = parse_duration(text)
    except UnitError as error:
        raise _SourceError(driver, f"{name}: {error}") from None
    if value_ns < 0:
        raise _SourceError(driver, f"{name} cannot be negative")
    return value_ns / 1e9


def _port(driver: str, text: str) -> int:
    if not text.isdigit() or not 0 < int(text[:6]) < 65536:
        raise _SourceError(driver, "the port is no number from 1 to 65535")
    return int(text)


# PostgreSQL.


def _postgres_pairs(text: str) -> dict[str, str]:
    """`key=value` pairs as lib/pq reads them: values with blanks in quotes, a backslash before what is meant as it is."""
    found: dict[str, str] = {}
    at, end = 0, len(text)
    while True:
        while at < end and text[at].isspace():
            at += 1
        if at >= end:
            return found
        start = at
        while at < end and not text[at].isspace() and text[at] != "=":
            at += 1
        key = text[start:at]
        while at < end and text[at].isspace():
            at += 1
        if at >= end or text[at] != "=":
            # What stands there may be part of a password with a blank in it.
            raise _SourceError("postgres", 'missing "=" after a word of it; values with blanks need quotes')
        at += 1
        while at < end and text[at].isspace():
            at += 1
        found[key], at = _postgres_value(text, at)


def _postgres_value(text: str, at: int) -> tuple[str, int]:
    """The value that begins at `at`, and where it ends."""
    quoted = text[at : at + 1] == "'"
    at += quoted
    value = ""
    while at < len(text):
        char = text[at]
        if quoted and char == "'":
            return value, at + 1
        if not quoted and char.isspace():
            return value, at
        if char == "\\":
            at += 1
            if at >= len(text):
                raise _SourceError("postgres", "missing character after backslash")
            char = text[at]
        value += char
        at += 1
    if quoted:
        raise _SourceError("postgres", "unterminated quoted string literal in connection string")
    return value, at


def _postgres_url(text: str) -> dict[str, str]:
    try:
        parts = urlsplit(text)
        host, port = parts.hostname or "", parts.port
    except ValueError:
        raise _SourceError("postgres", "it is no URL") from None
    found = {
        "user": unquote(parts.username or ""),
        "password": unquote(parts.password or ""),
        "host": unquote(host),
        "port": str(port or ""),
        "dbname": unquote(parts.path[1:]),
    }
    found.update(parse_qsl(parts.query))
    return {key: value for key, value in found.items() if value}


def parse_postgres(source: str) -> PostgresSource:
    """A source as lib/pq takes it, `key=value …` or a URL, with readTimeout and writeTimeout; raises StartError."""
    is_url = source.startswith(("postgres://", "postgresql://"))
    pairs = _postgres_url(source) if is_url else _postgres_pairs(source)
    answer_timeout_s = 0.0
    for key in [key for key in pairs if key.lower() in ("readtimeout", "writetimeout")]:
        answer_timeout_s += _seconds("postgres", key, pairs.pop(key))
    mode = pairs.pop("sslmode", "") or "require"
    if mode not in _TLS_MODES:
        raise _SourceError("postgres", f'unsupported sslmode "{mode}"; it can be {", ".join(_TLS_MODES)}')
    timeout = pairs.pop("connect_timeout", "") or "0"
    if not timeout.isdigit():
        raise _SourceError("postgres", "connect_timeout is a number of seconds")
    host = pairs.pop("host", "")
    port = pairs.pop("port", "")
    files = tuple(pairs.pop(key, "") for key in ("sslcert", "sslkey", "sslrootcert"))
    known = {
        "user": pairs.pop("user", ""),
        "password": pairs.pop("password", ""),
        "database": pairs.pop("dbname", ""),
    }
    prepares = pairs.pop("binary_parameters", "no") != "yes"
    fallback = pairs.pop("fallback_application_name", "")
    if fallback:
        pairs.setdefault("application_name", fallback)
    pairs.setdefault("application_name", "durabus")
    for key in ("passfile", "client_encoding", "datestyle", "disable_prepared_binary_result", "krbsrvname", "krbspn"):
        pairs.pop(key, None)
    for key in pairs:
        if not _VARIABLE.match(key):
            raise _SourceError("postgres", "one of its keys is no name of a setting")
    return PostgresSource(
        host=host,
        port=_port("postgres", port) if port else 0,
        tls_mode="disable" if host.startswith("/") else mode,
        tls_files=(files[0], files[1], files[2]),
        connect_timeout_s=float(timeout),
        answer_timeout_s=answer_timeout_s,
        prepares=prepares,
        settings=tuple(pairs.items()),
        **known,
    )


# MySQL.


def parse_mysql(source: str) -> MysqlSource:
    """A source as go-sql-driver takes it, `user:password@protocol(address)/database?key=value&…`; raises StartError."""
    head, slash, tail = source.rpartition("/")
    if not slash:
        raise _SourceError("mysql", "missing the slash separating the database name")
    account, _, place = head.rpartition("@")
    user, _, password = account.partition(":")
    protocol, parenthesis, address = place.partition("(")
    if parenthesis:
        if not address.endswith(")"):
            raise _SourceError("mysql", "network address not terminated (missing closing brace)")
        address = address[:-1]
    database, _, parameters = tail.partition("?")
    if not database:
        raise _SourceError("mysql", "it names no database after the slash")
    if protocol in ("", "tcp", "tcp4", "tcp6"):
        host, port, path = *_mysql_address(address), ""
    elif protocol == "unix":
        host, port, path = "", 0, address or "/tmp/mysql.sock"  # noqa: S108 - the driver's default
    else:
        raise _SourceError("mysql", "the network is neither tcp nor unix")
    return _with_parameters(
        parameters,
        MysqlSource(host=host, port=port, socket=path, user=user, password=password, database=unquote(database)),
    )


def _mysql_address(address: str) -> tuple[str, int]:
    """Host and port; without them 127.0.0.1 and 3306."""
    if not address:
        return "127.0.0.1", 3306
    host, colon, port = address.rpartition(":")
    if not colon or port.endswith("]"):
        host, port = address, "3306"
    return host.strip("[]") or "127.0.0.1", _port("mysql", port or "3306")


def _with_parameters(parameters: str, source: MysqlSource) -> MysqlSource:
    """`source` with what follows the question mark."""
    connect_s = answer_s = 0.0
    charset, tls = source.charset, source.tls
    variables: list[tuple[str, str]] = []
    for pair in parameters.split("&"):
        key, equals, value = pair.partition("=")
        if not equals or key in _FOR_GO_ONLY:
            continue
        if key == "timeout":
            connect_s = _seconds("mysql", key, value)
        elif key in ("readTimeout", "writeTimeout"):
            answer_s += _seconds("mysql", key, value)
        elif key == "charset":
            charset = value.split(",")[0] or charset
        elif key == "collation":
            charset = value.partition("_")[0] or charset
        elif key == "tls":
            tls = _mysql_tls(value)
        elif key == "compress":
            raise _SourceError("mysql", "compression not implemented yet")
        else:
            if not _VARIABLE.match(key):
                raise _SourceError("mysql", "one of its parameters is no name of a system variable")
            variables.append((key, unquote_plus(value)))
    return MysqlSource(
        host=source.host,
        port=source.port,
        socket=source.socket,
        user=source.user,
        password=source.password,
        database=source.database,
        tls=tls,
        charset=charset,
        connect_timeout_s=connect_s,
        answer_timeout_s=answer_s,
        variables=tuple(variables),
    )


def _mysql_tls(value: str) -> str:
    if value in _TRUE:
        return "true"
    if value in _FALSE:
        return "false"
    if value.lower() in ("skip-verify", "preferred"):
        return value.lower()
    raise _SourceError("mysql", "tls can be true, false, skip-verify or preferred: there is nobody to register others")


def tls_context(verify: bool, check_host: bool, files: tuple[str, str, str] = ("", "", "")) -> ssl.SSLContext:
    """TLS to a database; `files` are certificate, key and authorities. Raises StartError when they cannot be read."""
    certificate, key, authorities = files
    context = ssl.create_default_context()
    context.check_hostname = check_host
    if not verify:
        context.verify_mode = ssl.CERT_NONE
    try:
        if authorities:
            context.load_verify_locations(authorities)
        if certificate:
            context.load_cert_chain(certificate, key or None)
    except (OSError, ssl.SSLError) as error:
        raise StartError(f"sql: the files for TLS cannot be used: {error}") from None
    return context
