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

from podlane.kit.architecture import architecture
from podlane.runner.identity import Manager
from podlane.runner.manager.stats import FAILURE_TYPES, Histogram, RunnerGauges, Stats, Who

# The format that every Prometheus reads. In OpenMetrics the names jobs and jobs_total would collide.
CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"
PREFIX = "gitlab_runner_"
_AUTOSCALER = "kubernetes_autoscaler_"
Key = TypeVar("Key")
Value = TypeVar("Value")
Labels = TypeVar("Labels", bound="tuple[str, ...]")
_WHO = ("runner", "runner_name", "system_id")
_CONFIGURATION = ("loaded", "loading_error", "saved", "saving_error")
_LEVELS = ("panic", "fatal", "error", "warning")
_CONCURRENCY: tuple[tuple[str, str, Callable[[RunnerGauges], float]], ...] = (
    ("hard_limit", "Configured request_concurrency limit", lambda r: r.request_concurrency),
    ("adaptive_limit", "Computed adaptive request concurrency limit", lambda r: r.adaptive_limit()),
    ("used_limit", "Used request concurrency limit", lambda r: r.used_limit()),
)


class RunnerCollector(Collector):
    """Reads the stats whenever the metrics are asked for."""

    def __init__(self, stats: Stats, manager: Manager) -> None:
        self._stats = stats
        self._manager = manager

    def collect(self) -> Iterator[Metric]:
        """Return all metrics."""
        yield from self._jobs()
        yield from self._queue()
        yield from self._inputs()
        yield from self._runners()
        yield from self._workers()
        yield from self._pause_pods()
        yield from self._requests()
        yield from self._process()

    def _jobs(self) -> Iterator[Metric]:
        stats, mine = self._stats, self._stats.system_id
        # "idle" keeps the metric present where no job runs
        running = Counter({(*who, mine, "idle", "idle", "idle"): 0 for who in self._everyone()})
        running.update(
            (job.runner, job.runner_name, mine, job.state, job.stage, job.executor_stage)
            for job in stats.jobs.values()
        )
        names = (*_WHO, "state", "stage", "executor_stage")
        yield _gauges("jobs", "The current number of running builds.", names, running)
        yield _counters(
            "jobs_total", "Total number of handled jobs", _WHO, self._mine(stats.jobs_total)
        )
        yield _counters(
            "job_execution_mode_total", "Total number of jobs by execution mode and executor",
            ("mode", "executor"), stats.execution_modes,
        )  # fmt: skip
        yield _counters(
            "failed_jobs_total", "Total number of failed jobs",
            ("runner", "runner_name", "failure_reason", "mode"), stats.failed_jobs,
        )  # fmt: skip
        yield _histograms(
            "job_duration_seconds", "Histogram of job durations", (*_WHO, "mode"),
            self._mine(stats.job_seconds),
        )  # fmt: skip
        yield _histograms(
            "job_stage_duration_seconds", "Histogram of each job stage duration", (*_WHO, "stage"),
            self._mine(stats.stage_seconds),
        )  # fmt: skip

    def _queue(self) -> Iterator[Metric]:
        stats = self._stats
        yield _histograms(
            "job_queue_duration_seconds", "Histogram of job queue durations",
            (*_WHO, "project_jobs_running"), self._mine(stats.queue_seconds),
        )  # fmt: skip
        yield _gauges(
            "job_queue_size", "The size of the queue for the runner", _WHO,
            self._mine(stats.queue_size),
        )  # fmt: skip
        yield _gauges(
            "job_queue_depth", "The search depth in the queue for the runner", _WHO,
            self._mine(stats.queue_depth),
        )  # fmt: skip
        yield _counters(
            "acceptable_job_queuing_duration_exceeded_total",
            "How often jobs exceeded the configured queuing time threshold", _WHO,
            self._mine(stats.queued_too_long),
        )  # fmt: skip

    def _inputs(self) -> Iterator[Metric]:
        inputs = self._stats.inputs
        said = "Total number of job input interpolations where expressions were actually used"
        yield _counters("job_inputs_interpolations_total", said, (), {(): inputs[""]})
        yield _counters(
            "job_inputs_interpolation_failures_total", "Job input interpolations that failed",
            ("error_type",), {kind: inputs[kind] for kind in inputs if kind},
        )  # fmt: skip

    def _runners(self) -> Iterator[Metric]:
        stats, mine = self._stats, self._stats.system_id
        yield _gauge("concurrent", "The current value of concurrent setting", stats.concurrent)
        limits = {who: stats.runners[who[0]].limit for who in self._everyone()}
        yield _gauges("limit", "The current value of limit setting", _WHO, self._mine(limits))
        names = ("runner", "system_id")
        for name, said, read in _CONCURRENCY:
            values = {(key, mine): read(runner) for key, runner in stats.runners.items()}
            yield _gauges(f"request_concurrency_{name}", said, names, values)
        now = {(key, mine): stats.requests_now[key] for key in stats.runners}
        said = "The current number of concurrent requests for a new job"
        yield _gauges("request_concurrency", said, names, now)
        held = {(key, mine): stats.requests_held_back[key] for key in stats.runners}
        said = "Requests held back by the limit of request_concurrency"
        yield _counters("request_concurrency_exceeded_total", said, names, held)

    def _workers(self) -> Iterator[Metric]:
        stats = self._stats
        everyone = dict.fromkeys(self._everyone(), 0)
        for name, said, counted in (
            ("worker_feeds_total", "Requests for jobs", stats.feeds),
            ("worker_feed_failures_total", "Requests left out for a rest", stats.feed_failures),
            (
                "worker_health_check_failures_total",
                "Requests for jobs that were refused, or that nobody answered",
                stats.health_failures,
            ),
        ):
            yield _counters(name, said, _WHO, self._mine({**everyone, **counted}))
        yield _gauge("worker_slots_number", "Current number of runner worker slots", stats.slots)
        operations = {name: stats.slot_operations[name] for name in ("started", "stopped")}
        yield _counters(
            "worker_slot_operations_total", "Slots that were started and stopped", ("operation",),
            operations,
        )  # fmt: skip
        failed = {
            (kind, *who, stats.system_id): stats.processing_failures[*who, kind]
            for kind in FAILURE_TYPES
            for who in self._everyone()
        }
        yield _counters(
            "worker_processing_failures_total", "Jobs that failed", ("failure_type", *_WHO), failed
        )

    def _pause_pods(self) -> Iterator[Metric]:
        """Return nothing where no runner keeps pods ready, as before the first was made."""
        kept = {
            (key, one.name): one.standby
            for key, one in self._stats.runners.items()
            if one.standby.desired is not None or one.standby.errors
        }
        if not kept:
            return
        yield _gauges(
            _AUTOSCALER + "pause_pods_desired",
            "The desired number of pause pods based on current policy.", _WHO,
            self._mine({who: one.desired or 0 for who, one in kept.items()}),
        )  # fmt: skip
        yield _gauges(
            _AUTOSCALER + "pause_pods_current", "The current number of pause pods.", _WHO,
            self._mine({who: one.current or 0 for who, one in kept.items()}),
        )  # fmt: skip
        errors = {(*who, why): n for who, one in kept.items() for why, n in one.errors.items()}
        yield _counters(
            _AUTOSCALER + "reconcile_errors_total", "Total number of reconciliation errors.",
            (*_WHO, "reason"), self._mine(errors),
        )  # fmt: skip
        scaled = {(*who, way): n for who, one in kept.items() for way, n in one.scaled.items()}
        yield _counters(
            _AUTOSCALER + "scale_operations_total", "Total number of scale operations performed.",
            (*_WHO, "direction"), self._mine(scaled),
        )  # fmt: skip

    def _requests(self) -> Iterator[Metric]:
        stats, mine = self._stats, self._stats.system_id
        yield _counters(
            "api_request_statuses_total", "The total number of API requests",
            ("runner", "system_id", "endpoint", "status", "method"),
            {(key[0], mine, *key[1:]): count for key, count in stats.statuses.items()},
        )  # fmt: skip
        yield _counters(
            "api_request_retries_total", "All attempts of API requests, the first ones included",
            ("path", "method"), stats.attempts,
        )  # fmt: skip
        yield _histograms(
            "api_request_duration_seconds", "Latency of API requests",
            ("runner", "system_id", "endpoint", "status_class", "method"),
            {(key[0], mine, *key[1:]): count for key, count in stats.request_seconds.items()},
        )  # fmt: skip

    def _process(self) -> Iterator[Metric]:
        stats, manager = self._stats, self._manager
        for what in _CONFIGURATION:
            name = f"configuration_{what}_total"
            yield _counters(name, name.replace("_", " "), (), {(): stats.configuration[what]})
        yield _counters(
            "errors_total", "The number of caught errors.", ("level",),
            {level: stats.errors[level] for level in _LEVELS},
        )  # fmt: skip
        version = {
            "name": "gitlab-runner", "version": manager.compatible_version,
            "revision": f"podlane-{manager.version}", "branch": "", "go_version": "",
            "built_at": "", "os": "linux", "architecture": architecture(),
        }  # fmt: skip
        said = "A metric with a constant '1' value labeled by different build stats fields."
        yield _gauges("version_info", said, tuple(version), {tuple(version.values()): 1})
        said = "This metric provides info about the current state of the process"
        yield _gauges("process_state_info", said, ("state",), {stats.state: 1})

    def _everyone(self) -> list[Who]:
        return [(key, runner.name) for key, runner in self._stats.runners.items()]

    def _mine(self, counted: Mapping[Labels, Value]) -> dict[tuple[str, ...], Value]:
        """Return the same with our ``system_id`` behind the runner's token and name."""
        mine = self._stats.system_id
        return {(*key[:2], mine, *key[2:]): value for key, value in counted.items()}


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
