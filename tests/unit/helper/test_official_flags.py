"""Every subcommand and flag of GitLab Runner 19.4's helper, with its variable: others call them."""

from __future__ import annotations

import importlib

import pytest

from podlane.helper.main import COMMANDS, Command

_SERVER = {
    "id": "CI_JOB_ID",
    "token": "CI_JOB_TOKEN",
    "url": "CI_SERVER_URL",
    "tls-ca-file": "CI_SERVER_TLS_CA_FILE",
    "tls-cert-file": "CI_SERVER_TLS_CERT_FILE",
    "tls-key-file": "CI_SERVER_TLS_KEY_FILE",
}
_METER = {"transfer-meter-frequency": "TRANSFER_METER_FREQUENCY"}
_RETRY = dict.fromkeys(["retry", "retry-time"], "")
_FILES = dict.fromkeys(["path", "exclude", "untracked", "verbose"], "")
_CACHE = {
    **dict.fromkeys(["file", "url", "gocloud-url", "timeout", "redact-url", "env-file"], ""),
    "transfer-buffer-size": "CACHE_TRANSFER_BUFFER_SIZE",
    "chunk-size": "CACHE_CHUNK_SIZE",
    "concurrency": "CACHE_CONCURRENCY",
}
OFFICIAL = {
    "artifacts-downloader": {
        **_SERVER, **_METER, **_RETRY,
        "direct-download": "FF_USE_DIRECT_DOWNLOAD",
        "archiver-staging-dir": "ARCHIVER_STAGING_DIR",
    },
    "artifacts-uploader": {
        **_SERVER, **_METER, **_FILES,
        **dict.fromkeys(["name", "expire-in", "artifact-format", "artifact-type"], ""),
        **dict.fromkeys(["timeout", "response-header-timeout"], ""),
        **dict.fromkeys(["generate-artifacts-metadata", "runner-id", "repo-url"], ""),
        **dict.fromkeys(["repo-digest", "job-name", "executor-name", "runner-name"], ""),
        **dict.fromkeys(["started-at", "ended-at", "schema-version", "metadata-parameter"], ""),
        "compression-level": "ARTIFACT_COMPRESSION_LEVEL",
        "ci-debug-trace": "CI_DEBUG_TRACE",
    },
    "cache-archiver": {
        **_CACHE, **_METER, **_RETRY, **_FILES,
        **dict.fromkeys(["alternate-file", "check-url", "header"], ""),
        "metadata": "CACHE_METADATA",
        "max-uploaded-archive-size": "CACHE_MAX_UPLOADED_ARCHIVE_SIZE",
        "compression-level": "CACHE_COMPRESSION_LEVEL",
        "compression-format": "CACHE_COMPRESSION_FORMAT",
    },
    "cache-extractor": {
        **_CACHE, **_METER, **_RETRY,
        **dict.fromkeys(["head-url", "alternate-url", "alternate-head-url"], ""),
        "alternate-gocloud-url": "",
    },
    "cache-init": {},
    "health-check": {"port": ""},
    "probe-url": dict.fromkeys(["url", "timeout", "ca-file", "insecure"], ""),
    "proxy-exec": dict.fromkeys(["bootstrap", "temp-dir"], ""),
    "read-logs": dict.fromkeys(["path", "offset", "wait-file-timeout"], ""),
    "verify-version": {"expected": ""},
}  # fmt: skip


def test_there_is_every_subcommand() -> None:
    assert set(OFFICIAL) <= set(COMMANDS)


@pytest.mark.parametrize("name", OFFICIAL)
def test_each_has_the_same_flags_and_variables(name: str) -> None:
    command: Command = importlib.import_module(f"podlane.helper.{name.replace('-', '_')}")
    ours = {flag.name: flag.env for flag in command.FLAGS}
    assert {flag: ours.get(flag) for flag in OFFICIAL[name]} == OFFICIAL[name]
