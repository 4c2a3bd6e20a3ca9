"""What feature flags change in a job's pod and in how it is followed."""

from __future__ import annotations

import base64
import os
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any, cast

import anyio
import pytest

from podlane.executors.base import Event, Message, StageScript
from podlane.executors.kubernetes.log.trail import Trail
from podlane.executors.kubernetes.outcome import entrypoint
from podlane.executors.kubernetes.outcome.judge import Evidence, judge
from podlane.executors.kubernetes.outcome.stageflow import StageEnd
from podlane.executors.kubernetes.planning.plan import PodPlan
from podlane.executors.kubernetes.pod.legacy import LegacyRun
from podlane.executors.kubernetes.requests.driver import PodDriver
from podlane.executors.kubernetes.restart.takeover import Limits, recall, remember
from podlane.executors.kubernetes.status.sight import Sight
from podlane.kit.clock import SystemClock
from podlane.kube.channels import ExecStatus
from podlane.kube.types import StateTerminated
from podlane.model import substages
from podlane.model.failures import FailureReason
from podlane.model.job import Image, Service, Variable
from podlane.model.outcome import SUCCESS
from tests.unit.executors.kubernetes.samples import (
    STAGES,
    containers,
    execution_plan,
    pod,
    pod_plan,
    running,
    settings,
    waiting,
)
from tests.unit.executors.kubernetes.shell.shellrig import DEADLINE_SECONDS, SHELLS, Rig, require

HONOR = {"FF_KUBERNETES_HONOR_ENTRYPOINT": True}
LEGACY = {"FF_USE_LEGACY_KUBERNETES_EXECUTION_STRATEGY": True}
OWNER = {"FF_DISABLE_UMASK_FOR_KUBERNETES_EXECUTOR": True}
BACKOFF = "FF_USE_EXPONENTIAL_BACKOFF_STAGE_RETRY"
SHOWN = (
    Variable(key="SHOWN", value="to all", public=True),
    Variable(key="CERT", value="in a file", public=True, file=True),
    Variable(key="HIDDEN", value="hunter22"),
)


def planned(flags: dict[str, bool], image: Image | None = None, **more: Any) -> PodPlan:
    return pod_plan(execution_plan(image, flags=flags, variables=SHOWN, **more))


def lines(plan: PodPlan) -> list[str]:
    data: Any = plan.secret["data"]
    text = base64.b64decode(data["plan"]).decode()
    return [line for line in text.splitlines() if not line.startswith("stage ")]


def test_the_supervisor_is_the_argument_of_the_images_own_entrypoint() -> None:
    found = containers(planned(HONOR))
    for name in ("build", "helper"):
        assert "command" not in found[name]
        assert found[name]["args"] == [f"/podlane/enter-{name}"]
    assert found["init-permissions"]["command"] == ["sh", "/scripts-7-42/init"]
    assert "args" not in containers(planned({}))["build"]


def test_the_entrypoint_of_the_job_goes_before_the_images() -> None:
    image = Image(name="alpine", entrypoint=("/bin/sh", "-c", '"$@"'))
    found = containers(planned(HONOR, image))["build"]
    assert found["command"] == ["/bin/sh", "-c", '"$@"']
    assert found["args"] == ["/podlane/enter-build"]
    assert containers(planned({}, image))["build"]["command"][0] == "/podlane/sh"


def test_an_empty_entrypoint_runs_the_supervisor_itself() -> None:
    found = containers(planned(HONOR, Image(name="alpine", entrypoint=("",))))["build"]
    assert found["command"] == ["/podlane/enter-build"]
    assert "args" not in found


def test_without_init_permissions_the_images_shell_is_the_argument() -> None:
    configured = settings(unsafe_skip_init_permissions=True)
    found = containers(pod_plan(execution_plan(flags=HONOR), configured))["build"]
    assert found["args"] == ["sh", "/scripts-7-42/supervisor", "build"]


def test_the_entrypoint_sees_public_variables_and_no_value_is_in_the_pod() -> None:
    plan = planned(HONOR)
    found = containers(plan)
    reference = {"secretKeyRef": {"name": plan.name, "key": "env.SHOWN"}}
    assert found["build"]["env"] == [{"name": "SHOWN", "valueFrom": reference}]
    assert "env" not in found["helper"]
    data: Any = plan.secret["data"]
    assert base64.b64decode(data["env.SHOWN"]) == b"to all"
    assert "to all" not in str(plan.pod)
    assert not any(key.startswith("env.") for key in cast("Any", planned({}).secret["data"]))


