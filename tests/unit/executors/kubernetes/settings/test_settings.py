from __future__ import annotations

import pytest

from podlane.executors.kubernetes.settings import official_keys
from podlane.executors.kubernetes.settings.cluster import cleanup_seconds
from podlane.executors.kubernetes.settings.decode import decode_settings
from podlane.executors.kubernetes.settings.keys import KubernetesSettings
from podlane.kit.diagnostics import Place
from podlane.kit.jsonvalue import Json

PLACE = Place(file="config.toml")


def finding(key: str, value: Json) -> str:
    settings, findings = decode_settings({key: value}, PLACE)
    assert settings == KubernetesSettings()
    assert len(findings) == 1
    return f"{findings[0].message} | {findings[0].hint}"


def test_an_empty_table_is_all_defaults() -> None:
    assert decode_settings({}, PLACE) == (KubernetesSettings(), [])


def test_an_unknown_key_gets_a_suggestion() -> None:
    assert finding("nmespace", "ci") == (
        "runners.kubernetes.nmespace is not a known setting | did you mean namespace?"
    )


def test_a_key_of_the_runner_is_sent_one_level_up() -> None:
    assert finding("builds_dir", "/b").endswith("builds_dir belongs to [[runners]], one level up")


@pytest.mark.parametrize("key", sorted(official_keys.NOT_YET))
def test_a_key_that_is_not_supported_yet_is_an_error(key: str) -> None:
    assert "does not support yet" in finding(key, "x")


def test_a_value_of_another_type_is_told_with_its_path() -> None:
    assert "Expected `int`" in finding("poll_timeout", "soon")
    text = finding("build_container_security_context", {"seccomp_profile": {"type": 1}})
    assert "`seccomp_profile.type`" in text
    assert "unknown field `run_as_usr`" in finding("pod_security_context", {"run_as_usr": 1})


def test_quantities_and_policies_are_checked() -> None:
    assert '"lots" is not a quantity' in finding("memory_limit", "lots")
    assert '"sometimes" is not a pull policy' in finding("pull_policy", "sometimes")
    assert '"often" is not a pull policy' in finding("pull_policy", ["always", "often"])
    assert "is not a DNS policy" in finding("dns_policy", "mine")


def test_the_time_for_cleaning_up_is_a_duration_of_go() -> None:
    assert '"soon" is not a duration' in finding("cleanup_resources_timeout", "soon")
    for value, seconds in (("5m", 300.0), ("", 30.0), ("0", 30.0), ("-1h", 30.0)):
        assert cleanup_seconds(value) == seconds


def test_everything_wrong_is_told_at_once() -> None:
    _, findings = decode_settings({"a": 1, "cpu_limit": "x", "namespace": "ci"}, PLACE)
    assert len(findings) == 2


def test_a_pull_policy_may_be_text_or_a_list() -> None:
    values: tuple[Json, ...] = ("always", ["always"])
    for value in values:
        settings, findings = decode_settings({"pull_policy": value}, PLACE)
        assert (settings.pull_policies, findings) == (("always",), [])
