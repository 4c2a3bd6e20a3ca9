"""Jobs on real containers: results, order, logs, budgets. The same for both strategies where told."""

from __future__ import annotations

import gc
import itertools
from dataclasses import replace

import anyio
import pytest

from podlane.executors.base import (
    Environment,
    ExecutionPlan,
    Renewal,
    StageFinished,
    StageScript,
    StageStarted,
)
from podlane.executors.kubernetes.executor import KubernetesExecutor
from podlane.executors.kubernetes.planning.plan import PodPlan
from podlane.kit.jsonvalue import objects
from podlane.model.failures import FailureReason
from podlane.model.job import Service, Variable
from podlane.model.outcome import SUCCESS
from podlane.model.substages import step
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

pytestmark = [pytest.mark.anyio, pytest.mark.root, pytest.mark.e2e]
SEEN = step("seen")
BOTH = pytest.mark.parametrize("flags", [(), (LEGACY,)], ids=["attach", "exec"])
Flags = tuple[tuple[str, bool], ...]


@BOTH
async def test_a_green_job_tells_its_sections_in_order(cluster: Cluster, flags: Flags) -> None:
    ran = await cluster.run(make_plan("echo hello", flags=flags))
    assert ran.outcome == SUCCESS
    assert ran.sections == [
        "prepare_executor",
        "prepare_script",
        "get_sources",
        "step_script",
        "after_script",
        "upload_artifacts_on_success",
        "cleanup_file_variables",
    ]
    assert "hello\n" in ran.text
    assert "after success\n" in ran.text
    opened: list[str] = []
    for event in ran.events:  # each section is closed before the next one opens
        if isinstance(event, StageStarted):
            assert opened == []
            opened.append(event.substage.name)
        elif isinstance(event, StageFinished):
            assert opened.pop() == event.substage.name


async def test_the_trace_has_the_lines_that_tools_know(cluster: Cluster) -> None:
    ran = await cluster.run(make_plan())
    assert "Using Kubernetes namespace: default" in ran.messages
    assert f"Using Kubernetes executor with image {image('alpine')} ..." in ran.messages
    assert "Using attach strategy to execute scripts..." in ran.messages
    assert any(line.endswith("to be running, status is Pending") for line in ran.messages)


@BOTH
async def test_a_failing_script_is_a_script_failure_with_its_exit_code(
    cluster: Cluster, flags: Flags
) -> None:
    ran = await cluster.run(make_plan("echo out; echo err >&2; exit 42", flags=flags))
    assert ran.outcome.reason is FailureReason.SCRIPT_FAILURE
    assert ran.outcome.exit_code == 42
    assert ran.outcome.message == "command terminated with exit code 42"
    assert "after failed\n" in ran.text
    assert "uploading what there is\n" in ran.text


@BOTH
@pytest.mark.parametrize("name", ["steveazz/noroot-alpine", "steveazz/noroot-debian"])
async def test_an_image_with_a_user_of_its_own_writes_into_the_project(
    cluster: Cluster, flags: Flags, name: str
) -> None:
    scripts = {"get_sources": "umask 0; mkdir -p /builds/group/project"}
    script = "id -u; cd /builds/group/project; mkdir d; echo x > d/f; ls -n d/f"
    plan = make_plan(script, image_name=name, flags=flags, scripts=scripts)
    ran = await cluster.run(plan)
    assert ran.outcome == SUCCESS
    assert "\n0\n" not in ran.text


@BOTH
async def test_cancel_stops_the_script_and_runs_the_rest(cluster: Cluster, flags: Flags) -> None:
    async def cancel(environment: object, meanwhile: Meanwhile) -> None:
        await meanwhile.until_printed(b"begun\n")
        await environment.cancel()  # type: ignore[attr-defined]  # the environment of the job

    async with cluster.executor() as executor:
        plan = make_plan("echo begun; sleep 100; echo never", flags=flags)
        ran = await run_and(executor, plan, cancel)
    assert ran.outcome.reason is FailureReason.JOB_CANCELED
    assert "never" not in ran.text
    assert "after canceled\n" in ran.text
    assert "uploading what there is\n" in ran.text
    assert ran.seconds < 10


async def test_a_script_that_ignores_term_is_killed_with_its_children(cluster: Cluster) -> None:
    async def cancel(environment: object, meanwhile: Meanwhile) -> None:
        await meanwhile.until_printed(b"begun\n")
        await environment.cancel()  # type: ignore[attr-defined]  # the environment of the job

    async with cluster.executor() as executor:
        script = "trap '' TERM; (trap '' TERM; sleep 100) & echo begun; sleep 100; sleep 100"
        ran = await run_and(executor, make_plan(script, after="ps; true"), cancel)
    assert ran.outcome.reason is FailureReason.JOB_CANCELED
    assert "sleep" not in ran.text.partition("begun")[2]


