from __future__ import annotations

from pathlib import Path

import pytest

from podlane.kit.diagnostics import Diagnostic, Severity
from podlane.kit.errors import UsageError
from podlane.runner.cache.settings import (
    AzureSettings,
    CacheSettings,
    CoordinatorCacheSettings,
    GcsSettings,
    S3Settings,
    StorageSettings,
)
from podlane.runner.configuration.config_file import load_config, read_config
from podlane.runner.configuration.settings import GlobalSettings, RunnerSettings
from podlane.runner.configuration.toml_table import without_secrets

OFFICIAL = """\
concurrent = 7
check_interval = 0
log_level = "warn"
shutdown_timeout = 0

[session_server]
  session_timeout = 1800

[[runners]]
  name = "k8s runner"
  url = "https://gitlab.example.com/"
  id = 3
  token = "glrt-abc"
  token_obtained_at = 2024-01-01T00:00:00Z
  token_expires_at = 0001-01-01T00:00:00Z
  executor = "kubernetes"
  limit = 5
  output_limit = 8192
  unhealthy_interval = "5m"
  environment = ["A=1", "B=x=y"]
  pre_build_script = \"\"\"
  echo one
  unknown_looking = "but inside a string"
  \"\"\"
  [runners.custom_build_dir]
    enabled = false
  [runners.feature_flags]
    FF_SCRIPT_SECTIONS = true
  [runners.artifact]
    upload_timeout = "2h"
  [runners.kubernetes]
    namespace = "ci"
    image = "alpine"
    [runners.kubernetes.node_selector]
      disk = "ssd"

[[runners]]
  name = "second"
  url = "$GITLAB/x"
  token = "${TOKEN}"
  executor = "kubernetes"
"""


def read(text: str) -> tuple[GlobalSettings, tuple[Diagnostic, ...]]:
    environ = {"GITLAB": "https://other.example.com", "TOKEN": "glrt-two"}
    return read_config(text, "config.toml", environ=environ)


def a_runner_with(lines: str) -> tuple[RunnerSettings, list[str]]:
    text = f'[[runners]]\nurl = "u"\ntoken = "t"\nexecutor = "kubernetes"\n{lines}\n'
    settings, found = read(text)
    return settings.runners[0], [f"{d.place.line}: {d.message}" for d in found]


def test_an_official_file_is_read_as_it_is() -> None:
    settings, found = read(OFFICIAL)
    assert found == ()
    assert settings.concurrent == 7
    assert settings.check_interval_seconds == 3.0
    assert settings.log_level == "warning"
    first, second = settings.runners
    assert first.limit == 5
    assert first.output_limit_kib == 8192
    assert first.unhealthy_interval_seconds == 300
    assert [(v.key, v.value) for v in first.environment] == [("A", "1"), ("B", "x=y")]
    assert not first.custom_build_dir_enabled
    assert first.feature_flags == (("FF_SCRIPT_SECTIONS", True),)
    assert first.artifact_upload_timeout == "2h"
    assert first.executor_table["namespace"] == "ci"
    assert (second.url, second.token) == ("https://other.example.com/x", "glrt-two")


