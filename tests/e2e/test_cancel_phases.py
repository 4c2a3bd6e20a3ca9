"""A job is canceled in each of its phases, gracefully and by force; a gate holds it just there."""

from __future__ import annotations

from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tests.e2e import separate
from tests.e2e.conftest import Cluster, Ran, ended, pods_gone
from tests.e2e.gate import Held, gate

pytestmark = pytest.mark.e2e
PATIENCE_SECONDS = 60.0
CANCELED = "script canceled externally (UI, API)"


@dataclass(frozen=True)
class Phase:
    """Where a job is held: ``request`` is part of the request that it makes there.

    ``ends_at_once``: whether a graceful cancel ends it although the request is never answered, as
    GitLab Runner does up to the end of the script; later a cancel leaves everything to its end.
    """

    name: str
    request: str
    job: str
    ends_at_once: bool
    after_script: bool
    printed: str = ""


REACHED = "wget -q -O /dev/null $CI_SERVER_URL/held/"
PHASES = (
    Phase("pull", "/v2/", "image: REGISTRY/held:1\nscript: [echo no]", True, False),
    Phase("sources", "info/refs", "variables: {GIT_STRATEGY: clone}\nscript: [echo no]", True, False),
    Phase(
        "restore", "/cache/", "cache: {key: k, paths: [kept]}\nscript: [echo no]", True, False,
        "Checking cache for k",
    ),
    Phase("script", "/held/script", f"script: [echo begun, {REACHED}script]", True, True, "begun"),
    Phase(
        "after", "/held/after",
        f"script: [echo begun]\nafter_script: [{REACHED}after || true, echo late]",
        False, True, "begun",
    ),
    Phase(
        "upload", "/artifacts?",
        "script: [echo begun > kept]\nartifacts: {paths: [kept]}", False, True,
        "Uploading artifacts",
    ),
)  # fmt: skip
BY_NAME = {phase.name: phase for phase in PHASES}
DEFAULTS = """
default:
  image: alpine
  after_script: ['echo "after_script after $CI_JOB_STATUS"']
variables: {GIT_STRATEGY: none}
"""


@dataclass(frozen=True)
class Story:
    """What became of the jobs: those that ended while everything was held, and all in the end."""

    held: dict[str, str]
    jobs: dict[str, dict[str, Any]]
    pods_gone: bool


def _configuration(registry: str) -> str:
    jobs = []
    for phase in PHASES:
        lines = "\n".join(f"  {line}" for line in phase.job.splitlines())
        jobs.append(f"{phase.name}:\n{lines}\n")
    return (DEFAULTS + "\n".join(jobs)).replace("REGISTRY", registry)


@pytest.fixture(scope="module", params=["graceful", "force"])
def mode(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture(scope="module")
def story(mode: str, cluster: Cluster, tmp_path_factory: pytest.TempPathFactory) -> Story:
    if not cluster.own:
        pytest.skip("the pods of another cluster cannot reach a coordinator on loopback")
    return _play(mode, cluster, tmp_path_factory.mktemp(f"cancel-{mode}"))


def _play(mode: str, cluster: Cluster, folder: Path) -> Story:
    held = {phase.name: Held(phase.request) for phase in PHASES}
    with ExitStack() as stack:
        front = stack.enter_context(gate(list(held.values())))
        found = stack.enter_context(
            separate.coordinator(folder / "coordinator", external_url=front.url)
        )
        front.upstream = found.port
        stack.enter_context(separate.runner(found, cluster, folder, url=front.url))
        project = folder / "project"
        project.mkdir()
        (project / ".gitlab-ci.yml").write_text(_configuration(f"127.0.0.1:{front.port}"))
        process = stack.enter_context(found.run(project))
        for name, one in held.items():
            if not one.reached.wait(PATIENCE_SECONDS):
                process.kill()
                pytest.fail(f"{name} never got where it is to be held: {ended(process)}")
        numbers = {name: str(job["id"]) for name, job in found.jobs().items()}
        for number in numbers.values():
            canceled = found.cancel(number, *(["--force"] if mode == "force" else []))
            assert canceled.code == 0, canceled
        wanted = {p.name for p in PHASES if p.ends_at_once or mode == "force"}
        states = _until_canceled(found, wanted, told=set() if mode == "force" else set(BY_NAME))
        for one in held.values():
            one.released.set()
        out, err = ended(process)
        assert process.returncode == 1, (out, err)
        ran = Ran(process.returncode, out, err)
        assert cluster.state_dir is not None
        return Story(held=states, jobs=ran.jobs, pods_gone=pods_gone(cluster.state_dir))


def _until_canceled(
    found: separate.Coordinator, wanted: set[str], told: set[str]
) -> dict[str, str]:
    """Return the states of all jobs once the wanted ones are canceled, or after a while.

    ``told``: the jobs whose runner must have heard of it by then; it hears with its next update.
    """
    states: dict[str, str] = {}
    for _ in range(240):  # each look takes about a quarter of a second
        states = {name: str(job["status"]) for name, job in found.jobs().items()}
        if all(states[name] == "canceled" for name in wanted):
            traces = found.traces()
            if all(CANCELED in traces[name] for name in told):
                break
    return states


@pytest.mark.parametrize("name", BY_NAME)
def test_a_canceled_job_ends_as_canceled(story: Story, mode: str, name: str) -> None:
    phase = BY_NAME[name]
    at_once = phase.ends_at_once or mode == "force"
    assert story.held[name] == ("canceled" if at_once else "canceling")
    assert story.jobs[name]["status"] == "canceled"


@pytest.mark.parametrize("name", BY_NAME)
def test_after_script_runs_only_for_a_script_that_had_begun(
    story: Story, mode: str, name: str
) -> None:
    phase, trace = BY_NAME[name], str(story.jobs[name]["trace"])
    runs = phase.after_script and (mode == "graceful" or name in {"after", "upload"})
    assert ("Running after script..." in trace) is runs, trace
    if name == "script" and runs:
        assert "after_script after canceled" in trace
    if name == "after":
        assert ("O late\n" in trace) is (mode == "graceful"), trace


@pytest.mark.parametrize("name", BY_NAME)
def test_the_trace_is_complete(story: Story, mode: str, name: str) -> None:
    trace = str(story.jobs[name]["trace"])
    assert BY_NAME[name].printed in trace
    assert "echo no" not in trace
    if mode == "graceful":
        assert CANCELED in trace
        assert "ERROR: Job failed: canceled" in trace.rstrip().splitlines()[-1], trace
    if name == "upload" and mode == "graceful":
        assert "201 Created" in trace


def test_no_pod_is_left(story: Story) -> None:
    assert story.pods_gone