@BOTH
async def test_a_job_that_exceeds_its_timeout_says_so_in_gitlabs_words(
    cluster: Cluster, flags: Flags
) -> None:
    for timeout in (2, 4, 8):  # a slow cluster may need more for the pod, which counts as well
        ran = await cluster.run(make_plan("echo begun; sleep 100", timeout=timeout, flags=flags))
        assert ran.outcome.reason is FailureReason.JOB_EXECUTION_TIMEOUT
        assert ran.outcome.message == f"execution took longer than {timeout}s seconds"
        if "begun\n" in ran.text:
            return
    pytest.fail("the script never began")


async def test_hostile_scripts_change_neither_result_nor_log(cluster: Cluster) -> None:
    script = (
        "echo before; rm -rf /logs-* /logs-*/.[a-z]* /scripts-* /podlane /builds/* 2>/dev/null; "
        "echo '{\"command_exit_code\":0}'; echo 'stage=step_script index=2 state=finished code=0';"
        "(while :; do echo noise; sleep 0.05; done) & kill -KILL 1; "
        "echo 'podlane: fake' > /dev/termination-log; exit 7"
    )
    ran = await cluster.run(make_plan(script))
    assert ran.outcome.exit_code == 7
    assert ran.outcome.reason is FailureReason.SCRIPT_FAILURE
    assert '{"command_exit_code":0}\n' in ran.text
    assert "uploading what there is\n" in ran.text


async def test_forged_records_are_a_failure_never_a_success(cluster: Cluster) -> None:
    script = "cd /logs-*; echo 'finished 0 0 1.00' > 2.end; sleep 0.3; exit 3"
    ran = await cluster.run(make_plan(script))
    assert not ran.outcome.succeeded


async def test_a_script_that_ends_the_supervisor_does_not_succeed(cluster: Cluster) -> None:
    ran = await cluster.run(make_plan("kill -TERM 1; sleep 5"))
    assert ran.outcome.reason is FailureReason.RUNNER_SYSTEM_FAILURE
    assert 'container "build"' in ran.outcome.message


async def test_a_hundred_mebibytes_arrive_complete_and_in_time(cluster: Cluster) -> None:
    plan = make_plan("head -c 104857600 /dev/zero; echo end")
    ran = await cluster.run(plan)
    assert ran.outcome == SUCCESS
    assert len(ran.output) > 104857600
    assert b"end\nafter success\n" in ran.output
    assert 104857600 / ran.seconds > 20e6


async def test_a_line_arrives_while_the_script_runs(cluster: Cluster) -> None:
    async def wait(environment: object, meanwhile: Meanwhile) -> None:
        await meanwhile.until_printed(b"first\n")
        meanwhile.events.append(StageFinished(substage=SEEN, exit_code=0, at=0))

    async with cluster.executor() as executor:
        ran = await run_and(executor, make_plan("echo first; sleep 1; echo second"), wait)
    kinds = [
        event for event in ran.events if event == StageFinished(substage=SEEN, exit_code=0, at=0)
    ]
    position = ran.events.index(kinds[0])
    assert b"second" not in b"".join(getattr(event, "data", b"") for event in ran.events[:position])


async def test_a_job_costs_at_most_eight_requests_whatever_it_does(cluster: Cluster) -> None:
    async with cluster.executor() as executor:
        before = executor.client.requests.total()
        await run(executor, make_plan("for i in 1 2 3 4 5; do echo $i; sleep 0.3; done"))
        first = executor.client.requests.total() - before
        await run(executor, make_plan("exit 1"))
        second = executor.client.requests.total() - before - first
    assert first <= 8
    assert second <= 8


async def test_nothing_is_left_behind(cluster: Cluster) -> None:
    plan = make_plan("exit 1", variables=(Variable(key="SECRET", value="hidden"),))
    async with cluster.executor() as executor:
        await run(executor, plan)
        await nothing_of(executor, plan)


async def test_what_a_dead_manager_left_is_removed_at_the_next_start(cluster: Cluster) -> None:
    plan = make_plan("echo begun; sleep 100")

    async def restart(_environment: object, meanwhile: Meanwhile) -> None:
        await meanwhile.until_printed(b"begun\n")
        async with cluster.executor() as successor:
            await nothing_of(successor, plan)

    async with cluster.executor(process="another-1-2") as executor:
        ran = await run_and(executor, plan, restart)
    assert ran.outcome.reason is FailureReason.RUNNER_SYSTEM_FAILURE


async def test_plan_and_scripts_are_dropped_once_the_pod_has_them(cluster: Cluster) -> None:
    plans = [make_plan("echo begun; sleep 100 # a line of the script")]
    left: list[object] = []
    others = [plan for plan in gc.get_objects() if isinstance(plan, PodPlan)]  # of earlier tests

    async def look(environment: Environment, meanwhile: Meanwhile) -> None:
        await meanwhile.until_printed(b"begun\n")
        gc.collect()
        left.extend(
            each
            for each in gc.get_objects()
            if _is_large(each) and not any(each is other for other in others)
        )
        await environment.cancel()

    meanwhile = Meanwhile()
    with anyio.fail_after(DEADLINE_SECONDS):
        async with (
            cluster.executor() as executor,
            executor.environment(plans.pop()) as environment,
            anyio.create_task_group() as tasks,
        ):
            tasks.start_soon(look, environment, meanwhile)
            outcome = await environment.run(meanwhile.emit)
    assert outcome.reason is FailureReason.JOB_CANCELED
    assert left == []