@pytest.mark.parametrize(
    ("lines", "finding"),
    [
        ("limits = 3", "5: runners.limits is not a known setting"),
        ('limit = "3"', "5: runners.limit: expected a whole number, got '3'"),
        ("limit = true", "5: runners.limit: expected a whole number, got True"),
        (
            'unhealthy_interval = "soon"',
            "5: runners.unhealthy_interval: expected a duration such as 1h30m, got 'soon'",
        ),
        ('shell = "pwsh"', '5: runners.shell: "pwsh" is not supported'),
        ('builds_dir = "builds"', "5: runners.builds_dir: must be an absolute path in the pod"),
        ('environment = ["A"]', "5: runners.environment: 'A' is not KEY=value"),
        (
            "[runners.cache]\nType = 's4'",
            '6: runners.cache.Type: "s4" is none of s3, gcs, azure, coordinator',
        ),
        ("[runners.cache]\nType = 's3'", "5: runners.cache.s3.BucketName: must be given"),
        (
            "[runners.cache]\nType = 's3'\ns3 = {BucketName = 'b', AuthenticationType = 'x'}",
            '7: runners.cache.s3.AuthenticationType: "x" is neither iam nor access-key',
        ),
        ('cache_dir = "cache"', "5: runners.cache_dir: must be an absolute path in the pod"),
        (
            "[runners.feature_flags]\nFF_SCRIPT_SECTION = true",
            "6: runners.feature_flags.FF_SCRIPT_SECTION is not a known setting",
        ),
        (
            "[runners.feature_flags]\nff_timestamps = true",
            "6: runners.feature_flags.ff_timestamps is not a known setting",
        ),
        (
            "[runners.kubernetes]\nnamespace = 'x'\nimages = 'y'",
            "7: runners.kubernetes.images is not a known setting",
        ),
        (
            "[runners.kubernetes]\n\ncpu_limit = 'lots'",
            '7: runners.kubernetes.cpu_limit: "lots" is not a quantity',
        ),
    ],
)
def test_each_finding_has_its_line(lines: str, finding: str) -> None:
    assert a_runner_with(lines)[1] == [finding]


CACHE = """
cache_dir = "/srv/cache"
[runners.cache]
Type = "s3"
Path = "prefix"
Shared = true
MaxUploadedArchiveSize = 100
[runners.cache.s3]
ServerAddress = "minio.example.com"
AccessKey = "AK"
SecretKey = "SK"
BucketName = "bucket"
BucketLocation = "eu-west-1"
Insecure = true
PathStyle = false
[runners.cache.gcs]
[runners.cache.azure]
"""


def test_the_official_cache_settings_are_read() -> None:
    settings, found = a_runner_with(CACHE)
    assert found == []
    assert settings.cache == CacheSettings(
        directory="/srv/cache", path="prefix", shared=True, max_uploaded_archive_bytes=100,
        storage=S3Settings(
            server_address="minio.example.com", access_key="AK", secret_key="SK", bucket="bucket",
            region="eu-west-1", insecure=True, path_style=False,
        ),
    )  # fmt: skip
    assert "SK" not in repr(settings)


@pytest.mark.parametrize(
    ("table", "storage"),
    [
        ("Type = 'gcs'\n[runners.cache.gcs]\nBucketName = 'b'", GcsSettings(bucket="b")),
        (
            "Type = 'azure'\n[runners.cache.azure]\nContainerName = 'c'\nAccountName = 'a'",
            AzureSettings(container="c", account_name="a"),
        ),
        ("Type = 'coordinator'", CoordinatorCacheSettings()),
        ("MaxUploadedArchiveSize = 0", None),
    ],
)
def test_each_kind_of_storage_is_read(table: str, storage: StorageSettings | None) -> None:
    settings, found = a_runner_with(f"[runners.cache]\n{table}")
    assert found == []
    assert settings.cache.storage == storage


def test_a_near_miss_is_suggested() -> None:
    _, found = read("concurent = 3")
    assert found[0].hint == "did you mean concurrent?"


def test_what_a_runner_cannot_do_without_is_asked_for() -> None:
    _, found = read('[[runners]]\nname = "x"')
    assert [d.message for d in found] == [
        "runners.url: must be given",
        "runners.token: must be given",
        "runners.executor: must be given",
    ]
    assert {d.place.line for d in found} == {1}


def test_concurrent_zero_is_an_error() -> None:
    assert read("concurrent = 0")[1][0].message == "concurrent: must be at least 1"


def test_broken_toml_has_its_place() -> None:
    _, found = read("concurrent = 1\n[[runners]\n")
    assert (found[0].place.line, found[0].place.column) == (2, 10)


