"""The table of options: complete, unambiguous, and read as GitLab Runner reads them."""

from __future__ import annotations

import json
import tomllib
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from podlane.executors.kubernetes.settings import official_keys
from podlane.executors.kubernetes.settings.keys import KubernetesSettings
from podlane.kit.errors import UsageError
from podlane.kit.jsonvalue import Json
from podlane.runner.administration.config_edit import ConfigEdit
from podlane.runner.configuration import flags
from podlane.runner.configuration.config_file import read_config
from podlane.runner.configuration.flags import Flag, Kind

TABLE = {flag.option: flag for flag in flags.runner_flags()}


def test_no_option_and_no_variable_means_two_settings() -> None:
    for counts in (
        Counter(flag.option for flag in flags.runner_flags()),
        Counter(flag.variable for flag in flags.runner_flags()),
    ):
        assert [name for name, count in counts.items() if count > 1] == []


@pytest.mark.parametrize(
    ("option", "variable"),
    [
        ("--url", "CI_SERVER_URL"),
        ("--limit", "RUNNER_LIMIT"),
        ("--env", "RUNNER_ENV"),
        ("--prepare-timeout", "RUNNER_PREPARE_TIMEOUT"),
        ("--cache-redact-url", "CACHE_REDACT_URL"),
        ("--cache-s3-assume-role-max-concurrency", "CACHE_S3_ASSUME_ROLE_MAX_CONCURRENCY"),
        ("--job-status-final-update-retry-limit", "RUNNER_job_status_final_update_retry_limit"),
        ("--custom-build-dir-enabled", "CUSTOM_BUILD_DIR_ENABLED"),
        ("--cache-s3-server-address", "CACHE_S3_SERVER_ADDRESS"),
        ("--cache-s3-server-side-encryption-key-id", "CACHE_S3_SERVER_SIDE_ENCRYPTION_KEY_ID"),
        ("--cache-s3-upload-role-arn", "CACHE_S3_UPLOAD_ROLE_ARN"),
        ("--kubernetes-namespace", "KUBERNETES_NAMESPACE"),
        ("--kubernetes-context", "KUBECTL_CONTEXT"),
        ("--kubernetes-cpu-limit", "KUBERNETES_CPU_LIMIT"),
        (
            "--kubernetes-pod-security-context-run-as-user",
            "KUBERNETES_POD_SECURITY_CONTEXT_RUN_AS_USER",
        ),
        ("--kubernetes-pod-memory-limit", "KUBERNETES_POD_MEMORY_LIMIT"),
        ("--kubernetes-affinity", "KUBERNETES_AFFINITY"),
        ("--kubernetes-pod-spec", "KUBERNETES_POD_SPEC"),
    ],
)
def test_options_and_variables_have_the_official_names(option: str, variable: str) -> None:
    assert TABLE[option].variable == variable


@pytest.mark.parametrize("flag", flags.runner_flags(), ids=lambda flag: flag.option)
def test_every_option_is_a_setting_that_the_file_knows(flag: Flag) -> None:
    samples: dict[Kind, Json] = {
        Kind.TEXT: "10m", Kind.NUMBER: 1, Kind.FLAG: True, Kind.LIST: ["A=1"],
        Kind.TABLE: {}, Kind.JSON: [],
    }  # fmt: skip
    edit = ConfigEdit(Path("config.toml"), "")
    edit.add(flags.entry_of({flag.path: samples[flag.kind]}))
    _, found = read_config(edit.text(), "config.toml", environ={})
    unknown = ("setting-unknown", "setting-type")
    assert [finding.message for finding in found if finding.code in unknown] == []


