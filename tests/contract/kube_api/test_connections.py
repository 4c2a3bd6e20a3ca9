"""Which connections a client keeps, and what goes over them."""

from __future__ import annotations

import ssl
from collections import defaultdict

import anyio
import pytest
from aiohttp import web
from aiohttp.typedefs import Handler

from podlane.kit.clock import SystemClock
from podlane.kube.access import Access
from podlane.kube.client import KubeClient
from podlane.kube.errors import UnreachableError
from podlane.node.apiserver.app import make_api, serving
from podlane.node.apiserver.store import Store
from tests.contract.kube_api.conftest import TOKEN, Certificate
from tests.contract.kube_api.pods import running
from tests.contract.kube_api.test_faults import POD
from tests.fakes.streams import FakeStreams, run_fake_kubelet

pytestmark = pytest.mark.anyio


class Ports:
    """Which of a client's ports asked for which kind of thing."""

    def __init__(self) -> None:
        self.used: dict[str, set[int]] = defaultdict(set)

    @web.middleware
    async def note(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        assert request.transport is not None
        kind = "exec" if request.path.endswith("/exec") else "plain"
        self.used[kind].add(request.transport.get_extra_info("peername")[1])
        return await handler(request)


async def test_streams_leave_the_connections_of_requests_alone(certificate: Certificate) -> None:
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(certificate.path)
    store, ports = Store(SystemClock()), Ports()
    app = make_api(store, FakeStreams(), TOKEN, SystemClock(), "node-1")
    app.middlewares.append(ports.note)
    async with serving(app, context) as port, anyio.create_task_group() as tasks:
        tasks.start_soon(run_fake_kubelet, store)
        server = f"https://127.0.0.1:{port}"
        access = Access(server=server, ca_data=certificate.ca, token=TOKEN, source="test")
        async with KubeClient.connect(access) as client:
            await client.create("pods", "default", POD)
            await running(client)
            for _ in range(3):
                async with client.exec("default", "p", "build", ["hang"]):
                    await client.get("pods", "default", "p")
        tasks.cancel_scope.cancel()

    assert len(ports.used["plain"]) == 1
    assert len(ports.used["exec"]) == 3
    assert not ports.used["plain"] & ports.used["exec"]


async def test_an_answer_that_is_no_json_is_an_error_of_ours() -> None:
    async def page(_request: web.Request) -> web.Response:
        return web.Response(text="<html>a proxy says hello</html>", content_type="text/html")

    app = web.Application()
    app.router.add_route("*", "/{path:.*}", page)
    async with serving(app, None) as port:
        access = Access(server=f"http://127.0.0.1:{port}", token=TOKEN, source="test")
        async with KubeClient.connect(access) as client:
            with pytest.raises(UnreachableError, match="the answer is no JSON"):
                await client.create("pods", "default", POD)
