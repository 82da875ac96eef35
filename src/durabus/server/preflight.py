"""What `-t` looks at besides the values: the files that a start would open. No port and no store is opened."""

import errno
import os
import stat
from pathlib import Path

from durabus.config.options import Options, OptionsError
from durabus.server.network import broker_settings, uplink_settings
from durabus.server.tls import server_tls
from durabus.stores.encryption_keys import load_library

__all__ = ["check_start"]


def check_start(options: Options) -> None:
    """Raise StartError, in the words of a start, for the first thing that would end it; nothing is created or changed."""
    for option, name, what in (
        ("log.file", options.log.file, "error opening file"),
        ("process.pid_file", options.process.pid_file, "Could not write pidfile"),
    ):
        reason = why_not_writable(name) if name else ""
        if reason:
            raise OptionsError(f"{what}: open {name}: {reason[:1].lower()}{reason[1:]}", option)
    if options.encryption.is_on:
        load_library()
    if options.external.url:
        uplink_settings(options)
    else:
        broker_settings(options, "check")
    if options.monitoring.is_secure:
        server_tls(options.tls, asks_client=False)


def why_not_writable(name: str) -> str:
    """Why the file `name` can be neither written to nor made, in the system's words; empty: it can."""
    try:
        mode = Path(name).stat().st_mode
    except FileNotFoundError as error:
        folder = Path(name).parent
        if not folder.is_dir():
            return error.strerror or ""
        return "" if os.access(folder, os.W_OK | os.X_OK) else os.strerror(errno.EACCES)
    except OSError as error:
        return error.strerror or str(error)
    except ValueError:  # a NUL character
        return os.strerror(errno.EINVAL)
    if stat.S_ISDIR(mode):
        return os.strerror(errno.EISDIR)
    return "" if os.access(name, os.W_OK) else os.strerror(errno.EACCES)