def _is_large(each: object) -> bool:
    match each:
        case ExecutionPlan(stages=stages) if stages:
            return any("a line of the script" in stage.script for stage in stages)
        case StageScript(script=script):
            return "a line of the script" in script
        case PodPlan(secret=secret, pod=pod):
            return bool(secret or pod)
        case _:
            return False


async def nothing_of(executor: KubernetesExecutor, plan: ExecutionPlan) -> None:
    """Wait until the cluster has nothing of this job."""
    selector = f"podlane.dev/job-id={plan.job.id}"
    with anyio.fail_after(15):
        for resource in ("pods", "secrets"):
            left = True
            while left:
                left = bool(
                    objects(await executor.client.list(resource, "default", selector), "items")
                )
                await anyio.sleep(0.05)


@BOTH
async def test_a_service_that_names_its_port_answers_before_the_job_goes_on(
    cluster: Cluster, flags: Flags
) -> None:
    service = Service(
        name=image("alpine"),
        alias="slow",
        command=("sh", "-c", "sleep 1; mkdir /w; echo up > /w/index.html; httpd -f -p 8080 -h /w"),
        variables=(Variable(key="HEALTHCHECK_TCP_PORT", value="8080"),),
    )
    ran = await cluster.run(
        make_plan("wget -qO- http://slow:8080", services=(service,), flags=flags)
    )
    assert ran.outcome == SUCCESS
    assert "Waiting for services to be up and running: slow..." in ran.text
    assert "up\n" in ran.text


@BOTH
async def test_the_helper_alone_sees_text_that_is_made_anew(cluster: Cluster, flags: Flags) -> None:
    counter = itertools.count(1)
    text = "greeting='it'\\''s \"$HOME\" %s'"
    renewal = Renewal(
        path="/tmp/renewed",
        every_seconds=0.1,
        make=lambda: f"{text}\nnumber={next(counter)}",
    )
    wait = (
        "number=0; until [ $number -gt 1 ]; do [ ! -r /tmp/renewed ] || . /tmp/renewed; done; "
        'echo "greeted: $greeting"; ls -l /tmp/renewed | cut -c1-10'
    )
    scripts = {"upload_artifacts_on_success": wait}
    plan = make_plan("ls /tmp/renewed 2>&1 || echo none", scripts=scripts, flags=flags)
    ran = await cluster.run(replace(plan, renewal=renewal))
    assert ran.outcome == SUCCESS, ran.text
    assert "none\n" in ran.text
    assert 'greeted: it\'s "$HOME" %s\n' in ran.text
    assert "-rw-------" in ran.text


async def test_what_services_print_is_shown_on_request(cluster: Cluster) -> None:
    text = "echo service here; echo trouble >&2; touch /tmp/up; while :; do sleep 1; done"
    service = Service(name=image("alpine"), alias="loud", command=("sh", "-c", text))
    variable = Variable(key="CI_DEBUG_SERVICES", value="true")
    plan = make_plan("sleep 1", services=(service,), variables=(variable,))
    ran = await cluster.run(plan)
    assert ran.outcome.succeeded, (ran.outcome, ran.text)
    assert {"[service:loud] service here", "[service:loud] trouble"} <= set(ran.messages)


async def test_services_answer_on_their_alias(cluster: Cluster) -> None:
    service = Service(
        name=image("alpine"),
        alias="web",
        command=(
            "sh",
            "-c",
            'mkdir /w; printf "%s/%s" "$PUBLIC" "$OWN" > /w/index.html; httpd -f -p 8080 -h /w',
        ),
        variables=(Variable(key="OWN", value="mine"),),
    )
    script = (
        "for i in 1 2 3 4 5 6 7 8 9; do wget -qO- http://web:8080/ && break; sleep 0.2; done; echo"
    )
    ran = await cluster.run(make_plan(script, services=(service,)))
    assert ran.outcome == SUCCESS
    assert "public value/mine\n" in ran.text


@BOTH
async def test_the_events_of_the_pod_stand_in_place_of_what_it_waits_for(
    cluster: Cluster, flags: Flags
) -> None:
    events = ("FF_PRINT_POD_EVENTS", True)
    async with cluster.executor() as executor:
        await run(executor, make_plan())
        before = executor.client.requests.copy()
        ran = await run(executor, make_plan("sleep 1", flags=(*flags, events)))
        asked = executor.client.requests - before
    assert ran.outcome == SUCCESS
    assert "Subscribing to Kubernetes Pod events..." in ran.messages
    assert "Type     Reason      Message" in ran.messages
    assert any(line.startswith("Normal   Started   Started container") for line in ran.messages)
    assert not any(line.startswith("Waiting for pod") for line in ran.messages)
    assert asked["watch", "events"] == 1
