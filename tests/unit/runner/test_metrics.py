"""What is counted, and the pages that show it."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import aiohttp
import pytest
from prometheus_client.parser import text_string_to_metric_families
from tests.fakes.jobs import MANAGER, a_job, a_runner

from podlane.gitlab.client import RequestReport
from podlane.kit.errors import UsageError
from podlane.model.failures import FailureReason
from podlane.model.job import JobInfo
from podlane.model.outcome import SUCCESS, JobOutcome
from podlane.runner import metrics
from podlane.runner.listener import Address, listening, parse_address
from podlane.runner.observe import note_request
from podlane.runner.stats import Histogram, JobStatus, RunnerGauges, Stats, jobs_list

pytestmark = pytest.mark.anyio


def status(job_id: int) -> JobStatus:
    return JobStatus(
        id=job_id, url="https://gitlab.example.com", runner="abc", runner_name="ci", project_id=3,
        started_at=10.0,
    )  # fmt: skip


def busy() -> Stats:
    stats = Stats(system_id="s_1", concurrent=4)
    stats.runners["abc"] = RunnerGauges(
        name="ci", limit=2, request_concurrency=5, adaptive_limit=lambda: 1.5, rests=lambda: 1
    )
    info = JobInfo(name="x", time_in_queue_seconds=4.0)
    for number in (1, 2, 3):
        stats.job_started(a_job(id=number, job_info=info), status(number))
    stats.stage_started(1, "get_sources", 11.0)
    stats.stage_started(1, "step_script", 14.0)
    failed = JobOutcome(reason=FailureReason.SCRIPT_FAILURE, exit_code=1)
    stats.job_ended(2, failed, 70.0)
    stats.job_cleaning(3, 20.0)
    stats.job_ended(3, SUCCESS, 21.0)
    report = RequestReport(endpoint="request_job", status=204, seconds=0.3, retries=2)
    note_request(stats, a_runner(token="glrt-abcdefghijklm"), report)
    note_request(stats, a_runner(), RequestReport(endpoint="", status=200, seconds=1, retries=0))
    return stats


def samples(page: str) -> dict[tuple[str, frozenset[tuple[str, str]]], float]:
    return {
        (sample.name, frozenset(sample.labels.items())): sample.value
        for family in text_string_to_metric_families(page)
        for sample in family.samples
    }


def value(page: str, metric: str, /, **labels: str) -> float:
    return samples(page)[f"gitlab_runner_{metric}", frozenset(labels.items())]


async def test_metrics_have_the_names_and_labels_of_gitlab_runner() -> None:
    page = (await metrics.Pages(busy(), MANAGER).render()).decode()
    assert value(
        page, "jobs", runner="abc", runner_name="ci", system_id="s_1", state="running",
        stage="step_script", executor_stage="run",
    ) == 1  # fmt: skip
    assert value(page, "jobs_total", runner="abc") == 3
    assert value(page, "failed_jobs_total", runner="abc", failure_reason="script_failure") == 1
    assert value(page, "job_duration_seconds_bucket", runner="abc", le="30.0") == 1
    assert value(page, "job_duration_seconds_count", runner="abc") == 2
    assert value(page, "job_duration_seconds_sum", runner="abc") == 71
    assert value(page, "job_stage_duration_seconds_sum", runner="abc", stage="get_sources") == 3
    assert value(page, "concurrent") == 4
    assert value(page, "limit", runner="abc", runner_name="ci") == 2
    assert value(page, "request_concurrency_hard_limit", runner="abc", runner_name="ci") == 5
    assert value(page, "request_concurrency_adaptive_limit", runner="abc", runner_name="ci") == 1.5
    assert value(page, "worker_health_check_failures_total", runner="abc") == 1
    assert value(
        page, "worker_processing_failures_total", runner="abc", failure_type="job_failure"
    ) == 1  # fmt: skip
    where = {"runner": "abcdefghi", "endpoint": "request_job"}
    assert value(page, "api_request_statuses_total", status="204", system_id="s_1", **where) == 1
    assert value(page, "api_request_retries_total", system_id="s_1", **where) == 2
    assert value(page, "api_request_duration_seconds_bucket", le="0.5", **where) == 1
    assert value(page, "configuration_loading_error_total") == 0
    assert value(page, "errors_total", level="error") == 0
    assert value(page, "process_state_info", state="running") == 1
    version = {"name": "gitlab-runner", "version": "19.4.0", "revision": "podlane-0.1.0"}
    assert value(page, "version_info", branch="", **version) == 1
    assert "process_resident_memory_bytes" in page


def test_a_job_that_is_over_is_not_in_the_list() -> None:
    assert jobs_list(busy(), now=12.5) == (
        "url=https://gitlab.example.com state=running stage=step_script executor_stage=run"
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
