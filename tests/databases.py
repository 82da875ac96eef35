"""Private instances of PostgreSQL and MariaDB for the tests, which are gone with the test run (benchmarks/databases.py).

    server = postgres_server()          # one for all tests of this process, started when it is first asked for
    source = server.new_database()      # an empty one, as -sql_source has it

A machine without these programs skips the tests that need them, and CI, where nothing may be skipped, fails them.
"""

import atexit
from functools import cache

import pytest

from benchmarks.databases import PASSWORD, DatabaseServer, MariadbServer, MissingProgramError, PostgresServer

__all__ = ["PASSWORD", "DatabaseServer", "MariadbServer", "PostgresServer", "mariadb_server", "postgres_server"]


@cache
def postgres_server(is_durable: bool = False) -> PostgresServer:
    """The instance of this process; unless `is_durable` it syncs nothing, for no test takes the power away."""
    try:
        server = PostgresServer(is_durable)
    except MissingProgramError as error:
        pytest.skip(str(error))
    atexit.register(server.stop)
    return server


@cache
def mariadb_server(is_durable: bool = False) -> MariadbServer:
    """The instance of this process; unless `is_durable` it syncs nothing."""
    try:
        server = MariadbServer(is_durable)
    except MissingProgramError as error:
        pytest.skip(str(error))
    atexit.register(server.stop)
    return server