def test_services_keep_their_entrypoints() -> None:
    given = Service(name="a", alias="a", entrypoint=("/x",), command=("y",))
    none = Service(name="b", alias="b", entrypoint=("",), command=("z", "1"))
    found = containers(planned(HONOR, services=(given, none)))
    assert (found["a"]["command"], found["a"]["args"]) == (["/x"], ["y"])
    assert found["b"]["command"] == ["z", "1"]
    assert "args" not in found["b"]


@pytest.mark.parametrize(
    ("flags", "expected"),
    [
        ({}, []),
        (HONOR, ["entrypoint stages"]),
        (HONOR | LEGACY, ["entrypoint idle"]),
        (OWNER, ["chown 1"]),
        ({BACKOFF: False}, ["pause 0"]),
    ],
)
def test_the_plan_tells_the_pod_what_is_different(
    flags: dict[str, bool], expected: list[str]
) -> None:
    assert lines(planned(flags)) == [*lines(planned({}))[:3], *expected]


def test_only_the_build_containers_own_output_is_followed() -> None:
    assert planned({}).watched_services == ()
    assert planned(HONOR).watched_services == ("build",)


def test_a_successor_knows_of_the_entrypoints() -> None:
    limits = Limits(timeout_seconds=9, poll_timeout_seconds=1, unreachable_seconds=1,
                    grace_seconds=1, quick_grace_seconds=1)  # fmt: skip
    for flags in (HONOR, {}):
        known = recall(remember(planned(flags), limits, 1.0)).plan()
        assert known.entrypoint_seconds == (180.0 if flags else 0.0)


def test_the_trail_hears_who_is_there() -> None:
    trail = Trail([stage.substage for stage in STAGES])
    plan, sight = planned(HONOR), Sight({}, ())
    assert entrypoint.outsider(plan, trail.entered, sight) == ""
    sight.see(pod(running("helper"), waiting("build", "ContainerCreating")), 1.0)
    assert entrypoint.outsider(plan, trail.entered, sight) == ""
    sight.see(pod(running("helper"), running("build")), 2.0)
    assert entrypoint.outsider(plan, trail.entered, sight) == "helper"
    list(trail.feed(2, b"entered=helper\n"))
    assert entrypoint.outsider(plan, trail.entered, sight) == "build"
    assert entrypoint.outsider(planned({}), trail.entered, sight) == ""
    list(trail.feed(2, b"entered=build\n"))
    assert entrypoint.outsider(plan, trail.entered, sight) == ""


DONE = StageEnd(state="finished", exit_code=0)


def judged(code: int, script: int, **more: Any) -> Any:
    ends = dict.fromkeys(range(len(STAGES)), DONE)
    ends[2] = StageEnd(state="finished", exit_code=script)
    return judge(
        Evidence(stages=STAGES, ends=ends, build=StateTerminated(exit_code=code), complete=True,
                 entrypoint=entrypoint.Behind(image="img", entered=True), **more)
    )  # fmt: skip


def test_an_entrypoint_may_hide_that_a_script_failed_but_not_from_us() -> None:
    assert judged(0, 0) == SUCCESS
    failed = judged(0, 3)
    assert (failed.reason, failed.exit_code) == (FailureReason.SCRIPT_FAILURE, 3)
    assert judged(3, 3) == failed


def test_an_exit_code_of_the_entrypoints_own_fails_the_job_and_says_whose_it_is() -> None:
    outcome = judged(4, 0)
    assert (outcome.reason, outcome.exit_code) == (FailureReason.SCRIPT_FAILURE, 4)
    assert "which the entrypoint of image img made of it" in outcome.message


def test_a_build_container_that_never_came_to_the_supervisor_says_so() -> None:
    gone = StageEnd(state="gone", exit_code=None)
    end = StateTerminated(exit_code=127, reason="Error", message="no such option: /podlane")
    outcome = judge(
        Evidence(stages=STAGES, ends={0: DONE, 1: DONE, 2: gone, 3: gone}, build=end,
                 entrypoint=entrypoint.Behind(image="img", entered=False))
    )  # fmt: skip
    assert outcome.reason == FailureReason.RUNNER_CONFIGURATION_ERROR
    assert outcome.message == (
        "the entrypoint of image img did not run the command that it was given: "
        'container "build" ended with exit code 127: no such option: /podlane'
    )


class Session:
    def __init__(self, code: int | None) -> None:
        self.code = code
        self.stopped = anyio.Event()

    async def output(self) -> AsyncIterator[tuple[int, bytes]]:
        if self.code is None:
            await self.stopped.wait()
            self.code = 143
        yield 1, b""

    async def write_stdin(self, data: bytes) -> None: ...

    async def close_stdin(self) -> None: ...

    async def status(self) -> ExecStatus:
        return ExecStatus(exit_code=self.code, message="")


