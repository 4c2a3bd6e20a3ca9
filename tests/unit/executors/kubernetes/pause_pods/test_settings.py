"""``[runners.kubernetes.autoscaler]`` read, and what is wrong with it."""

from __future__ import annotations

from typing import Any

import pytest

from podlane.executors.kubernetes.settings.autoscaler import Autoscaler, Policy
from podlane.kit.diagnostics import Severity
from podlane.runner.configuration.config_file import read_config
from tests.unit.executors.kubernetes.pause_pods.samples import decoded

CONFIG = """
[[runners]]
  url = "https://gitlab.example.com"
  token = "t"
  executor = "kubernetes"
  [runners.kubernetes]
    cpu_request = "500m"
    [runners.kubernetes.autoscaler]
      max_pause_pods = 10
      pause_pod_image_pull_secrets = ["mirror"]
      [[runners.kubernetes.autoscaler.policy]]
        idle_count = 5
        idle_time = "30m0s"
        scale_factor = 1
        scale_factor_limit = 8
        periods = ["* 8-17 * * mon-fri"]
        timezone = "UTC"
      [[runners.kubernetes.autoscaler.policy]]
        idle_count = 0
        periods = ["* * * * *", "* * * * * *"]
        timezone = "Europe/Nowhere"
"""


def test_the_table_of_the_documentation_is_read() -> None:
    policy = {
        "idle_count": 5, "idle_time": "30m0s", "scale_factor": 1, "scale_factor_limit": 8,
        "periods": ["* 8-17 * * mon-fri"], "timezone": "UTC",
    }  # fmt: skip
    settings, found = decoded(autoscaler={"max_pause_pods": 10, "policy": [policy]})
    assert found == []
    assert settings.autoscaler == Autoscaler(
        max_pause_pods=10,
        policy=(
            Policy(
                idle_count=5, idle_time="30m0s", scale_factor=1.0, scale_factor_limit=8,
                periods=("* 8-17 * * mon-fri",), timezone="UTC",
            ),
        ),
    )  # fmt: skip
    assert settings.autoscaler.policy[0].idle_seconds == 1800


def test_wrong_periods_and_time_zones_are_found_with_their_lines() -> None:
    _, found = read_config(CONFIG, "config.toml", environ={})
    lines = CONFIG.splitlines()
    period, zone = found
    assert period.message == (
        "runners.kubernetes.autoscaler.policy[1].periods[1]: '* * * * * *' has 6 fields; "
        "this cron expression has 5"
    )
    assert zone.message == (
        "runners.kubernetes.autoscaler.policy[1].timezone: 'Europe/Nowhere' is no time zone known here"
    )
    assert "* * * * * *" in lines[period.place.line - 1]
    assert "Europe/Nowhere" in lines[zone.place.line - 1]


@pytest.mark.parametrize(
    ("policy", "said"),
    [
        ({"idle_count": -1}, "policy[0].idle_count: -1 is less than 0"),
        ({"scale_factor_limit": -1}, "policy[0].scale_factor_limit: -1 is less than 0"),
        ({"scale_factor": -0.5}, "policy[0].scale_factor: -0.5 is not a number of pods"),
        ({"scale_factor": float("inf")}, "policy[0].scale_factor: inf is not a number of pods"),
        ({"idle_time": "soon"}, 'policy[0].idle_time: "soon" is not a duration'),
        ({"idle_time": "-5m"}, 'policy[0].idle_time: "-5m" is not a duration'),
        ({"idle_time": -1}, 'policy[0].idle_time: "-1" is not a duration'),
        ({"periods": ["@daily"]}, "policy[0].periods[0]: '@daily' has 1 fields"),
        ({"idle_count": "many"}, "Expected `int`, got `str`"),
        ({"idle_counts": 1}, "Object contains unknown field `idle_counts`"),
    ],
)
def test_what_makes_no_sense_is_refused(policy: dict[str, Any], said: str) -> None:
    _, (found,) = decoded(autoscaler={"policy": [policy]})
    assert found.message.startswith("runners.kubernetes.autoscaler")
    assert said in found.message
    assert found.severity is Severity.ERROR


def test_a_number_of_nanoseconds_is_a_duration_too() -> None:
    settings, found = decoded(autoscaler={"policy": [{"idle_time": 5_000_000_000}]})
    assert found == []
    assert settings.autoscaler is not None
    assert settings.autoscaler.policy[0].idle_seconds == 5


def test_a_key_of_other_executors_is_said_to_do_nothing() -> None:
    _, (found,) = decoded(autoscaler={"policy": [{"preemptive_mode": True}]})
    assert found.severity is Severity.WARNING
    assert "preemptive_mode: has no effect" in found.message
