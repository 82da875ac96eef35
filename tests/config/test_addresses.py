"""Addresses in Go's notation, and the system's reasons in Go's words."""

import errno
import os
import socket

import pytest

from durabus.config.addresses import describe_listen_error, format_address


@pytest.mark.parametrize(
    ("host", "port", "text"),
    [("0.0.0.0", 4222, "0.0.0.0:4222"), ("localhost", 1, "localhost:1"), ("::1", 8222, "[::1]:8222")],
)
def test_an_address(host: str, port: int, text: str) -> None:
    assert format_address(host, port) == text


def test_an_occupied_port() -> None:
    error = OSError(errno.EADDRINUSE, os.strerror(errno.EADDRINUSE))
    assert describe_listen_error("0.0.0.0", 4299, error) == "listen tcp 0.0.0.0:4299: bind: address already in use"


def test_a_host_that_nobody_knows() -> None:
    error = socket.gaierror(socket.EAI_NONAME, "Name or service not known")
    assert describe_listen_error("1.2.3.4.5", 4222, error) == "listen tcp: lookup 1.2.3.4.5: no such host"


def test_an_error_without_a_number() -> None:
    assert describe_listen_error("h", 1, OSError("Something odd")) == "listen tcp h:1: bind: something odd"
