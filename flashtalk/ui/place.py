"""Where an app may stand: a port that nobody else has, and a folder that no other app writes to. Called by app.py."""

from __future__ import annotations

import fcntl
import socket
from contextlib import suppress
from pathlib import Path
from typing import IO

from flashtalk.errors import ConfigError

_NEXT_PORTS = 50
_BACKLOG = 512
_ANYWHERE = "192.0.2.1"
"""An address of no machine (RFC 5737)."""


def listen(host: str, port: int, *, exactly: bool) -> socket.socket:
    """A socket that listens at `port`, or at the next free one unless `exactly` that is wanted. Raises ConfigError."""
    last = min(65535, port + _NEXT_PORTS)
    for candidate in range(port, last + 1):
        opened = _try(host, candidate)
        if opened is None:
            continue
        if exactly and candidate != port:
            opened.close()
            message = (
                f"port {port} is in use, perhaps by another FlashTalk; port {candidate} is free: --port {candidate}"
            )
            raise ConfigError(message, code="port")
        return opened
    raise ConfigError(f"ports {port} to {last} of {host} are in use; name a free one: --port NUMBER", code="port")


def outer_addresses() -> list[str]:
    """This machine's IPv4 addresses that others can reach, the one with the way out first; none without a network."""
    found: list[str] = []
    with suppress(OSError), socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        probe.connect((_ANYWHERE, 9))  # chooses a way and sends nothing
        found.append(str(probe.getsockname()[0]))
    with suppress(OSError):
        found += socket.gethostbyname_ex(socket.gethostname())[2]
    return [one for one in dict.fromkeys(found) if not one.startswith(("127.", "0."))]


def own_names() -> list[str]:
    """What this machine calls itself, and is called by others of its network, in small letters."""
    full = socket.gethostname().lower()
    short = full.partition(".")[0]
    return list(dict.fromkeys((full, short, f"{short}.local")))


def own_folder(folder: Path) -> IO[str] | None:
    """Makes the folder, readable by its owner only, and marks it as this app's until the file given is closed.

    None if another app has it. Raises ConfigError for one that cannot be made or written to.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        mark = (folder / "lock").open("a")
    except OSError as error:
        message = f"{folder} cannot be used ({error.strerror}); name a folder that may be written to: --folder FOLDER"
        raise ConfigError(message, code="folder") from None
    try:
        fcntl.flock(mark, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        mark.close()
        return None
    return mark


def _try(host: str, port: int) -> socket.socket | None:
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
    except socket.gaierror:
        raise ConfigError(
            f"{host!r} is no address of this machine; 127.0.0.1 is, and 0.0.0.0 means all", code="host"
        ) from None
    opened = socket.socket(family, kind, protocol)
    with suppress(OSError):
        opened.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        opened.bind(address)
        opened.listen(_BACKLOG)
        return opened
    opened.close()
    return None