def test_the_second_runner_has_lines_of_its_own() -> None:
    text = OFFICIAL + "  limitt = 4\n"
    _, found = read(text)
    assert found[-1].place.line == text.count("\n")


def test_a_missing_file_is_a_sentence(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"cannot read .*config\.toml: No such file"):
        load_config(tmp_path / "config.toml")


def test_a_session_server_is_on_where_it_has_an_address() -> None:
    settings, found = read(
        '[session_server]\nlisten_address = ":8093"\nadvertise_address = "a:1"\n'
    )
    assert found == ()
    server = settings.session_server
    assert (server.host, server.port, server.advertise_host) == ("", 8093, "a")
    settings, found = read('[session_server]\nlisten_address = "[::1]:8093"\n')
    assert found == ()
    assert (settings.session_server.host, settings.session_server.advertise_host) == ("::1", "::1")


@pytest.mark.parametrize(
    ("lines", "line"),
    [
        ("session_timeout = 1\nlisten = 3", 3),
        ('listen_address = ":8093"', 1),
        ('listen_address = "here"', 2),
        ('listen_address = "a:1"\nadvertise_address = ":8093"', 3),
    ],
)
def test_a_session_server_that_gitlab_cannot_reach_is_an_error(lines: str, line: int) -> None:
    settings, found = read(f"[session_server]\n{lines}\n")
    assert [(d.severity, d.place.line) for d in found] == [(Severity.ERROR, line)]
    assert settings.session_server.listen_address == ""


def test_what_register_writes_of_a_token_is_read() -> None:
    runner, found = a_runner_with(
        "id = 3\ntoken_obtained_at = 2024-01-01T00:00:00Z\ntoken_expires_at = 2024-01-02T00:00:00Z"
    )
    assert found == []
    assert runner.id == 3
    assert runner.token_obtained_at == 1704067200.0
    assert runner.token_expires_at == 1704153600.0
    unset, _ = a_runner_with("token_expires_at = 0001-01-01T00:00:00Z")
    assert unset.token_expires_at is None


def test_the_case_of_keys_does_not_matter() -> None:
    settings, found = a_runner_with(
        "Limit = 3\n[runners.CACHE]\ntype = 'gcs'\n[runners.CACHE.GCS]\n"
    )
    assert settings.limit == 3
    assert found == ["8: runners.cache.gcs.BucketName: must be given"]


def test_numbers_that_make_no_sense_are_the_defaults_as_in_gitlab_runner() -> None:
    runner, found = a_runner_with(
        "unhealthy_requests_limit = 0\njob_status_final_update_retry_limit = -1\noutput_limit = -5"
    )
    assert found == []
    assert (runner.unhealthy_requests_limit, runner.final_update_tries) == (3, 10)
    assert runner.output_limit_kib == 4096
    assert read("shutdown_timeout = -1")[0].shutdown_timeout_seconds == 30.0


def test_a_path_style_in_lower_case_counts() -> None:
    s3 = "[runners.cache]\nType = 's3'\n[runners.cache.s3]\nbucketname = 'b'\npathstyle = true\n"
    storage = a_runner_with(s3)[0].cache.storage
    assert isinstance(storage, S3Settings)
    assert (storage.bucket, storage.path_style) == ("b", True)


def test_words_are_read_in_any_case() -> None:
    settings, found = read('log_level = "WARN"\nlog_format = "JSON"\n')
    assert (settings.log_level, settings.log_format, found) == ("warning", "json", ())


def test_no_error_shows_what_may_be_secret() -> None:
    text = """
[[runners]]
token = 4711
[runners.cache]
s3 = {SecretKey = 4712}
gcs = [4713]
"""
    _, found = read(text)
    said = " ".join(f"{finding.message} {finding.hint}" for finding in found)
    assert "runners.token: expected a string, got something else" in said
    assert "471" not in said