@pytest.mark.parametrize(
    ("option", "given", "value"),
    [
        ("--limit", ("3",), 3),
        ("--kubernetes-privileged", ("true",), True),
        ("--kubernetes-privileged", ("0",), False),
        ("--env", ("A=1", "B=x,y"), ["A=1", "B=x,y"]),
        ("--env", ('["A=1", "B=2"]',), ["A=1", "B=2"]),
        ("--kubernetes-node-selector", ("disk=ssd", "zone:a"), {"disk": "ssd", "zone": "a"}),
        ("--kubernetes-node-selector", ('{"disk": "ssd"}',), {"disk": "ssd"}),
        ("--feature-flags", ("FF_TIMESTAMPS=false",), {"FF_TIMESTAMPS": False}),
        ("--kubernetes-retry-limits", ("exceeded quota=20",), {"exceeded quota": 20}),
        ("--kubernetes-host-aliases", ("[]",), []),
        ("--kubernetes-pod-spec", ('[{"patch": "a: b"}]',), [{"patch": "a: b"}]),
    ],
)
def test_what_is_given_is_read(option: str, given: tuple[str, ...], value: Json) -> None:
    assert flags.parse(TABLE[option], given) == value


def test_tables_of_tables_are_given_as_json_and_written_as_toml() -> None:
    term = {"match_expressions": [{"key": "disk", "operator": "In", "values": ["ssd"]}]}
    required = {"node_selector_terms": [term]}
    affinity: Any = {
        "node_affinity": {"required_during_scheduling_ignored_during_execution": required}
    }
    patches: Any = [
        {"name": "a", "patch": "hostname: a\n", "patch_type": "merge"},
        {"name": "b", "patch": '[{"op": "remove", "path": "/x"}]', "patch_type": "json"},
    ]
    edit = ConfigEdit(Path("config.toml"), "")
    given = {"--kubernetes-affinity": affinity, "--kubernetes-pod-spec": patches}
    edit.add(
        flags.entry_of(
            {
                TABLE[option].path: flags.parse(TABLE[option], (json.dumps(value),))
                for option, value in given.items()
            }
        )
    )
    written = tomllib.loads(edit.text())["runners"][0]["kubernetes"]
    assert (written["affinity"], written["pod_spec"]) == (affinity, patches)


@pytest.mark.parametrize(
    ("option", "given"),
    [
        ("--limit", "x"),
        ("--kubernetes-privileged", "yes"),
        ("--env", '["A'),
        ("--kubernetes-node-selector", "disk"),
        ("--kubernetes-host-aliases", "{"),
    ],
)
def test_what_cannot_be_read_is_named(option: str, given: str) -> None:
    with pytest.raises(UsageError, match=option):
        flags.parse(TABLE[option], (given,))


def test_variables_hold_lists_with_commas_or_json() -> None:
    assert flags.words("A=1, B=2,") == ("A=1", "B=2")
    assert flags.words('["A=1,2"]') == ('["A=1,2"]',)


def test_tables_are_merged_key_by_key() -> None:
    under: dict[str, Json] = {"a": {"x": 1, "y": 2}, "b": 1, "c": {"z": 1}}
    assert flags.merged(under, {"a": {"y": 3}, "b": {"n": 1}}) == {
        "a": {"x": 1, "y": 3}, "b": {"n": 1}, "c": {"z": 1},
    }  # fmt: skip


def test_every_key_of_the_executor_has_an_option() -> None:
    keys = {*KubernetesSettings.__struct_fields__, *official_keys.NOT_YET}
    accepted = {*TABLE, *flags.not_yet()}
    words = {key: f"--kubernetes-{key.replace('_', '-')}" for key in keys}
    assert [
        key for key, word in words.items() if not any(a.startswith(word) for a in accepted)
    ] == []


@pytest.mark.parametrize(
    ("option", "executor"),
    [
        ("--docker-image", "docker"),
        ("--machine-idle-nodes", "machine"),
        ("--custom-run-exec", "custom"),
        ("--docker", ""),
        ("--kubernetes-x", ""),
        ("--x", ""),
    ],
)
def test_options_of_other_executors_are_known_as_such(option: str, executor: str) -> None:
    assert flags.of_other_executors(option) == executor


def test_variables_of_what_is_not_supported_are_named() -> None:
    environ = {
        "KUBERNETES_SUSPEND_PVC_SIZE": "3Gi",
        "KUBERNETES_PORT": "tcp://x",
        "KUBERNETES_AFFINITY": "",
    }
    assert flags.not_supported(environ) == ["KUBERNETES_SUSPEND_PVC_SIZE"]
