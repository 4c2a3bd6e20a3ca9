"""The hooks of containers, as a kubelet calls them (``lifecycle/handlers.go``).

A handler that fails is an event without details, because those may tell secrets; the details go into
the container's state. The status of an answer to ``httpGet`` does not count, and ``tcpSocket`` always
fails: it is in the API and nowhere else.
"""

from __future__ import annotations

import http.client
import socket
import ssl
from dataclasses import dataclass

import anyio
from anyio import to_thread

from podlane.node.kubelet.podspec import Container, Handler, HttpGet
from podlane.node.kubelet.prepare import Place
from podlane.node.kubelet.run import ContainerRun
from podlane.node.runtime.base import StartError
from podlane.node.runtime.namespaces import in_network
from podlane.node.runtime.process import Stdio

POST_START_ERROR = "PostStartHookError"
_CONNECT_SECONDS = 30.0  # as Go's dialer
_BODY_BYTES = 10 * 1024
_AGENT = "kube-lifecycle/1.32"


class HookError(Exception):
    """A handler failed; the text says which, and how."""


@dataclass(frozen=True, slots=True)
class Hook:
    """One handler of one container; ``run`` is the container's present run."""

    place: Place
    container: Container
    run: ContainerRun
    handler: Handler

    async def call(self) -> None:
        """Call the handler; when cancelled, end it.

        Raises:
            HookError: it failed.
        """
        handler = self.handler
        try:
            if handler.exec is not None:
                await self._exec(handler.exec.command)
            elif handler.http_get is not None:
                await self._request(handler.http_get)
            elif handler.sleep is not None:
                await anyio.sleep(handler.sleep.seconds)
            else:
                raise HookError("Cannot run handler: invalid handler: tcpSocket is not supported")
        except (OSError, http.client.HTTPException, StartError, ValueError) as error:
            raise HookError(f"{self._what()} failed - error: {error}") from error

    def _what(self) -> str:
        kind = (
            f"HTTP lifecycle hook ({self.handler.http_get.path})" if self.handler.http_get else ""
        )
        if self.handler.exec is not None:
            kind = f"Exec lifecycle hook ([{' '.join(self.handler.exec.command)}])"
        pod = self.place.context.pod.description
        return f'{kind} for Container "{self.container.name}" in Pod "{pod}"'

    async def _exec(self, command: tuple[str, ...]) -> None:
        runtime = self.place.node.runtime
        async with runtime.exec(self.run.handle, command, Stdio()) as running:
            code = await running.wait()
        if code != 0:
            text = f"command '{' '.join(command)}' exited with {code}"
            raise HookError(f"{self._what()} failed - error: {text}")

    async def _request(self, wanted: HttpGet) -> None:
        port = self._port(wanted.port)
        host = wanted.host or self.place.sandbox.network.ip
        # A cancelled call leaves the thread behind; without its socket it ends at once.
        connection = await to_thread.run_sync(
            self._connect, host, port, not wanted.host, abandon_on_cancel=True
        )
        try:
            await to_thread.run_sync(
                _exchange, connection, wanted, f"{host}:{port}", abandon_on_cancel=True
            )
        finally:
            _hang_up(connection)

    def _port(self, port: int | str) -> int:
        if isinstance(port, int):
            return port
        for known in self.container.ports:
            if known.name == port:
                return known.container_port
        raise ValueError(f"couldn't find port: {port} in container {self.container.name}")

    def _connect(self, host: str, port: int, to_pod: bool) -> socket.socket:
        """Connect; to the pod from inside its network, because not every network is open to us."""

        def connect() -> socket.socket:
            return socket.create_connection((host, port), timeout=_CONNECT_SECONDS)

        network = self.place.sandbox.network.namespaces.fds.get("network")
        made = in_network(network, connect) if to_pod and network is not None else connect()
        made.settimeout(None)
        return made


def _exchange(connection: socket.socket, wanted: HttpGet, address: str) -> None:
    """Send the request and read the answer. Blocks."""
    client = http.client.HTTPConnection(address)
    client.sock = connection
    if wanted.scheme == "HTTPS":
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE  # a kubelet checks no certificate of a pod either
        client.sock = context.wrap_socket(connection)
    names = {header.name.lower() for header in wanted.http_headers}
    path = wanted.path if wanted.path.startswith("/") else f"/{wanted.path}"
    client.putrequest("GET", path, skip_host="host" in names, skip_accept_encoding=True)
    for name, value in (("User-Agent", _AGENT), ("Accept", "*/*")):
        if name.lower() not in names:
            client.putheader(name, value)
    for header in wanted.http_headers:
        client.putheader(header.name, header.value)
    client.endheaders()
    client.getresponse().read(_BODY_BYTES)


def _hang_up(connection: socket.socket) -> None:
    try:
        connection.shutdown(socket.SHUT_RDWR)
    except OSError:
        return  # it has ended already
    finally:
        connection.close()
