"""What is counted, and the pages that show it."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace

import aiohttp
import anyio
import pytest
from prometheus_client.parser import text_string_to_metric_families
from tests.fakes.coordinator_api import FakeJobApi
from tests.fakes.jobs import MANAGER, a_job, a_runner

from podlane.gitlab.answers import Forbidden, NoJob, RequestJobResult, Unavailable
from podlane.gitlab.client import NO_ANSWER, RequestReport
from podlane.kit.architecture import architecture
from podlane.kit.errors import UsageError
from podlane.kit.periods import parse
from podlane.model.failures import FailureReason
from podlane.model.job import GitInfo, JobInfo
from podlane.model.outcome import SUCCESS, JobOutcome
from podlane.runner.configuration.monitoring import QueuingDuration
from podlane.runner.listeners import metrics
from podlane.runner.listeners.listener import Address, listening, parse_address
from podlane.runner.manager.observe import ObservedApi, job_url, note_request
from podlane.runner.manager.stats import (
    RUNNING,
    Histogram,
    JobStatus,
    RunnerGauges,
    Stats,
    jobs_list,
)

pytestmark = pytest.mark.anyio


def status(job_id: int) -> JobStatus:
    return JobStatus(
        id=job_id, url="https://gitlab.example.com/g/p/-/jobs/1", runner="abc", runner_name="ci",
        project_id=3, started_at=10.0, with_stages=True,
    )  # fmt: skip


def busy() -> Stats:
    stats = Stats(system_id="s_1", concurrent=4, state=RUNNING)
    stats.resize(4)
    stats.resize(3)
    patient = QueuingDuration(periods=(parse("* * * * * * *"),), threshold_seconds=3.0)
    stats.runners["abc"] = RunnerGauges(
        name="ci", limit=2, request_concurrency=5, adaptive_limit=lambda: 1.5, used_limit=lambda: 2,
        queuing_durations=(patient,),
    )  # fmt: skip
    stats.requests_held_back["abc"] += 7
    info = JobInfo(
        name="x", time_in_queue_seconds=4.0, queue_size=6, queue_depth=2,
        project_jobs_running_on_instance_runners_count="+Inf",
    )  # fmt: skip
    for number in (1, 2, 3):
        stats.job_started(a_job(id=number, job_info=info), status(number), now=0.0)
    stats.stage_started(1, "get_sources", 11.0)
    stats.stage_started(1, "step_script", 14.0)
    failed = JobOutcome(reason=FailureReason.SCRIPT_FAILURE, exit_code=1)
    stats.job_ended(2, failed, 70.0)
    stats.job_cleaning(3, 20.0)
    stats.job_ended(3, SUCCESS, 21.0)
    report = RequestReport(
        endpoint="request_job", status=204, seconds=0.3, attempts=3,
        path="/api/v4/jobs/request", method="post",
    )  # fmt: skip
    runner = a_runner(token="glrt-abcdefghijklm")
    note_request(stats, runner, report)
    note_request(stats, runner, replace(report, status=NO_ANSWER))
    note_request(
        stats, runner, replace(report, endpoint="", path="/api/v4/jobs/42", method="put")
    )  # fmt: skip
    return stats


def samples(page: str) -> dict[tuple[str, frozenset[tuple[str, str]]], float]:
    return {
        (sample.name, frozenset(sample.labels.items())): sample.value
        for family in text_string_to_metric_families(page)
        for sample in family.samples
    }


def value(page: str, metric: str, /, **labels: str) -> float:
    return samples(page)[f"gitlab_runner_{metric}", frozenset(labels.items())]


WHO = {"runner": "abc", "runner_name": "ci", "system_id": "s_1"}
RUNNER = {"runner": "abc", "system_id": "s_1"}
ASKED = {
    "runner": "abcdefghi", "system_id": "s_1", "endpoint": "request_job", "method": "post",
}  # fmt: skip


async def test_metrics_of_jobs_have_the_names_and_labels_of_gitlab_runner() -> None:
    page = (await metrics.Pages(busy(), MANAGER).render()).decode()
    place = {"stage": "step_script", "executor_stage": "prepare"}
    assert value(page, "jobs", state="running", **place, **WHO) == 1
    idle = {"state": "idle", "stage": "idle", "executor_stage": "idle"}
    assert value(page, "jobs", **idle, **WHO) == 0
    assert value(page, "jobs_total", **WHO) == 3
    assert value(page, "job_execution_mode_total", mode="traditional", executor="kubernetes") == 3
    who = {"runner": "abc", "runner_name": "ci"}
    reason = {"failure_reason": "script_failure", "mode": "traditional"}
    assert value(page, "failed_jobs_total", **reason, **who) == 1
    assert value(page, "job_duration_seconds_bucket", mode="traditional", le="30.0", **WHO) == 1
    assert value(page, "job_duration_seconds_count", mode="traditional", **WHO) == 2
    assert value(page, "job_duration_seconds_sum", mode="traditional", **WHO) == 71
    assert value(page, "job_stage_duration_seconds_sum", stage="get_sources", **WHO) == 3
    assert value(page, "job_queue_duration_seconds_sum", project_jobs_running="+Inf", **WHO) == 12
    assert value(page, "job_queue_size", **WHO) == 6
    assert value(page, "job_queue_depth", **WHO) == 2
    assert value(page, "acceptable_job_queuing_duration_exceeded_total", **WHO) == 3


async def test_metrics_of_runners_have_the_names_and_labels_of_gitlab_runner() -> None:
    page = (await metrics.Pages(busy(), MANAGER).render()).decode()
    assert value(page, "concurrent") == 4
    assert value(page, "limit", **WHO) == 2
    assert value(page, "request_concurrency", **RUNNER) == 0
    assert value(page, "request_concurrency_hard_limit", **RUNNER) == 5
    assert value(page, "request_concurrency_adaptive_limit", **RUNNER) == 1.5
    assert value(page, "request_concurrency_used_limit", **RUNNER) == 2
    assert value(page, "request_concurrency_exceeded_total", **RUNNER) == 7
    for name in ("feeds", "feed_failures", "health_check_failures"):
        assert value(page, f"worker_{name}_total", **WHO) == 0
    assert value(page, "worker_slots_number") == 3
    assert value(page, "worker_slot_operations_total", operation="started") == 4
    assert value(page, "worker_slot_operations_total", operation="stopped") == 1
    for kind, number in (("job_failure", 1), ("no_free_executor", 0), ("other", 0)):
        assert value(page, "worker_processing_failures_total", failure_type=kind, **WHO) == number


async def test_metrics_of_pause_pods_are_there_where_some_are_kept() -> None:
    stats = busy()
    page = (await metrics.Pages(stats, MANAGER).render()).decode()
    assert "autoscaler" not in page
    standby = stats.runners["abc"].standby
    standby.desired, standby.current = 3, 2
    standby.scaled.update(up=2, down=1)
    standby.errors.update(apply_state=4)
    page = (await metrics.Pages(stats, MANAGER).render()).decode()
    prefix = "kubernetes_autoscaler_"
    assert value(page, prefix + "pause_pods_desired", **WHO) == 3
    assert value(page, prefix + "pause_pods_current", **WHO) == 2
    for way, number in (("up", 2), ("down", 1)):
        assert value(page, prefix + "scale_operations_total", direction=way, **WHO) == number
    failed = value(page, prefix + "reconcile_errors_total", reason="apply_state", **WHO)
    assert failed == 4


async def test_metrics_of_requests_have_the_names_and_labels_of_gitlab_runner() -> None:
    page = (await metrics.Pages(busy(), MANAGER).render()).decode()
    assert value(page, "api_request_statuses_total", status="204", **ASKED) == 1
    in_class = {"status_class": "2xx", "le": "0.5"}
    assert value(page, "api_request_duration_seconds_bucket", **in_class, **ASKED) == 1
    tries = "api_request_retries_total"
    assert value(page, tries, path="/api/v4/jobs/request", method="post") == 6
    assert value(page, tries, path="/api/v4/jobs/{id}", method="put") == 3
    assert 'status="-1"' not in page


async def test_metrics_of_the_process_have_the_names_and_labels_of_gitlab_runner() -> None:
    page = (await metrics.Pages(busy(), MANAGER).render()).decode()
    assert value(page, "configuration_loading_error_total") == 0
    assert value(page, "errors_total", level="error") == 0
    assert value(page, "process_state_info", state="running") == 1
    version = {"name": "gitlab-runner", "version": "19.4.0", "revision": "podlane-0.1.0"}
    built = {"branch": "", "go_version": "", "built_at": "", "os": "linux"}
    assert value(page, "version_info", architecture=architecture(), **version, **built) == 1
    assert "process_resident_memory_bytes" in page


async def test_stages_are_timed_only_where_that_is_asked_for() -> None:
    stats = busy()
    stats.stage_seconds.clear()
    stats.jobs[1].with_stages = False
    stats.stage_started(1, "after_script", 20.0)
    assert not stats.stage_seconds


def test_a_job_is_pending_until_its_first_stage() -> None:
    stats = Stats()
    stats.job_started(a_job(id=1), status(1), now=0.0)
    assert (stats.jobs[1].state, stats.jobs[1].stage) == ("pending", "prepare_executor")
    stats.stage_started(1, "prepare_script", 11.0)
    assert (stats.jobs[1].state, stats.jobs[1].stage) == ("running", "prepare_script")


def test_the_address_of_a_job_has_no_secret() -> None:
    nowhere = a_job(id=7, git_info=GitInfo(repo_url="http://[::"))
    assert job_url(nowhere) == "/-/jobs/7"
    assert job_url(a_job(id=7)) == "https://gitlab.example.com/group/project/-/jobs/7"


def test_a_job_that_is_over_is_not_in_the_list() -> None:
    assert jobs_list(busy(), now=12.5) == (
        "url=https://gitlab.example.com/g/p/-/jobs/1 state=running stage=step_script"
        " executor_stage=prepare"
        " duration=2.500s\n"
    )


def test_a_histogram_counts_a_bound_as_below_itself() -> None:
    histogram = Histogram((1.0, 2.0))
    for number in (0.5, 1.0, 1.5, 9.0):
        histogram.observe(number)
    assert histogram.cumulative() == [("1.0", 2), ("2.0", 3), ("+Inf", 4)]


@pytest.mark.parametrize(
    ("text", "host", "port"),
    [
        ("127.0.0.1:9000", "127.0.0.1", 9000),
        (":9000", "", 9000),
        ("localhost", "localhost", 9252),
        ("[::1]:9000", "::1", 9000),
        ("[::1]", "::1", 9252),
        ("[2001:db8::1]:http", "2001:db8::1", 80),
    ],
)
def test_an_address_may_leave_out_host_or_port(text: str, host: str, port: int) -> None:
    assert parse_address(text) == Address(host=host, port=port)


@pytest.mark.parametrize("text", ["a:b", "a:99999", "[::1", "[::1]9000", "::1"])
def test_what_is_no_address_is_refused(text: str) -> None:
    with pytest.raises(UsageError, match="listen_address"):
        parse_address(text)


@asynccontextmanager
async def pages(*, ready: bool = True) -> AsyncIterator[tuple[aiohttp.ClientSession, int]]:
    address = Address(host="127.0.0.1", port=0)
    async with (
        listening(address, busy(), MANAGER, ready=lambda: ready) as port,
        aiohttp.ClientSession(f"http://127.0.0.1:{port}") as session,
    ):
        yield session, port


async def test_the_pages_are_served_for_reading_only() -> None:
    async with pages() as (session, _):
        async with session.get("/metrics") as answer:
            assert answer.headers["Content-Type"].startswith("text/plain; version=0.0.4")
            assert "gitlab_runner_jobs_total" in await answer.text()
        async with session.get("/debug/jobs/list") as answer:
            assert answer.headers["X-List-Version"] == "2"
            assert "state=running" in await answer.text()
        for path in ("/readiness", "/health/ready"):
            async with session.head(path) as answer:
                assert answer.status == 200
        async with session.post("/metrics") as answer:
            assert answer.status == 405


async def test_a_manager_that_stops_is_not_ready() -> None:
    async with pages(ready=False) as (session, _), session.get("/readiness") as answer:
        assert answer.status == 503


async def test_a_port_in_use_is_named() -> None:
    async with pages() as (_, port):
        with pytest.raises(UsageError, match=f"127.0.0.1:{port}"):
            async with listening(
                Address(host="127.0.0.1", port=port), Stats(), MANAGER, ready=lambda: True
            ):
                pass


async def test_refusals_and_silence_are_failures_of_health_and_a_server_in_trouble_is_none() -> (
    None
):
    class Api(FakeJobApi):
        async def request_job(self, last_update: str = "") -> RequestJobResult:
            await anyio.lowlevel.checkpoint()
            return answers.pop(0)

    answers: list[RequestJobResult] = [
        Forbidden(message="403"), Unavailable(message="no answer"),
        Unavailable(message="500", is_there=True), NoJob(),
    ]  # fmt: skip
    stats, runner = Stats(), a_runner(name="ci")
    api = ObservedApi(Api(), runner, stats)
    for _ in range(4):
        await api.request_job()
    assert list(stats.feeds.values()) == [4]
    assert list(stats.health_failures.values()) == [2]
