"""What a pod of the embedded node reaches: itself, announced ports, the outside."""

from __future__ import annotations

import shutil
import socket
import subprocess
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import anyio
import anyio.abc
import pytest

from podlane.node import state
from podlane.node.runtime.namespaces import in_network, make_namespaces
from podlane.node.runtime.network import relay
from podlane.node.runtime.uplink import GATEWAY
from tests.e2e.nodekit import container, data_dir, pod, world

__all__ = ["data_dir"]
pytestmark = [pytest.mark.e2e, pytest.mark.root, pytest.mark.anyio]


@asynccontextmanager
async def _server(host: str) -> AsyncIterator[int]:
    """Serve one line on a port of the machine."""

    async def answer(stream: anyio.abc.SocketStream) -> None:
        async with stream:
            await stream.send(b"from the machine\n")

    async with (
        await anyio.create_tcp_listener(local_host=host) as listener,
        anyio.create_task_group() as tasks,
    ):
        tasks.start_soon(listener.serve, answer)
        yield listener.extra(anyio.abc.SocketAttribute.local_port)
        tasks.cancel_scope.cancel()


@pytest.mark.parametrize("network", ["none", "auto"])
async def test_a_pod_reaches_an_announced_port(data_dir: Path, network: str) -> None:
    async with world(data_dir, network=network) as w, _server("127.0.0.1") as port:
        annotations = {"podlane.dev/host-ports": str(port)}
        script = f"nc 127.0.0.1 {port} </dev/null"
        await w.create(pod("p", container(script), metadata={"annotations": annotations}))
        await w.ended("p")
        assert await w.log("p") == "from the machine\n"


async def test_a_pod_without_uplink_has_loopback_alone(data_dir: Path) -> None:
    async with world(data_dir, network="none") as w:
        await w.create(pod("p", container("ls /sys/class/net")))
        await w.ended("p")
        assert await w.log("p") == "lo\n"


async def test_a_pod_reaches_the_outside_by_translation(data_dir: Path) -> None:
    if shutil.which("iptables") is None:
        pytest.skip("iptables is not installed (scripts/bootstrap)")
    async with world(data_dir, network="nat") as w, _server("0.0.0.0") as port:
        await w.create(pod("p", container(f"nc {GATEWAY} {port} </dev/null; ip route")))
        found = await w.ended("p")
        assert found.status.pod_ip.startswith("10.")
        assert await w.log("p") == (
            f"from the machine\ndefault via {GATEWAY} dev eth0 \n{GATEWAY} dev eth0 scope link \n"
        )
        mark = state.read_node_file(w.node.state_dir).mark
        assert mark in await _rules()
        await w.create(pod("r", container(["sleep", "100"])))
        await w.running("r")
        await w.create(pod("q", container("ls /sys/class/net | grep -c pl"), hostNetwork=True))
        await w.ended("q")
        assert int(await w.log("q")) >= 1
    assert mark not in await _rules()


async def test_a_machine_with_nft_alone_translates_as_well(
    data_dir: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    nft, runtime = shutil.which("nft"), shutil.which("crun") or shutil.which("runc")
    if nft is None or runtime is None:
        pytest.skip("nft is not installed: apt-get install nftables")
    for program in (nft, runtime, *filter(None, [shutil.which("openssl")])):
        (tmp_path / Path(program).name).symlink_to(program)
    monkeypatch.setenv("PATH", str(tmp_path))
    async with world(data_dir, network="nat") as w, _server("0.0.0.0") as port:
        await w.create(pod("p", container(f"nc {GATEWAY} {port} </dev/null")))
        await w.ended("p")
        assert await w.log("p") == "from the machine\n"
        table = state.read_node_file(w.node.state_dir).mark.replace("-", "_")
        assert table in await _tables()
    assert table not in await _tables()


async def _tables() -> str:
    return (await anyio.run_process(["nft", "list", "tables"])).stdout.decode()


async def test_a_pod_asks_a_name_server_on_the_machines_loopback(data_dir: Path) -> None:
    resolver = await anyio.to_thread.run_sync(
        lambda: make_namespaces("p", host_network=False, ports=(), resolver="127.0.0.53")
    )
    assert resolver.resolver is not None
    async with (
        await anyio.create_udp_socket(local_host="127.0.0.53") as server,
        anyio.create_task_group() as tasks,
    ):
        port = server.extra(anyio.abc.SocketAttribute.local_port)
        tasks.start_soon(relay, resolver.resolver.datagrams, "127.0.0.53", port)

        def ask() -> bytes:
            with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as client:
                client.settimeout(5)
                client.sendto(b"who?", ("127.0.0.53", 53))
                return client.recv(100)

        async def answer() -> None:
            async for data, sender in server:
                await server.send((data + b" me", sender))

        tasks.start_soon(answer)
        asked = await anyio.to_thread.run_sync(in_network, resolver.fds["network"], ask)
        assert asked == b"who? me"
        tasks.cancel_scope.cancel()
    resolver.close()


async def test_a_pod_chooses_its_name_servers(data_dir: Path) -> None:
    options = [{"name": "ndots", "value": "2"}, {"name": "edns0"}]
    config = {"nameservers": ["9.9.9.9"], "searches": ["a.example"], "options": options}
    async with world(data_dir) as w:
        one = pod("p", container("cat /etc/resolv.conf"), dnsPolicy="None", dnsConfig=config)
        await w.create(one)
        await w.ended("p")
        expected = "search a.example\nnameserver 9.9.9.9\noptions ndots:2 edns0\n"
        assert await w.log("p") == expected


async def _rules() -> str:
    done = await anyio.run_process(
        ["iptables", "-w", "5", "-t", "nat", "-S"], stderr=subprocess.PIPE
    )
    return done.stdout.decode()
