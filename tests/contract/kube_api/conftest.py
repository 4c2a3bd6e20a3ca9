from __future__ import annotations

import shutil
import ssl
import subprocess
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import anyio
import pytest

from podlane.kit.clock import SystemClock
from podlane.kube.access import Access
from podlane.kube.client import KubeClient
from podlane.node.apiserver.app import make_api, serving
from podlane.node.apiserver.faults import Faults
from podlane.node.apiserver.store import Store
from tests.fakes.streams import FakeStreams, run_fake_kubelet

TOKEN = "test-token"


@dataclass(frozen=True, kw_only=True)
class Certificate:
    path: Path
    ca: bytes


@dataclass(frozen=True, kw_only=True)
class Node:
    """A running API server over a fake kubelet."""

    store: Store
    streams: FakeStreams
    access: Access
    faults: Faults


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture(scope="session")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Certificate:
    if shutil.which("openssl") is None:
        pytest.skip("openssl is not installed: no certificate for a loopback server")
    path = tmp_path_factory.mktemp("tls") / "pair.pem"
    subprocess.run(
        [
            *("openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256"),
            *(
                "-nodes",
                "-days",
                "2",
                "-subj",
                "/CN=node",
                "-addext",
                "subjectAltName=IP:127.0.0.1",
            ),
            *("-keyout", str(path), "-out", str(path.with_suffix(".crt"))),
        ],
        check=True,
        capture_output=True,
    )
    ca = path.with_suffix(".crt").read_bytes()
    path.write_bytes(path.read_bytes() + ca)
    return Certificate(path=path, ca=ca)


@asynccontextmanager
async def running_node(certificate: Certificate) -> AsyncIterator[Node]:
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(certificate.path)
    streams, store, faults = FakeStreams(), Store(SystemClock()), Faults()
    app = make_api(store, streams, TOKEN, SystemClock(), "node-1", faults)
    async with serving(app, context) as port, anyio.create_task_group() as tasks:
        tasks.start_soon(run_fake_kubelet, store)
        access = Access(
            server=f"https://127.0.0.1:{port}",
            ca_data=certificate.ca,
            token=TOKEN,
            source="test",
        )
        yield Node(store=store, streams=streams, access=access, faults=faults)
        tasks.cancel_scope.cancel()


@pytest.fixture
async def node(certificate: Certificate) -> AsyncIterator[Node]:
    async with running_node(certificate) as running:
        yield running


@pytest.fixture
async def client(node: Node) -> AsyncIterator[KubeClient]:
    async with KubeClient.connect(node.access) as connected:
        yield connected
