"""``stats`` as Prometheus metrics under GitLab Runner's names (runner-protocol 9.7).

Imported only where ``listen_address`` is set.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from typing import TypeVar

import anyio.to_thread
from prometheus_client import CollectorRegistry, GCCollector, PlatformCollector, ProcessCollector
from prometheus_client.core import (
    CounterMetricFamily,
    GaugeMetricFamily,
    HistogramMetricFamily,
    Metric,
)
from prometheus_client.exposition import generate_latest
from prometheus_client.registry import Collector

from podlane.runner.job_variables import Manager
from podlane.runner.stats import Histogram, RunnerGauges, Stats

# The format that every Prometheus reads. In OpenMetrics the names jobs and jobs_total would collide.
CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"
PREFIX = "gitlab_runner_"
Key = TypeVar("Key")
_CONFIGURATION = ("loaded", "loading_error", "saved", "saving_error")
_LEVELS = ("warning", "error", "fatal", "panic")


class RunnerCollector(Collector):
    """Reads the stats whenever the metrics are asked for."""

    def __init__(self, stats: Stats, manager: Manager) -> None:
        self._stats = stats
        self._manager = manager

    def collect(self) -> Iterator[Metric]:
        """Return all metrics."""
        yield from self._jobs()
        yield from self._runners()
        yield from self._requests()
        yield from self._process()

    def _jobs(self) -> Iterator[Metric]:
        stats = self._stats
        running = Counter(
            (job.runner, job.runner_name, stats.system_id, job.state, job.stage, job.executor_stage)
            for job in stats.jobs.values()
        )
        names = ("runner", "runner_name", "system_id", "state", "stage", "executor_stage")
        yield _gauges("jobs", "The current number of running builds", names, running)
        yield _counters("jobs_total", "Total number of handled jobs", ("runner",), stats.jobs_total)
        yield _counters(
            "failed_jobs_total", "Total number of failed jobs", ("runner", "failure_reason"),
            stats.failed_jobs,
        )  # fmt: skip
        yield _histograms(
            "job_duration_seconds", "Histogram of job durations", ("runner",), stats.job_seconds
        )
        yield _histograms(
            "job_queue_duration_seconds", "Histogram of time in the queue", ("runner",),
            stats.queue_seconds,
        )  # fmt: skip
        yield _histograms(
            "job_stage_duration_seconds", "Histogram of stage durations", ("runner", "stage"),
            stats.stage_seconds,
        )  # fmt: skip

    def _runners(self) -> Iterator[Metric]:
        stats = self._stats
        yield _gauge("concurrent", "The current value of concurrent setting", stats.concurrent)
        yield self._per_runner("limit", "The current value of limit setting", lambda r: r.limit)
        yield self._per_runner(
            "request_concurrency_hard_limit", "The configured request concurrency",
            lambda r: r.request_concurrency,
        )  # fmt: skip
        for name in ("request_concurrency_adaptive_limit", "request_concurrency_used_limit"):
            said = "How many requests for new jobs may be under way"
            yield self._per_runner(name, said, lambda r: r.adaptive_limit())
        yield _gauges(
            "request_concurrency",
            "Requests for new jobs under way",
            ("runner",),
            stats.requests_now,
        )
        yield _gauge("worker_slots_number", "Jobs that can run at once", stats.concurrent)
        for name, counted in (
            ("worker_feeds_total", stats.feeds),
            ("worker_feed_failures_total", stats.feed_failures),
            (
                "worker_health_check_failures_total",
                {k: r.rests() for k, r in stats.runners.items()},
            ),
        ):
            yield _counters(name, name.replace("_", " "), ("runner",), counted)
        yield _counters(
            "worker_processing_failures_total", "Jobs that failed", ("runner", "failure_type"),
            stats.processing_failures,
        )  # fmt: skip

    def _requests(self) -> Iterator[Metric]:
        stats, mine = self._stats, self._stats.system_id
        yield _counters(
            "api_request_statuses_total", "The total number of api requests",
            ("runner", "endpoint", "status", "system_id"),
            {(*key, mine): count for key, count in stats.statuses.items()},
        )  # fmt: skip
        yield _counters(
            "api_request_retries_total", "The total number of repeated api requests",
            ("runner", "endpoint", "system_id"),
            {(*key, mine): count for key, count in stats.retries.items()},
        )  # fmt: skip
        yield _histograms(
            "api_request_duration_seconds", "Latency of api requests", ("runner", "endpoint"),
            stats.request_seconds,
        )  # fmt: skip

    def _process(self) -> Iterator[Metric]:
        stats, manager = self._stats, self._manager
        for what in _CONFIGURATION:
            name = f"configuration_{what}_total"
            yield _counters(name, name.replace("_", " "), (), {(): stats.configuration[what]})
        yield _counters(
            "errors_total", "The number of logged errors", ("level",),
            {level: stats.errors[level] for level in _LEVELS},
        )  # fmt: skip
        names = ("name", "version", "revision", "branch")
        labels = ("gitlab-runner", manager.compatible_version, f"podlane-{manager.version}", "")
        yield _gauges("version_info", "What runs here", names, {labels: 1})
        yield _gauges("process_state_info", "running, or stopping", ("state",), {stats.state: 1})

    def _per_runner(
        self, name: str, said: str, read: Callable[[RunnerGauges], float]
    ) -> GaugeMetricFamily:
        values = {(key, r.name): read(r) for key, r in self._stats.runners.items()}
        return _gauges(name, said, ("runner", "runner_name"), values)


class Pages:
    """The page of metrics of one manager, and of its process."""

    def __init__(self, stats: Stats, manager: Manager) -> None:
        self._own = CollectorRegistry()
        self._own.register(RunnerCollector(stats, manager))
        self._process = CollectorRegistry()
        ProcessCollector(registry=self._process)
        PlatformCollector(registry=self._process)
        GCCollector(registry=self._process)

    async def render(self) -> bytes:
        """Return the page. What is ours is read here, between two steps of what changes it."""
        process = await anyio.to_thread.run_sync(generate_latest, self._process)
        return generate_latest(self._own) + process


def _labels(key: object) -> tuple[str, ...]:
    return tuple(map(str, key)) if isinstance(key, tuple) else (str(key),)


def _gauge(name: str, said: str, value: float) -> GaugeMetricFamily:
    return GaugeMetricFamily(PREFIX + name, said, value=value)


def _gauges(
    name: str, said: str, labels: tuple[str, ...], values: Mapping[Key, float]
) -> GaugeMetricFamily:
    family = GaugeMetricFamily(PREFIX + name, said, labels=labels)
    for key, value in values.items():
        family.add_metric(_labels(key), value)
    return family


def _counters(
    name: str, said: str, labels: tuple[str, ...], values: Mapping[Key, int]
) -> CounterMetricFamily:
    family = CounterMetricFamily(PREFIX + name, said, labels=labels)
    for key, value in values.items():
        family.add_metric(_labels(key), value)
    return family


def _histograms(
    name: str, said: str, labels: tuple[str, ...], values: Mapping[Key, Histogram]
) -> HistogramMetricFamily:
    family = HistogramMetricFamily(PREFIX + name, said, labels=labels)
    for key, histogram in values.items():
        family.add_metric(_labels(key), buckets=histogram.cumulative(), sum_value=histogram.sum)
    return family
