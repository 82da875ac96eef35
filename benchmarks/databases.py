"""Debian's PostgreSQL and MariaDB as private instances: own folder, own port, gone when they are stopped.

    server = PostgresServer(is_durable=True)
    source = server.new_database()      # an empty one, as -sql_source has it
    server.stop()

DURABUS_TEST_POSTGRES and DURABUS_TEST_MARIADB name folders with other programs. PostgreSQL does not run as root, so for
root it runs as the user that its package makes.
"""

from __future__ import annotations

import itertools
import os
import pwd
import shutil
import socket
import subprocess
import tempfile
import time
from abc import ABC, abstractmethod
from pathlib import Path
from typing import Final

__all__ = ["HOST", "KINDS", "PASSWORD", "DatabaseServer", "MariadbServer", "MissingProgramError", "PostgresServer"]

HOST: Final = "127.0.0.1"
PASSWORD: Final = "p@ss word'1"
"""Of the user `durabus` of every instance: with characters that must be quoted somewhere."""
_PATIENCE_SECONDS: Final = 60.0
_PAUSE_SECONDS: Final = 0.05
_ATTEMPTS: Final = 5


class MissingProgramError(Exception):
    """A program of a database is not installed; the text says what to install."""


def find_program(name: str, variable: str, folders: list[Path]) -> str:
    """Return the path of a program, which the environment's `variable` may name the folder of; MissingProgramError."""
    places = [
        os.environ.get(variable, ""),
        *map(str, folders),
        "/usr/sbin",
        "/usr/local/sbin",
        os.environ.get("PATH", ""),
    ]
    program = shutil.which(name, path=os.pathsep.join(place for place in places if place))
    if program is None:
        raise MissingProgramError(
            f"there is no {name}; Debian's packages are called postgresql and mariadb-server"
        ) from None
    return program


def _free_port() -> int:
    with socket.socket() as holder:
        holder.bind((HOST, 0))
        port: int = holder.getsockname()[1]
    return port


class DatabaseServer(ABC):
    """One instance. It can be killed and started again, on the same port and with its data."""

    user = ""
    """Whom it runs as, when we are root."""

    def __init__(self, is_durable: bool) -> None:
        """Make its folder; nothing runs yet.

        When `is_durable` it is set as its makers ship it, so that a commit survives the loss of power. Else it syncs
        nothing, which is faster, and what a killed instance wrote is still there.
        """
        self.is_durable: Final = is_durable
        self.folder: Final = Path(tempfile.mkdtemp(prefix="durabus-db-"))
        self.port = 0
        self.log: Final = self.folder / "log"
        self._process: subprocess.Popen[bytes] | None = None
        self._numbers: Final = itertools.count(1)
        if os.geteuid() == 0:
            account = pwd.getpwnam(self.user)
            os.chown(self.folder, account.pw_uid, account.pw_gid)

    @property
    def account(self) -> str | None:
        """The user to run programs as; None: whoever we are."""
        return self.user if os.geteuid() == 0 else None

    def run(self, *command: str, text: str = "") -> str:
        """Run one of its programs to its end with `text` as input; return its output. AssertionError when it fails."""
        done = subprocess.run(
            command,
            input=text,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            cwd=self.folder,
            env=os.environ | {"TMPDIR": str(self.folder)},  # two of MariaDB that share one name their tables alike
            user=self.account,
            timeout=_PATIENCE_SECONDS,
            check=False,
        )
        assert done.returncode == 0, f"{command[0]} failed:\n{done.stdout}"
        return done.stdout

    @abstractmethod
    def command(self) -> list[str]:
        """Return the server's command line."""
        raise NotImplementedError

    @abstractmethod
    def is_ready(self) -> bool:
        """Return whether it answers."""
        raise NotImplementedError

    def start_somewhere(self) -> None:
        """Start it for the first time: on another port when somebody was faster. AssertionError when it does not start."""
        for _ in range(_ATTEMPTS):
            self.port = _free_port()
            if self._start():
                return
        raise AssertionError(self.log.read_text(errors="replace"))

    def start(self) -> None:
        """Start it again and wait until it answers. AssertionError when it does not."""
        assert self._start(), self.log.read_text(errors="replace")

    def _start(self) -> bool:
        """Start it, and wait until it answers; False when it ended instead."""
        with self.log.open("ab") as log:
            process = subprocess.Popen(
                self.command(),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                cwd=self.folder,
                env=os.environ | {"TMPDIR": str(self.folder)},
                user=self.account,
            )
        deadline_seconds = time.monotonic() + _PATIENCE_SECONDS
        while process.poll() is None:
            # One that answers on our port while ours has ended is somebody else's.
            if self.is_ready() and process.poll() is None:
                self._process = process
                return True
            if time.monotonic() > deadline_seconds:
                process.kill()
            time.sleep(_PAUSE_SECONDS)
        return False

    def kill(self) -> None:
        """End it without a chance to put anything in order; what it wrote to its files stays."""
        process, self._process = self._process, None
        if process is not None:
            process.kill()
            process.wait(_PATIENCE_SECONDS)

    def stop(self) -> None:
        """End it in order, and remove what it had."""
        process, self._process = self._process, None
        if process is not None:
            process.terminate()
            try:
                process.wait(_PATIENCE_SECONDS)
            except subprocess.TimeoutExpired:
                process.kill()
        shutil.rmtree(self.folder, ignore_errors=True)

    @abstractmethod
    def new_database(self) -> str:
        """Return the source of an empty database, which is there until it is dropped or the instance is gone."""
        raise NotImplementedError

    @abstractmethod
    def drop_database(self, source: str) -> None:
        """Remove the database of `source`, and leave nothing to do for later."""
        raise NotImplementedError

    @abstractmethod
    def sql(self, source: str, text: str) -> str:
        """Return what the server's own client answers to `text` in the database of `source`."""
        raise NotImplementedError