class Pod:
    """What runs by exec ends with the next of ``codes``; None: when it is stopped."""

    def __init__(self, *codes: int | None) -> None:
        self.codes = list(codes)
        self.asked: list[str] = []

    @asynccontextmanager
    async def run_stage(self, container: str, name: str, _: str) -> AsyncIterator[Session]:
        self.asked.append(f"{container} {name}")
        self.session = Session(self.codes.pop(0))
        yield self.session

    async def stop_stage(self, *_: object) -> None:
        self.session.stopped.set()


async def ran(run: LegacyRun) -> list[Event]:
    events: list[Event] = []

    async def emit(event: Event) -> None:
        events.append(event)

    with anyio.fail_after(DEADLINE_SECONDS):
        await run.run(emit, SystemClock())
    return events


GET = StageScript(substage=substages.GET_SOURCES, script="get", attempts=3)


@pytest.mark.anyio
async def test_without_backoff_attempts_follow_at_once() -> None:
    fake = Pod(1, 1, 0)
    plan = replace(planned({BACKOFF: False}), stages=(GET,))
    run = LegacyRun(cast("PodDriver", fake), plan, substages.GET_SOURCES)
    events = await ran(run)
    assert run.outcome == SUCCESS
    assert [event for event in events if isinstance(event, Message)] == [
        Message(text="Retrying..."),
        Message(text="Retrying..."),
    ]


def legacy(fake: Pod, **changes: Any) -> LegacyRun:
    plan = replace(planned(HONOR | LEGACY), **changes)
    return LegacyRun(cast("PodDriver", fake), plan, substages.PREPARE_SCRIPT)


@pytest.mark.anyio
async def test_by_exec_the_first_stage_of_a_container_waits_for_its_entrypoint() -> None:
    fake = Pod(*[0] * 8)
    run = legacy(fake)
    await ran(run)
    assert run.outcome == SUCCESS
    assert fake.asked == [
        "helper prepare_script", "helper prepare_script", "helper get_sources",
        "build step_script", "build step_script", "build after_script",
        "helper upload_artifacts_on_success",
    ]  # fmt: skip
    assert run.entered == {"build", "helper"}


@pytest.mark.anyio
async def test_by_exec_an_entrypoint_that_takes_too_long_fails_the_job() -> None:
    run = legacy(Pod(None), entrypoint_seconds=0.01)
    await ran(run)
    assert run.outcome is not None
    assert run.outcome.reason == FailureReason.RUNNER_CONFIGURATION_ERROR
    assert '(container "helper") has not run the command' in str(run.outcome.message)


@pytest.fixture(params=SHELLS)
def rig(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Rig]:
    require(request.param)
    rig = Rig(root=tmp_path, shell=SHELLS[request.param])
    yield rig
    rig.close()


def test_the_build_container_tells_its_user(rig: Rig) -> None:
    rig.words = ("chown 1",)
    rig.scripts = {"step_script": 'echo "$PODLANE_BUILD_USER"; cat "$PODLANE_BUILD_USER"\n',
                   "get_sources": "umask\n"}  # fmt: skip
    told = rig.run()
    path = rig.logs / "user.build"
    assert path.read_text() == f"{os.geteuid()}:{os.getegid()}\n"
    assert f"\n{path}\n{path.read_text()}" in told.output.decode()
    assert "\n0000\n" not in told.output.decode()


def test_the_helpers_files_are_everybodys_otherwise(rig: Rig) -> None:
    rig.scripts = {"get_sources": "umask\n"}
    assert rig.run().output.decode().split("\n")[1].strip("0") == ""


def test_the_follower_waits_for_the_supervisor_behind_an_entrypoint(rig: Rig) -> None:
    """The supervisor has another process id then; here it is one that runs on its own."""
    rig.prepare()
    scripts = rig.root / "scripts"
    plan = (scripts / "plan").read_text().replace("stage", "entrypoint stages\nstage", 1)
    (rig.root / "plan").write_text(plan)
    (rig.root / "follow").write_text((scripts / "follow").read_text())
    follower = rig.start("../follow", "0", "0")
    helper = rig.start("supervisor", "helper")
    (rig.logs / "entered.build").write_text("1\n")
    (rig.logs / "entered.helper").write_text(f"{helper.pid}\n")
    (rig.logs / "gone.build").touch()
    _, said = follower.communicate(timeout=DEADLINE_SECONDS)
    words = said.decode().split("\n")
    assert words[0] == "entered=helper"
    assert words.count("entered=build") == 1
    assert any(word.startswith("done=") for word in words)