def test_tables_of_a_runner_without_the_runner_are_explained() -> None:
    _, found = read("[runners.kubernetes]\nbearer_token = 'hidden'\n")
    assert found[0].message == "runners: [runners…] without [[runners]] above it"
    assert found[0].hint == "each entry begins with [[runners]], its tables stand below it"
    assert found[0].place.line == 1


REGISTERED = """
concurrent = 1
check_interval = 0
shutdown_timeout = 0

[session_server]
  session_timeout = 1800

[[runners]]
  name = "runner"
  url = "https://gitlab.example.com"
  id = 1
  token = "glrt-x"
  token_obtained_at = 2026-01-01T00:00:00Z
  token_expires_at = 0001-01-01T00:00:00Z
  executor = "kubernetes"
  [runners.custom_build_dir]
  [runners.cache]
    MaxUploadedArchiveSize = 0
    [runners.cache.s3]
    [runners.cache.gcs]
    [runners.cache.azure]
  [runners.kubernetes]
    host = ""
    bearer_token_overwrite_allowed = false
    image = "alpine"
    namespace = ""
    namespace_overwrite_allowed = ""
    namespace_per_job = false
    node_selector_overwrite_allowed = ""
    node_tolerations_overwrite_allowed = ""
    pod_labels_overwrite_allowed = ""
    service_account_overwrite_allowed = ""
    pod_annotations_overwrite_allowed = ""
    [runners.kubernetes.pod_security_context]
    [runners.kubernetes.init_permissions_container_security_context]
      [runners.kubernetes.init_permissions_container_security_context.capabilities]
    [runners.kubernetes.build_container_security_context]
    [runners.kubernetes.helper_container_security_context]
    [runners.kubernetes.service_container_security_context]
    [runners.kubernetes.volumes]
    [runners.kubernetes.dns_config]
    [runners.kubernetes.affinity]
      [runners.kubernetes.affinity.node_affinity]
    [runners.kubernetes.container_lifecycle]
"""


def test_what_gitlab_runner_writes_at_registration_is_read_without_a_finding() -> None:
    settings, found = read(REGISTERED)
    assert found == ()
    assert settings.runners[0].executor_table["image"] == "alpine"


def test_a_key_that_we_do_not_do_is_refused_when_it_says_something() -> None:
    text = REGISTERED.replace('host = ""', "suspend_pvc_size = '1Gi'")
    _, found = read(text)
    assert [finding.code for finding in found] == ["setting-not-supported"]
    assert "suspend_pvc_size" in found[0].message


def test_a_removed_key_of_the_executor_only_warns_and_says_what_to_write() -> None:
    _, found = read(REGISTERED.replace('host = ""', "terminationGracePeriodSeconds = 30"))
    assert [(f.severity, f.place.line, f.hint) for f in found] == [
        (Severity.WARNING, 24, "write pod_termination_grace_period_seconds")
    ]


def test_a_removed_key_of_a_runner_is_said_to_have_no_effect() -> None:
    _, found = a_runner_with("tls-skip-verify = true")
    assert found == ["5: runners.tls-skip-verify was removed from GitLab Runner and has no effect"]


def test_a_file_is_shown_without_what_gives_access() -> None:
    text = """token = "glrt-hidden"  # comment
token_expires_at = 2026-01-01T00:00:00Z
  SecretKey='hid den'
s3 = {AccessKey = "hidden", BucketName = "b", "SecretKey" = "hidden"}
bearer_token = hidden
privatekey = \"\"\"hidden
tokens = 3
token = ""
s3 = {SecretKey = '', AccessKey = ""}
"""
    assert (
        without_secrets(text)
        == """token = "…"  # comment
token_expires_at = 2026-01-01T00:00:00Z
  SecretKey="…"
s3 = {AccessKey = "…", BucketName = "b", "SecretKey" = "…"}
bearer_token = "…"
privatekey = "…"
tokens = 3
token = ""
s3 = {SecretKey = '', AccessKey = ""}
"""
    )