class PostgresServer(DatabaseServer):
    """PostgreSQL; a new database is a schema of one database."""

    user = "postgres"

    def __init__(self, is_durable: bool) -> None:
        """Make a cluster and start it."""
        folders = sorted(Path("/usr/lib/postgresql").glob("*/bin"), reverse=True)
        programs = {name: find_program(name, "DURABUS_TEST_POSTGRES", folders) for name in ("initdb", "postgres")}
        self._client: Final = find_program("psql", "DURABUS_TEST_POSTGRES", folders)
        super().__init__(is_durable)
        self._server: Final = programs["postgres"]
        self._data: Final = self.folder / "data"
        secret = self.folder / "secret"
        secret.write_text(PASSWORD, encoding="utf-8")
        secret.chmod(0o644)
        self.run(
            programs["initdb"],
            *("-D", str(self._data), "-U", "durabus", "-A", "scram-sha-256", "-E", "UTF8", "--no-locale"),
            *("--no-sync", f"--pwfile={secret}"),
        )
        self.start_somewhere()

    def command(self) -> list[str]:
        """Return the server's command line."""
        settings = {
            "port": str(self.port),
            "listen_addresses": HOST,
            "unix_socket_directories": str(self.folder),
            "max_connections": "200",
        }
        if not self.is_durable:
            settings["fsync"] = "off"
        return [
            self._server,
            "-D",
            str(self._data),
            *[part for pair in settings.items() for part in ("-c", "=".join(pair))],
        ]

    def is_ready(self) -> bool:
        """Return whether it answers."""
        done = subprocess.run(
            [self._client, "-X", "-At", "-c", "SELECT 1", self._address()],
            capture_output=True,
            timeout=_PATIENCE_SECONDS,
            check=False,
        )
        return done.returncode == 0

    def _address(self) -> str:
        quoted = PASSWORD.replace("\\", "\\\\").replace("'", "\\'")
        return f"host={HOST} port={self.port} user=durabus password='{quoted}' dbname=postgres sslmode=disable"

    def new_database(self) -> str:
        """Return the source of an empty database, which is there until it is dropped or the instance is gone."""
        name = f"test_{next(self._numbers)}"
        self.sql(self._address(), f"CREATE SCHEMA {name}")
        return f"{self._address()} search_path={name}"

    def drop_database(self, source: str) -> None:
        """Remove the database of `source`, and leave nothing to do for later."""
        name = source.rpartition(" search_path=")[2]
        self.sql(self._address(), f"DROP SCHEMA {name} CASCADE; CHECKPOINT")

    def sql(self, source: str, text: str) -> str:
        """Return what the server's own client answers to `text` in the database of `source`."""
        head, found, schema = source.partition(" search_path=")
        prefix = f"SET search_path={schema};\n" if found else ""
        return self.run(self._client, "-X", "-q", "-At", "-v", "ON_ERROR_STOP=1", head, text=prefix + text)


