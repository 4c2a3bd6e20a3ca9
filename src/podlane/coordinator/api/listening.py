"""Where a coordinator listens."""

from __future__ import annotations

import errno
import socket

from podlane.kit.errors import UsageError

_MAX_PORT = 65535


def listen(address: str) -> socket.socket:
    """Return a listening socket for ``host:port``.

    Raises:
        UsageError: it is no such address, or cannot be had.
    """
    host, _, port = address.rpartition(":")
    host = host.removeprefix("[").removesuffix("]")
    if not host or not port.isascii() or not port.isdigit() or int(port) > _MAX_PORT:
        raise UsageError(
            f"cannot listen on {address!r}", hint="write host:port, such as 127.0.0.1:8080"
        )
    try:
        family = socket.getaddrinfo(host, int(port), type=socket.SOCK_STREAM)[0][0]
        return socket.create_server((host, int(port)), family=family, backlog=512)
    except OSError as error:
        hint = {
            errno.EADDRINUSE: "stop what uses it, or choose another port (0 for any free one)",
            errno.EACCES: "choose a port above 1023",
        }.get(error.errno or 0, "check the address")
        raise UsageError(
            f"cannot listen on {address}: {error.strerror or error}", hint=hint
        ) from error


def url_of(listener: socket.socket) -> str:
    """Return the URL of a listening socket, as this machine reaches it."""
    host, port = listener.getsockname()[:2]
    host = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(host, host)  # noqa: S104 - compared, not bound
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"
