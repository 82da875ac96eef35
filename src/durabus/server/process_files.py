"""The files by which others find the process: its ID, and the ports it listens on.

Both are removed when the server ends. The original leaves its process ID behind, and a signal sent by that file later
reaches whoever has the number then.
"""

import os
import socket
import struct
import sys
from collections.abc import Sequence
from pathlib import Path

from durabus.config.addresses import format_address
from durabus.config.options import ProcessOptions
from durabus.errors import StartError
from durabus.logs import Log

__all__ = ["ProcessFiles", "urls"]

PID_FILE_MODE = 0o660  # before the umask, as the original's
PORTS_FILE_MODE = 0o666
OWN_NAME = "durabus"
ANY_IPV4, ANY_IPV6 = "0.0.0.0", "::"  # noqa: S104 - compared with, not bound to
GET_INTERFACE_ADDRESS = 0x8915  # SIOCGIFADDR, Linux
IPV6_ADDRESSES = Path("/proc/net/if_inet6")


class ProcessFiles:
    """The files of one process."""

    def __init__(self, options: ProcessOptions, log: Log) -> None:
        """Nothing is written yet."""
        self._options = options
        self._log = log
        self._pid = os.getpid()
        self._nats: Sequence[str] = ()
        self._monitoring: Sequence[str] = ()
        self._ports_file = ""

    def write_pid(self) -> None:
        """Write the process ID, if it is asked for; raises StartError."""
        name = self._options.pid_file
        if not name:
            return
        try:
            write(name, str(self._pid), PID_FILE_MODE)
        except (OSError, ValueError) as error:
            raise StartError(f"Could not write pidfile: open {name}: {reason(error)}") from None

    def write_ports(self, nats: Sequence[str], monitoring: Sequence[str]) -> None:
        """Write the URLs that the server can be reached by, if it is asked for; a failure is logged."""
        self._nats, self._monitoring = nats, monitoring
        path = self.ports_path()
        if not path:
            return
        import json  # most servers write no such file

        ports = {name: list(found) for name, found in (("nats", nats), ("monitoring", monitoring)) if found}
        try:
            write(path, json.dumps(ports, separators=(",", ":")), PORTS_FILE_MODE)
        except (OSError, ValueError) as error:
            self._log.error(f"Error writing ports file ({path}): open {path}: {reason(error)}")
            return
        self._ports_file = path

    def ports_path(self) -> str:
        """The name of the ports file, after the program and the process; empty when there is none."""
        folder = self._options.ports_folder
        program = Path(sys.argv[0]).name
        name = f"{OWN_NAME if program in ('', '-c', '__main__.py') else program}_{self._pid}.ports"
        return str(Path(folder) / name) if folder else ""

    def reload(self, options: ProcessOptions) -> None:
        """Have the files where `options` say; raises StartError, and then nothing is changed."""
        former, self._options = self._options, options
        try:
            self.write_pid()
        except StartError:
            self._options = former
            raise
        if former.pid_file and former.pid_file != options.pid_file:
            self._remove_pid(former.pid_file)
        if former.ports_folder != options.ports_folder:
            self._remove_ports()
            self.write_ports(self._nats, self._monitoring)

    def remove(self) -> None:
        """Remove what was written."""
        if self._options.pid_file:
            self._remove_pid(self._options.pid_file)
        self._remove_ports()

    def _remove_pid(self, name: str) -> None:
        """Remove the file, unless it is another process's by now."""
        try:
            if Path(name).read_text(encoding="utf-8", errors="replace") == str(self._pid):
                Path(name).unlink()
        except (OSError, ValueError):
            pass  # it is gone, or was never written

    def _remove_ports(self) -> None:
        path, self._ports_file = self._ports_file, ""
        if not path:
            return
        try:
            Path(path).unlink()
        except (OSError, ValueError) as error:
            self._log.error(f"Error cleaning up ports file {path}: remove {path}: {reason(error)}")


def write(name: str, text: str, mode: int) -> None:
    """Write a small file; raises OSError, or ValueError for a name that none can have."""
    descriptor = os.open(name, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, mode)
    with os.fdopen(descriptor, "w", encoding="utf-8") as file:
        file.write(text)


def reason(error: OSError | ValueError) -> str:
    """Why a file could not be written, in the words of Go."""
    text = (error.strerror if isinstance(error, OSError) else None) or "invalid argument"
    return text[:1].lower() + text[1:]


def urls(scheme: str, host: str, port: int) -> list[str]:
    """The URLs of a port that listens on `host`; for any address, those of all interfaces."""
    hosts = [host]
    if host in ("", ANY_IPV4):
        hosts = ipv4_addresses()
    elif host in (ANY_IPV6, f"[{ANY_IPV6}]"):
        hosts = ipv4_addresses() + ipv6_addresses()
    return [f"{scheme}://{format_address(name, port)}" for name in hosts]


def ipv4_addresses() -> list[str]:
    """The IPv4 address of each interface, the machine's own first."""
    import fcntl

    found: list[str] = []
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as asking:
        for _, name in socket.if_nameindex():
            try:
                answer = fcntl.ioctl(asking.fileno(), GET_INTERFACE_ADDRESS, struct.pack("256s", name.encode()[:15]))
            except OSError:
                continue  # it has none
            found.append(socket.inet_ntoa(answer[20:24]))
    return found or ["127.0.0.1"]


def ipv6_addresses() -> list[str]:
    """The IPv6 addresses of all interfaces."""
    try:
        lines = IPV6_ADDRESSES.read_text(encoding="ascii").splitlines()
    except OSError:
        return ["::1"]
    return [socket.inet_ntop(socket.AF_INET6, bytes.fromhex(line.split()[0])) for line in lines]
