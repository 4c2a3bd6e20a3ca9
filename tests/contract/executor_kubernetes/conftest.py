"""An executor on real containers: the embedded node, or the cluster of PODLANE_E2E_KUBECONFIG."""

from __future__ import annotations

import json
import os
import time
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from itertools import count
from pathlib import Path
from typing import Any

import anyio
import anyio.to_thread
import pytest

from podlane.executors.base import (
    Emit,
    Event,
    ExecutionPlan,
    Message,
    Output,
    StageFinished,
    StageScript,
    StageStarted,
)
from podlane.executors.kubernetes.executor import (
    KubernetesExecutor,
    ManagerIdentity,
    open_executor,
)
from podlane.executors.kubernetes.settings.decode import decode_settings
from podlane.kit.diagnostics import Place
from podlane.kit.jsonvalue import JsonObject
from podlane.kit.names import random_suffix
from podlane.kube.access import Access, load_access
from podlane.kube.client import KubeClient
from podlane.model import substages
from podlane.model.job import Image, Job, JobInfo, RunnerLimits, Service, Variable
from podlane.model.outcome import JobOutcome
from podlane.node.app import RunningNode, running_node
from podlane.node.images.build import ensure_images
from podlane.node.images.store import ImageStore
from podlane.node.settings import NodeSettings

KUBECONFIG = "PODLANE_E2E_KUBECONFIG"
IMAGES = "PODLANE_E2E_IMAGES"
LEGACY = ("FF_USE_LEGACY_KUBERNETES_EXECUTION_STRATEGY", True)
DEADLINE_SECONDS = 60.0
_ids = count(int(time.time()) % 1_000_000 * 100)


def image(name: str) -> str:
    """The name of a test image on the cluster at hand."""
    mapping = os.environ.get(IMAGES)
    names: dict[str, str] = json.loads(Path(mapping).read_text()) if mapping else {}
    return names.get(name, name)


def make_plan(
    script: str = "true",
    *,
    after: str = "echo after $CI_JOB_STATUS",
    image_name: str = "alpine",
    timeout: int = 60,
    services: tuple[Service, ...] = (),
    flags: tuple[tuple[str, bool], ...] = (),
    scripts: dict[str, str] | None = None,
    variables: tuple[Variable, ...] = (),
) -> ExecutionPlan:
    """A job with every kind of stage."""
    texts = {
        "prepare_script": 'echo "Running on $(hostname)"',
        "get_sources": "echo sources > /builds/sources",
        "upload_artifacts_on_success": "echo uploading all",
        "upload_artifacts_on_failure": "echo uploading what there is",
        "cleanup_file_variables": "true",
    } | (scripts or {})

    def stage(sub: substages.SubStage, text: str, *, ignore: bool = False) -> StageScript:
        return StageScript(substage=sub, script=text + "\n", ignore_errors=ignore)

    stages = (
        stage(substages.PREPARE_SCRIPT, texts["prepare_script"]),
        stage(substages.GET_SOURCES, texts["get_sources"]),
        stage(substages.step("script"), script),
        stage(substages.AFTER_SCRIPT, after, ignore=True),
        stage(substages.UPLOAD_ARTIFACTS_ON_SUCCESS, texts["upload_artifacts_on_success"]),
        stage(substages.UPLOAD_ARTIFACTS_ON_FAILURE, texts["upload_artifacts_on_failure"]),
        stage(substages.CLEANUP_FILE_VARIABLES, texts["cleanup_file_variables"], ignore=True),
    )
    job = Job(
        id=next(_ids),
        token="job-token",
        job_info=JobInfo(name="job", project_id=1, project_full_path="group/project"),
        image=Image(name=image(image_name)),
        services=services or None,
        runner_info=RunnerLimits(timeout=timeout),
    )
    return ExecutionPlan(
        job=job,
        stages=stages,
        variables=(*variables, Variable(key="PUBLIC", value="public value", public=True)),
        builds_dir="/builds",
        project_dir="/builds/group/project",
        short_token="contract1",
        system_id="s_contract",
        runner_name="contract",
        feature_flags=flags,
        grace_seconds=1,
    )