class MariadbServer(DatabaseServer):
    """MariaDB; a new database is one."""

    user = "mysql"

    def __init__(self, is_durable: bool) -> None:
        """Make the system tables and start it."""
        install = find_program("mariadb-install-db", "DURABUS_TEST_MARIADB", [])
        self._server: Final = find_program("mariadbd", "DURABUS_TEST_MARIADB", [])
        self._client: Final = find_program("mariadb", "DURABUS_TEST_MARIADB", [])
        super().__init__(is_durable)
        self._data: Final = self.folder / "data"
        self._socket: Final = self.folder / "socket"
        self.run(
            install,
            "--no-defaults",
            f"--datadir={self._data}",
            "--auth-root-authentication-method=normal",
            "--skip-test-db",
        )
        self.start_somewhere()
        quoted = PASSWORD.replace("'", "''")
        self._ask(
            "",
            f"CREATE USER 'durabus'@'%' IDENTIFIED BY '{quoted}'; GRANT ALL ON *.* TO 'durabus'@'%';"
            f"CREATE USER 'durabus'@'localhost' IDENTIFIED BY '{quoted}'; GRANT ALL ON *.* TO 'durabus'@'localhost';",
        )

    def command(self) -> list[str]:
        """Return the server's command line."""
        return [
            self._server,
            "--no-defaults",
            f"--datadir={self._data}",
            f"--socket={self._socket}",
            f"--port={self.port}",
            f"--bind-address={HOST}",
            f"--pid-file={self.folder / 'pid'}",
            *([] if self.is_durable else ["--innodb-flush-log-at-trx-commit=2"]),
        ]

    def is_ready(self) -> bool:
        """Return whether it answers."""
        done = subprocess.run(
            [self._client, "--no-defaults", f"--socket={self._socket}", "-u", "root", "-e", "SELECT 1"],
            capture_output=True,
            timeout=_PATIENCE_SECONDS,
            check=False,
        )
        return done.returncode == 0

    def _ask(self, database: str, text: str) -> str:
        return self.run(
            self._client,
            "--no-defaults",
            f"--socket={self._socket}",
            "-u",
            "root",
            "-N",
            "-B",
            "--raw",
            *([database] if database else []),
            text=text,
        )

    def new_database(self) -> str:
        """Return the source of an empty database, which is there until it is dropped or the instance is gone."""
        name = f"test_{next(self._numbers)}"
        self._ask("", f"CREATE DATABASE {name}")
        return f"durabus:{PASSWORD}@tcp({HOST}:{self.port})/{name}?readTimeout=20s&writeTimeout=20s"

    def drop_database(self, source: str) -> None:
        """Remove the database of `source`, and leave nothing to do for later."""
        self._ask("", f"DROP DATABASE {source.rpartition('/')[2].partition('?')[0]}")

    def unix_source(self, source: str) -> str:
        """Return the same database, by its Unix socket."""
        return f"durabus:{PASSWORD}@unix({self._socket})/{source.rpartition('/')[2]}"

    def sql(self, source: str, text: str) -> str:
        """Return what the server's own client answers to `text` in the database of `source`."""
        return self._ask(source.rpartition("/")[2].partition("?")[0], text)


KINDS: Final[dict[str, type[DatabaseServer]]] = {"postgres": PostgresServer, "mysql": MariadbServer}
"""The instances by what -sql_driver says."""
