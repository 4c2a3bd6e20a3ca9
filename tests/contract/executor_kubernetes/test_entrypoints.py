"""FF_KUBERNETES_HONOR_ENTRYPOINT: the image's entrypoint runs, and gets our supervisor to run."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import anyio
import msgspec
import pytest

from podlane.executors.base import Environment, Event, ExecutionPlan
from podlane.executors.kubernetes.pod.environment import KubernetesEnvironment
from podlane.model.failures import FailureReason
from podlane.model.job import Image, Service, Variable
from podlane.model.outcome import SUCCESS
from podlane.node.images import build
from podlane.node.images.config import ImageConfig
from podlane.node.images.recipes import Recipe, default_recipes
from podlane.node.images.store import ImageStore
from podlane.node.images.tree import Tree
from tests.contract.executor_kubernetes.conftest import (
    DEADLINE_SECONDS,
    LEGACY,
    Cluster,
    Meanwhile,
    image,
    make_plan,
    run,
    run_and,
)
from tests.contract.executor_kubernetes.test_takeover import COUNTING, Successor, beside

pytestmark = [pytest.mark.anyio, pytest.mark.root, pytest.mark.e2e]
HONOR = ("FF_KUBERNETES_HONOR_ENTRYPOINT", True)
BOTH = pytest.mark.parametrize("flags", [(HONOR,), (HONOR, LEGACY)], ids=["attach", "exec"])
Flags = tuple[tuple[str, bool], ...]
OWN = "podlane.invalid/entrypoint:1"
RUNS_IT = 'echo "entrypoint: $PUBLIC"; export FOUND=here; exec "$@"'


def behind(words: tuple[str, ...], script: str = "true", **more: object) -> ExecutionPlan:
    """A job whose image has the entrypoint ``words``."""
    plan = make_plan(script, **more)  # type: ignore[arg-type]  # the tests pass what it takes
    wanted = Image(name=plan.job.image.name, entrypoint=words)
    return replace(plan, job=msgspec.structs.replace(plan.job, image=wanted))


def shell(text: str) -> tuple[str, ...]:
    return ("/bin/sh", "-c", text, "entrypoint")


@BOTH
async def test_the_entrypoint_runs_first_and_its_output_is_in_the_trace(
    cluster: Cluster, flags: Flags
) -> None:
    ran = await cluster.run(behind(shell(RUNS_IT), "echo in the script; exit 7", flags=flags))
    assert "entrypoint: public value" in ran.messages
    assert "in the script\n" in ran.text
    assert ran.outcome.exit_code == 7, ran.outcome


async def test_the_script_sees_what_the_entrypoint_exported(cluster: Cluster) -> None:
    ran = await cluster.run(behind(shell(RUNS_IT), "echo found $FOUND", flags=(HONOR,)))
    assert ran.outcome == SUCCESS
    assert "found here\n" in ran.text


async def test_without_the_flag_no_entrypoint_runs(cluster: Cluster) -> None:
    ran = await cluster.run(behind(shell("exit 9"), "echo as always"))
    assert ran.outcome == SUCCESS
    assert "as always\n" in ran.text


def _with_an_entrypoint(tree: Tree) -> None:
    next(r for r in default_recipes() if r.name == "alpine").make(tree)
    tree.file("/entry", '#!/bin/sh\necho "the image says $1"\nsh -c "$1"\n', mode=0o755)


@pytest.fixture
def own(cluster: Cluster, data_dir: Path) -> Iterator[str]:
    """An image whose entrypoint has the shell run its argument, and stays its parent."""
    if cluster.node is None:
        pytest.skip("needs a node of our own")
    recipe = Recipe(
        name="entrypoint", names=(OWN,), required=(), inputs=(),
        config=ImageConfig(entrypoint=("/entry",), cmd=("never",), env=("PATH=/usr/bin:/bin",)),
        make=_with_an_entrypoint,
    )  # fmt: skip
    store = ImageStore(data_dir / "images")
    build._build(store, recipe, "test")
    yield OWN
    store.remove(OWN)


@BOTH
@pytest.mark.parametrize("code", [0, 3])
async def test_the_images_own_entrypoint_may_stay_the_parent(
    cluster: Cluster, own: str, flags: Flags, code: int
) -> None:
    plan = make_plan(f"echo hello; exit {code}", image_name=own, flags=flags)
    ran = await cluster.run(plan)
    assert "the image says /podlane/enter-build" in ran.messages
    assert "hello\n" in ran.text
    assert (ran.outcome.exit_code or 0) == code, ran.outcome


async def test_the_helpers_image_has_its_own_entrypoint(cluster: Cluster, own: str) -> None:
    ran = await cluster.run(make_plan("echo hello", flags=(HONOR,)), helper_image=own)
    assert ran.outcome == SUCCESS, ran.outcome
    assert "sources" not in ran.text
    assert "hello\n" in ran.text


async def test_what_the_script_left_is_killed_but_not_the_entrypoint(cluster: Cluster) -> None:
    """Nothing of the job outlives its last record, and the entrypoint can still do its work."""
    script = "setsid sleep 1000 & sleep 0.1; echo started"
    text = (
        'sleep 2000 & "$@"; code=$?; kill -0 $! && echo kept; '
        "echo left: $(pidof sleep | wc -w); exit $code"
    )
    ran = await cluster.run(behind(shell(text), script, flags=(HONOR,)))
    assert ran.outcome == SUCCESS, ran.outcome
    assert "kept" in ran.messages
    assert "left: 1" in ran.messages


@BOTH
async def test_an_entrypoint_that_ends_early_fails_the_job_in_its_own_words(
    cluster: Cluster, flags: Flags
) -> None:
    ran = await cluster.run(behind(shell("echo cannot start >&2; exit 5"), flags=flags))
    assert ran.outcome.reason == FailureReason.RUNNER_CONFIGURATION_ERROR
    assert (
        f"the entrypoint of image {image('alpine')} did not run the command that it was given: "
        'container "build" ended with exit code 5' in str(ran.outcome.message)
    )
    assert "cannot start" in ran.messages


@BOTH
async def test_an_entrypoint_that_never_runs_its_arguments_fails_the_job(
    cluster: Cluster, flags: Flags
) -> None:
    plan = behind(shell("sleep 1000"), flags=flags)
    async with cluster.executor() as executor, executor.environment(plan) as environment:
        assert isinstance(environment, KubernetesEnvironment)
        # Less patience with the entrypoint than with the pod, whose start takes as long as it takes.
        pod = replace(environment._parts.pod, entrypoint_seconds=0.5)
        impatient = KubernetesEnvironment(replace(environment._parts, pod=pod))
        with anyio.fail_after(DEADLINE_SECONDS):
            outcome = await impatient.run(nothing)
    assert outcome.reason == FailureReason.RUNNER_CONFIGURATION_ERROR
    assert "has not run the command that it was given after 0.5 s" in str(outcome.message)


async def nothing(_: Event) -> None: ...


@BOTH
async def test_an_entrypoint_may_take_longer_than_the_sources(
    cluster: Cluster, flags: Flags
) -> None:
    ran = await cluster.run(behind(shell('sleep 3; exec "$@"'), "echo at last", flags=flags))
    assert ran.outcome == SUCCESS
    assert "at last\n" in ran.text


async def test_an_image_that_starts_its_own_shell_says_so_with_the_marker(
    cluster: Cluster,
) -> None:
    text = "touch /builds/.gitlab-startup-marker; sleep 1000"
    plan = behind(shell(text), "echo by exec", flags=(HONOR, LEGACY))
    ran = await cluster.run(plan)
    assert ran.outcome == SUCCESS, ran.outcome
    assert "by exec\n" in ran.text


@BOTH
async def test_an_empty_entrypoint_is_none(cluster: Cluster, own: str, flags: Flags) -> None:
    ran = await cluster.run(behind(("",), "echo hello", image_name=own, flags=flags))
    assert ran.outcome == SUCCESS
    assert not any("the image says" in message for message in ran.messages)


async def test_an_exit_code_that_the_entrypoint_made_is_told_apart(cluster: Cluster) -> None:
    ran = await cluster.run(behind(shell('"$@"; exit 4'), "true", flags=(HONOR,)))
    assert ran.outcome.exit_code == 4
    assert "the script ended well, but its container with exit code 4" in str(ran.outcome.message)
    ran = await cluster.run(behind(shell('"$@"; exit 0'), "exit 6", flags=(HONOR,)))
    assert ran.outcome.exit_code == 6, ran.outcome


async def test_cancel_reaches_the_script_behind_an_entrypoint(cluster: Cluster) -> None:
    async def cancel(environment: object, meanwhile: Meanwhile) -> None:
        await meanwhile.until_printed(b"working\n")
        await environment.cancel()  # type: ignore[attr-defined]  # an Environment

    async with cluster.executor() as executor:
        plan = behind(shell('"$@"'), "echo working; sleep 1000", flags=(HONOR,))
        ran = await run_and(executor, plan, cancel)
    assert ran.outcome.reason == FailureReason.JOB_CANCELED
    assert "after canceled\n" in ran.text


async def test_services_keep_the_entrypoints_that_the_job_gives_them(cluster: Cluster) -> None:
    given = Service(
        name=image("alpine"), alias="one", entrypoint=shell('touch /builds/"$1"; sleep 1000'),
        command=("given",),
    )  # fmt: skip
    none = Service(
        name=image("alpine"), alias="two", entrypoint=("",),
        command=("/bin/sh", "-c", "touch /builds/bare; sleep 1000"),
    )  # fmt: skip
    script = "until [ -e /builds/given ] && [ -e /builds/bare ]; do sleep 0.1; done; echo both"
    ran = await cluster.run(make_plan(script, services=(given, none), flags=(HONOR,)))
    assert ran.outcome == SUCCESS
    assert "both\n" in ran.text


async def test_no_secret_is_shown_to_the_entrypoint(cluster: Cluster) -> None:
    hidden = Variable(key="PASSWORD", value="hunter22", masked=True)
    plan = behind(shell('echo "see <$PASSWORD>"; exec "$@"'), variables=(hidden,), flags=(HONOR,))
    ran = await cluster.run(plan)
    assert "see <>" in ran.messages


async def test_it_costs_one_request(cluster: Cluster) -> None:
    async with cluster.executor() as executor:
        await run(executor, make_plan())
        before = executor.client.requests.copy()
        await run(executor, behind(shell('exec "$@"'), flags=(HONOR,)))
        asked = executor.client.requests - before
    assert asked["get", "pods/log"] == 1
    assert asked.total() <= 6


class Later(Successor):
    """Takes over when what the entrypoint printed has been told, too."""

    async def __call__(self, environment: Environment, meanwhile: Meanwhile) -> None:
        await meanwhile.until_told("before")
        await super().__call__(environment, meanwhile)


async def test_a_successor_goes_on_behind_the_entrypoint_and_tells_nothing_twice(
    cluster: Cluster,
) -> None:
    successor = Later(cluster, b"line 17\n")
    plan = behind(shell('echo before; exec "$@"'), f"{COUNTING}; exit 3", flags=(HONOR,))
    first = await beside(cluster, plan, successor)
    assert successor.ran.outcome == first.outcome
    assert successor.ran.outcome.exit_code == 3
    assert successor.ran.text == first.text
    assert successor.ran.messages == first.messages
    assert first.messages.count("before") == 1
