"""Every key of GitLab Runner 19.4's ``config.toml`` is known here: used, or said to have no effect."""

from __future__ import annotations

import pytest

from podlane.executors.kubernetes.settings import official_keys
from podlane.executors.kubernetes.settings.keys import KubernetesSettings
from podlane.runner.configuration.config_file import read_config

# Each table with its keys; the values only have the right types.
GLOBAL = """
listen_address = ":9252"
concurrent = 7
check_interval = 7
log_level = "info"
log_format = "json"
log_field_schema_version = 1
log_field_dual_emit_target = 2
user = "x"
sentry_dsn = "https://x"
connection_max_age = "1m"
shutdown_timeout = 7
labels = {a = "b"}
[machine]
x = 1
[experimental.usage_logger]
[session_server]
listen_address = ":8093"
advertise_address = "runner.example.com:8093"
session_timeout = 1800
"""
RUNNER = """
[[runners]]
name = "x"
limit = 7
output_limit = 7
request_concurrency = 7
strict_check_interval = true
unhealthy_requests_limit = 7
unhealthy_interval = "1m"
job_status_final_update_retry_limit = 7
url = "https://gitlab.example.com"
id = 7
token = "glrt-x"
token_obtained_at = 2024-01-01T00:00:00Z
token_expires_at = 2024-01-01T00:00:00Z
tls-ca-file = "ca.pem"
tls-cert-file = "cert.pem"
tls-key-file = "key.pem"
executor = "kubernetes"
builds_dir = "/b"
cache_dir = "/c"
clone_url = "https://x"
environment = ["A=b"]
proxy_exec = true
pre_get_sources_script = "x"
post_get_sources_script = "x"
pre_build_script = "x"
post_build_script = "x"
prepare_timeout = "1m"
get_sources_timeout = "1m"
debug_trace_disabled = true
safe_directory_checkout = true
clean_git_config = true
shell = "bash"
labels = {a = "b"}
feature_flags = {FF_TIMESTAMPS = true}
use_slot_cgroups = true
slot_cgroup_template = "x"
step_runner_image = "x"
"""
TABLES = """
[runners.experimental.boot_verify]
enabled = true
[runners.custom_build_dir]
enabled = true
[runners.referees]
[runners.cache]
Type = "s3"
Path = "x"
Shared = true
MaxUploadedArchiveSize = 7
RedactURL = true
[runners.cache.s3]
ServerAddress = "s3.example.com"
AccessKey = "x"
SecretKey = "x"
SessionToken = "x"
BucketName = "x"
BucketLocation = "x"
Insecure = true
AuthenticationType = "access-key"
ServerSideEncryption = "KMS"
ServerSideEncryptionKeyID = "alias/x"
DualStack = true
PathStyle = true
Accelerate = false
RoleARN = "arn:aws:iam::1:role/x"
UploadRoleARN = "arn:aws:iam::1:role/x"
AssumeRoleMaxConcurrency = 7
DisableAssumeRoleCredentialsCaching = true
[runners.cache.gcs]
CredentialsFile = "x"
AccessID = "x"
PrivateKey = "x"
BucketName = "x"
UniverseDomain = "x"
[runners.cache.azure]
AccountName = "x"
AccountKey = "eA=="
ContainerName = "x"
StorageDomain = "x"
[runners.artifact]
upload_timeout = "1m"
response_header_timeout = "1m"
[runners.monitoring]
[[runners.monitoring.job_queuing_durations]]
periods = ["* * * * * * *"]
timezone = "UTC"
threshold = "1m"
jobs_running_for_project = "0"
[runners.instance]
[runners.ssh]
[runners.docker]
[runners.parallels]
[runners.virtualbox]
[runners.machine]
[runners.custom]
[runners.autoscaler]
"""
WITHOUT_EFFECT = (
    "experimental", "log_field_dual_emit_target", "log_field_schema_version", "machine",
    "runners.cache.gcs.UniverseDomain", "runners.experimental", "runners.proxy_exec",
    "runners.slot_cgroup_template", "runners.step_runner_image", "runners.use_slot_cgroups",
    "sentry_dsn", "user",
)  # fmt: skip


def test_every_key_is_used_or_said_to_have_no_effect() -> None:
    _, found = read_config(GLOBAL + RUNNER + TABLES, "config.toml", environ={})
    assert {finding.code for finding in found} == {"setting-not-supported"}
    assert sorted(finding.message.split(" ")[0] for finding in found) == sorted(WITHOUT_EFFECT)
    assert all(finding.hint for finding in found)


def test_every_key_of_the_executor_is_used_or_refused() -> None:
    used = set(KubernetesSettings.__struct_fields__)
    assert not used & official_keys.NOT_YET


@pytest.mark.parametrize(
    ("text", "finding"),
    [
        (
            'metrics_server = ":9252"',
            "1: metrics_server was removed from GitLab Runner and has no effect",
        ),
        (
            "log_field_schema_version = -1",
            "1: log_field_schema_version: must be at least 0",
        ),
        (
            "log_field_schema_version = 2\nlog_field_dual_emit_target = 1",
            "2: log_field_dual_emit_target: must be greater than log_field_schema_version (2)",
        ),
        (
            '[session_server]\nlisten_address = "a:1"\nsession_timeout = 60',
            "3: session_server.session_timeout is a setting of GitLab Runner that",
        ),
        (
            '[[runners]]\nurl = "u"\ntoken = "t"\n[runners.cache]\nSecretKey = "k"',
            "5: runners.cache.SecretKey was removed from GitLab Runner and has no effect",
        ),
    ],
)
def test_old_and_wrong_keys_are_said_with_their_line(text: str, finding: str) -> None:
    _, found = read_config(text, "config.toml", environ={})
    said = [f"{each.place.line}: {each.message}" for each in found]
    assert [line for line in said if line.startswith(finding)]


@pytest.mark.parametrize(
    ("written", "seconds"),
    [('"30m"', 1800.0), ("0", 0.0), ('"-1s"', -1.0), ("60000000000", 60.0)],
)
def test_the_age_of_connections_is_a_duration(written: str, seconds: float) -> None:
    text = f'connection_max_age = {written}\n[[runners]]\nurl = "u"\ntoken = "t"\n'
    settings, found = read_config(text + 'executor = "kubernetes"', "config.toml", environ={})
    assert not found
    assert settings.runners[0].connection_max_age_seconds == seconds
