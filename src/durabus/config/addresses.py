"""Addresses to listen on as Go writes them, and its words for why one cannot be had."""

import os
import socket

__all__ = ["describe_listen_error", "format_address"]


def format_address(host: str, port: int) -> str:
    """`host:port`, with brackets around an IPv6 address."""
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def describe_listen_error(host: str, port: int, error: OSError) -> str:
    """Why `host` and `port` cannot be listened on: `listen tcp 0.0.0.0:4222: bind: address already in use`."""
    if isinstance(error, socket.gaierror):
        return f"listen tcp: lookup {host}: no such host"
    # The number says it plainly; an event loop's own text repeats the address.
    reason = os.strerror(error.errno) if error.errno else str(error)
    return f"listen tcp {format_address(host, port)}: bind: {reason[:1].lower()}{reason[1:]}"
