"""``health-check``: wait until a service accepts TCP connections.

With ``--port`` all those ports on localhost must answer; else any address in the environment
(``*_TCP_ADDR`` with ``*_TCP_PORT``) will do. Whoever starts us sets the real limit.
"""

from __future__ import annotations

import os
import socket
import time
from collections.abc import Callable, Mapping

from podlane.helper import console
from podlane.helper.flags import Flag, FlagError, Values

FLAGS = (
    Flag("port", short="p", help="a port on localhost that must answer; may be repeated"),
    Flag("timeout", default="1h", help="give up after this time"),
)
_CONNECT_SECONDS = 5.0
_PAUSE_SECONDS = 1.0

Address = tuple[str, int]


def run(values: Values) -> int:
    """Wait; 0 as soon as the service answers."""
    wanted = [_port("localhost", value) for value in values.all("port")]
    need_all = bool(wanted)
    wanted = wanted or addresses(os.environ)
    if not wanted:
        console.fatal("No HOST or PORT found")
    shown = ", ".join(f"{host}:{port}" for host, port in wanted)
    print(f"waiting for TCP connection to {shown}...", flush=True)
    return wait_for(
        wanted, need_all=need_all, deadline=time.monotonic() + values.seconds("timeout")
    )


def wait_for(
    wanted: list[Address],
    *,
    need_all: bool,
    deadline: float,
    pause: Callable[[float], None] = time.sleep,  # noqa: TID251 - a program of its own, without anyio
) -> int:
    """Connect until it works (to all, or to any); returns the exit code."""
    waiting = list(wanted)
    while True:
        waiting = [address for address in waiting if not _answers(address)]
        if not waiting or (not need_all and len(waiting) < len(wanted)):
            return 0
        if time.monotonic() + _PAUSE_SECONDS > deadline:
            shown = ", ".join(f"{host}:{port}" for host, port in waiting)
            console.fatal(f"no TCP connection to {shown} within the time limit")
        pause(_PAUSE_SECONDS)


def addresses(environ: Mapping[str, str]) -> list[Address]:
    """Return the services that the environment names."""
    found = []
    for name, host in sorted(environ.items()):
        port = environ.get(name.removesuffix("_ADDR") + "_PORT", "")
        if name.endswith("_TCP_ADDR") and host and port:
            found.append(_port(host, port))
    return found


def _answers(address: Address) -> bool:
    try:
        socket.create_connection(address, timeout=_CONNECT_SECONDS).close()
    except OSError:
        return False
    return True


def _port(host: str, raw: str) -> Address:
    if not raw.isdigit() or not 0 < int(raw) < 65536:  # noqa: PLR2004 - the ports of TCP
        raise FlagError(f'"{raw}" is not a port')
    return host, int(raw)
