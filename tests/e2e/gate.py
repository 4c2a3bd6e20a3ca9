"""A gate in front of the coordinator: holds chosen requests until it is told to let them through."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field

_CHUNK = 256 * 1024
_END_OF_HEAD = b"\r\n\r\n"


@dataclass
class Held:
    """Requests whose first line contains ``text``."""

    text: str
    reached: threading.Event = field(default_factory=threading.Event)
    released: threading.Event = field(default_factory=threading.Event)


class Gate:
    """Forwards connections to ``upstream``; looks at the first request of each."""

    def __init__(self, listener: socket.socket, held: list[Held]) -> None:
        self._listener = listener
        self._held = held
        self._open: list[socket.socket] = []
        self._is_away = False
        self._turned_away = 0
        self._changed = threading.Condition()
        self.port = int(listener.getsockname()[1])
        self.upstream = 0

    @property
    def url(self) -> str:
        """What the coordinator has to be called."""
        return f"http://127.0.0.1:{self.port}"

    def serve(self) -> None:
        """Accept until the listener is closed."""
        with suppress(OSError):
            while True:
                client, _ = self._listener.accept()
                self._open.append(client)
                threading.Thread(target=self._handle, args=(client,), daemon=True).start()

    def close(self) -> None:
        """End everything, held requests too."""
        for held in self._held:
            held.released.set()
        self._listener.shutdown(socket.SHUT_RDWR)
        self._cut()

    def go_away(self, held: Held) -> None:
        """Be there for nobody from now on: what is open breaks off, the held request too."""
        with self._changed:
            self._is_away, self._turned_away = True, 0
        held.released.set()
        self._cut()

    def come_back(self, after: int, seconds: float) -> bool:
        """Be there again when so many have come in vain; False if they do not come in that time."""
        with self._changed:
            came = self._changed.wait_for(lambda: self._turned_away >= after, seconds)
            self._is_away = False
        return came

    def _cut(self) -> None:
        for connection in list(self._open):
            with suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)

    def _is_closed(self) -> bool:
        with self._changed:
            if self._is_away:
                self._turned_away += 1
                self._changed.notify_all()
            return self._is_away

    def _handle(self, client: socket.socket) -> None:
        with client, suppress(OSError):
            if self._is_closed():
                return
            head = b""
            while _END_OF_HEAD not in head:
                data = client.recv(_CHUNK)
                if not data:
                    return
                head += data
            line = head.partition(b"\r\n")[0].decode(errors="replace")
            for held in self._held:
                if held.text in line:
                    held.reached.set()
                    held.released.wait()
            if self._is_closed():
                return
            with socket.create_connection(("127.0.0.1", self.upstream)) as upstream:
                self._open.append(upstream)
                upstream.sendall(head)
                back = threading.Thread(target=_pass, args=(upstream, client), daemon=True)
                back.start()
                _pass(client, upstream)
                back.join()


def _pass(source: socket.socket, target: socket.socket) -> None:
    with suppress(OSError):
        while data := source.recv(_CHUNK):
            target.sendall(data)
    with suppress(OSError):
        target.shutdown(socket.SHUT_WR)


@contextmanager
def gate(held: list[Held]) -> Iterator[Gate]:
    """Run a gate for the length of the block; set its ``upstream`` port before anybody comes."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        made = Gate(listener, held)
        thread = threading.Thread(target=made.serve)
        thread.start()
        try:
            yield made
        finally:
            made.close()
            thread.join()