@dataclass
class Ran:
    """What a job told, and how it ended."""

    outcome: JobOutcome
    events: list[Event]
    seconds: float

    @property
    def output(self) -> bytes:
        return b"".join(event.data for event in self.events if isinstance(event, Output))

    @property
    def text(self) -> str:
        return self.output.decode("utf-8", "replace")

    @property
    def messages(self) -> list[str]:
        return [event.text for event in self.events if isinstance(event, Message)]

    @property
    def sections(self) -> list[str]:
        return [event.substage.name for event in self.events if isinstance(event, StageStarted)]

    @property
    def exit_codes(self) -> dict[str, int | None]:
        return {
            event.substage.name: event.exit_code
            for event in self.events
            if isinstance(event, StageFinished)
        }


@dataclass
class Cluster:
    """A cluster, and executors on it."""

    access: Access
    node: RunningNode | None = None
    system_id: str = field(default_factory=lambda: f"s_{random_suffix()}")

    @asynccontextmanager
    async def executor(
        self, process: str = "", identity: dict[str, Any] | None = None, **settings: Any
    ) -> AsyncIterator[KubernetesExecutor]:
        table: JsonObject = {"pull_policy": "if-not-present", **settings}
        decoded, findings = decode_settings(table, Place(file="config.toml"))
        assert findings == []
        manager = ManagerIdentity(
            system_id=self.system_id, short_token="contract1", process=process, **identity or {}
        )
        async with open_executor(decoded, self.access, manager) as executor:
            yield executor

    async def run(self, plan: ExecutionPlan, **settings: Any) -> Ran:
        """Run one job with an executor of its own."""
        async with self.executor(**settings) as executor:
            return await run(executor, plan)

    @asynccontextmanager
    async def client(self) -> AsyncIterator[KubeClient]:
        async with KubeClient.connect(self.access) as client:
            yield client


async def run(executor: KubernetesExecutor, plan: ExecutionPlan) -> Ran:
    """Run one job to its end."""
    events: list[Event] = []

    async def emit(event: Event) -> None:
        events.append(event)

    started = time.monotonic()
    with anyio.fail_after(DEADLINE_SECONDS):
        async with executor.environment(plan) as environment:
            outcome = await environment.run(emit)
    return Ran(outcome=outcome, events=events, seconds=time.monotonic() - started)


@dataclass
class Meanwhile:
    """A job that runs while a test does something to it."""

    ran: list[Ran] = field(default_factory=list)
    events: list[Event] = field(default_factory=list)
    _news: anyio.Event = field(default_factory=anyio.Event)

    async def emit(self, event: Event) -> None:
        self.events.append(event)
        news, self._news = self._news, anyio.Event()
        news.set()

    async def until_told(self, text: str) -> None:
        """Wait until there is a message of just this ``text``."""
        with anyio.fail_after(DEADLINE_SECONDS):
            while not any(isinstance(e, Message) and e.text == text for e in self.events):
                await self._news.wait()

    async def until_printed(self, text: bytes) -> None:
        """Wait until the job has printed ``text``."""
        with anyio.fail_after(DEADLINE_SECONDS):
            while True:
                data = b"".join(e.data for e in self.events if isinstance(e, Output))
                if text in data:
                    return
                await self._news.wait()


async def run_and(
    executor: KubernetesExecutor,
    plan: ExecutionPlan,
    interfere: object,
) -> Ran:
    """Run a job, and ``interfere(environment, meanwhile)`` beside it."""
    meanwhile = Meanwhile()
    started = time.monotonic()
    emit: Emit = meanwhile.emit
    with anyio.fail_after(DEADLINE_SECONDS):
        async with executor.environment(plan) as environment, anyio.create_task_group() as tasks:
            tasks.start_soon(interfere, environment, meanwhile)  # type: ignore[arg-type]  # a test's function
            outcome = await environment.run(emit)
            tasks.cancel_scope.cancel()
    return Ran(outcome=outcome, events=meanwhile.events, seconds=time.monotonic() - started)


@pytest.fixture
def data_dir() -> Path:
    return Path("/var/lib/podlane")


@pytest.fixture
async def cluster(tmp_path: Path, data_dir: Path) -> AsyncIterator[Cluster]:
    async with AsyncExitStack() as stack:
        given = os.environ.get(KUBECONFIG)
        if given:
            access = await anyio.to_thread.run_sync(load_access, Path(given))
            yield Cluster(access=access)
            return
        if os.geteuid() != 0:
            pytest.skip("real containers need root here")
        await anyio.to_thread.run_sync(ensure_images, ImageStore(data_dir / "images"))
        settings = NodeSettings(state_dir=tmp_path / "node", data_dir=data_dir)
        node = await stack.enter_async_context(running_node(settings))
        access = await anyio.to_thread.run_sync(load_access, node.kubeconfig)
        yield Cluster(access=access, node=node)
