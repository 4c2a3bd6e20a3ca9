from __future__ import annotations

from podlane.cli.run.runnerconfig import HOST_PORTS, LEAST_JOBS, Target, left_out, point
from podlane.kit.jsonvalue import JsonObject
from podlane.runner.cache.settings import CacheSettings, CoordinatorCacheSettings, S3Settings
from podlane.runner.configuration.settings import GlobalSettings, RunnerSettings

HERE = Target(url="http://127.0.0.1:8080", token="glrt-x", embedded=True)
THERE = Target(
    url="http://10.0.0.5:8080", token="glrt-x", embedded=False, namespace="ci", concurrent=7
)


def test_without_a_file_a_plain_runner_serves_our_coordinator() -> None:
    made = point(None, HERE)
    assert made.concurrent >= LEAST_JOBS
    [runner] = made.runners
    assert (runner.url, runner.token) == ("http://127.0.0.1:8080", "glrt-x")
    assert runner.executor_table == {
        "namespace": "default",
        "pod_annotations": {HOST_PORTS: "8080"},
        "pull_policy": "if-not-present",
        "allowed_pull_policies": ["always", "if-not-present", "never"],
        "unreachable_timeout": 15,
    }


def test_the_first_runner_of_a_file_keeps_its_settings() -> None:
    table: JsonObject = {
        "namespace": "builds",
        "pull_policy": "always",
        "unreachable_timeout": 60,
        "pod_annotations": {"a": "b", HOST_PORTS: "9000"},
    }
    first = RunnerSettings(url="https://gitlab.example", token="t", name="mine", limit=1,
                           executor_table=table)  # fmt: skip
    loaded = GlobalSettings(runners=(first, RunnerSettings(url="u", token="t")), concurrent=3)
    made = point(loaded, HERE)
    assert made.concurrent == 3
    [runner] = made.runners
    assert (runner.name, runner.url, runner.limit) == ("mine", "http://127.0.0.1:8080", 0)
    assert runner.executor_table == {
        "namespace": "builds",
        "pull_policy": "always",
        "unreachable_timeout": 60,
        "pod_annotations": {"a": "b", HOST_PORTS: "9000,8080"},
    }


def test_settings_of_another_cluster_are_left_out_on_this_machine_only() -> None:
    table: JsonObject = {
        "cpu_request": "1", "node_selector": {"pool": "ci"}, "service_account": "jobs",
        "scheduler_name": "", "autoscaler": {"policy": [{"idle_count": 2}]},
        "host": "https://10.0.0.1", "context": "staging",
    }  # fmt: skip
    loaded = GlobalSettings(runners=(RunnerSettings(url="u", token="t", executor_table=table),))
    here = point(loaded, HERE).runners[0].executor_table
    assert here["cpu_request"] == "1"
    assert here.keys().isdisjoint(table.keys() - {"cpu_request"})
    told = ("autoscaler", "context", "host", "node_selector", "service_account")
    assert left_out(loaded, HERE) == told
    there = point(loaded, THERE).runners[0].executor_table
    assert table.items() <= there.items()
    assert left_out(loaded, THERE) == left_out(None, HERE) == ()


def test_caches_stay_where_a_file_keeps_them_and_are_with_us_otherwise() -> None:
    assert point(None, HERE).runners[0].cache == CacheSettings(
        storage=CoordinatorCacheSettings(), shared=True
    )
    theirs = CacheSettings(directory="/srv", storage=S3Settings(bucket="b"))
    runner = RunnerSettings(url="u", token="t", cache=theirs)
    assert point(GlobalSettings(runners=(runner,)), HERE).runners[0].cache == theirs


def test_a_cluster_reaches_us_by_our_address_and_keeps_its_pull_policy() -> None:
    made = point(None, THERE)
    assert made.concurrent == 7
    assert made.runners[0].executor_table == {"namespace": "ci"}
