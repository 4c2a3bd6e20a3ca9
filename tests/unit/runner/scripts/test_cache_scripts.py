"""The scripts of caches and of provenance, run by every shell that may meet them."""

from __future__ import annotations

import json
import re
import subprocess
from pathlib import Path
from typing import Any

import pytest
from tests.fakes.jobs import MANAGER, a_job, a_runner

from podlane.model.job import Artifact, Cache, Variable
from podlane.runner.cache.settings import CacheSettings, CoordinatorCacheSettings
from podlane.runner.job.plan import make_plan

SHELLS = {"bash": ["bash"], "dash": ["dash"], "ash": ["busybox", "ash"]}
# Fails for every archive whose name is in $MISSING.
HELPER = r"""#!/bin/sh
printf '<%s>' "$@"; echo " $CACHE_METADATA"
for word; do [ "$word" ] && case " $MISSING " in *" $word "*) exit 1;; esac; done
exit 0
"""


@pytest.fixture(params=SHELLS, autouse=True)
def shell(request: pytest.FixtureRequest) -> list[str]:
    return SHELLS[request.param]


class Place:
    """Runs one sub-stage of a job that has caches."""

    def __init__(self, shell: list[str], builds: Path) -> None:
        self.shell = shell
        self.builds = builds
        helper = builds / "bin/gitlab-runner-helper"
        helper.parent.mkdir()
        helper.write_text(HELPER)
        helper.chmod(0o755)
        self.runner: dict[str, Any] = {"cache": CacheSettings(directory=f"{builds}/cache")}

    def run(self, stage: str, *, missing: str = "", **fields: Any) -> str:
        settings = a_runner(builds_dir=str(self.builds), **self.runner)
        plan = make_plan(a_job("true", **fields), settings, MANAGER)
        found = next(s for s in plan.execution.stages if s.substage.name == stage)
        Path(plan.execution.project_dir).mkdir(parents=True, exist_ok=True)
        (self.builds / "stage").write_text(found.script)
        env = {
            "PATH": f"{self.builds}/bin:/usr/bin:/bin",
            "HOME": "/nonexistent",
            "MISSING": missing,
        }
        done = subprocess.run(
            [*self.shell, str(self.builds / "stage")], env=env, check=False, text=True, timeout=20,
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
        )  # fmt: skip
        assert done.returncode == 0, done.stdout
        return re.sub(r"\x1b\[[0-9;]*m", "", done.stdout)


@pytest.fixture
def place(shell: list[str], tmp_path: Path) -> Place:
    return Place(shell, tmp_path)


def file(key: str) -> str:
    return f"../../cache/group/project/{key}/cache.zip"


def test_keys_are_tried_until_one_is_found(place: Place) -> None:
    cache = Cache(key="it's $CI", paths=("x",), fallback_keys=("b", "c"))
    missing = f"{file('b')}"
    out = place.run("restore_cache", cache=(cache,), missing=missing)
    assert out == (
        "Checking cache for it's true...\n"
        f"<cache-extractor><--file><{file(chr(105) + chr(116) + chr(39) + 's true')}>"
        "<--timeout><10> \nSuccessfully extracted cache\n"
    )
    cache = Cache(key="b", paths=("x",), fallback_keys=("c", "d"))
    out = place.run("restore_cache", cache=(cache,), missing=missing)
    assert re.findall("Checking.*|Success.*|Failed.*", out) == [
        "Checking cache for b...", "Failed to extract cache",
        "Checking cache for c...", "Successfully extracted cache",
    ]  # fmt: skip


def test_the_archiver_gets_paths_key_and_metadata(place: Place) -> None:
    cache = Cache(key="k", paths=("a b", "$CI/*"), untracked=True)
    minutes = [Variable(key="CACHE_REQUEST_TIMEOUT", value="3")]
    out = place.run("archive_cache", cache=(cache,), more_variables=minutes)
    first, call, last = out.splitlines()
    assert (first, last) == ("Creating cache k...", "Created cache")
    words, _, metadata = call.partition("> ")
    assert json.loads(metadata) == {"cachekey": "k"}
    expected = f"<cache-archiver><--file><{file('k')}><--alternate-file><"
    assert words.startswith(expected)
    assert words.endswith("<--timeout><3><--path><a b><--path><true/*><--untracked")


def test_the_helper_is_told_to_hide_addresses(place: Place) -> None:
    place.runner["cache"] = CacheSettings(redact_url=True)
    cache = (Cache(key="k", paths=("x",)),)
    assert "<--redact-url>" in place.run("restore_cache", cache=cache)
    assert "<--redact-url>" in place.run("archive_cache", cache=cache)


def test_a_failure_is_a_warning(place: Place) -> None:
    out = place.run("archive_cache", cache=(Cache(key="k", paths=("x",)),), missing=file("k"))
    assert out.endswith("Failed to create cache\n")


def test_policies_are_told(place: Place) -> None:
    caches = (
        Cache(key="in", paths=("x",), policy="pull"),
        Cache(key="out", paths=("x",), policy="push"),
        Cache(key="..", paths=("x",)),
    )
    out = place.run("restore_cache", cache=caches)
    assert "Not downloading cache out due to policy\n" in out
    assert "Skipping cache extraction due to cache key '..' could not be sanitized\n" in out
    out = place.run("archive_cache", cache=caches)
    assert "Not uploading cache in due to policy\n" in out
    assert "Skipping cache archiving due to" in out


def test_a_storage_gets_urls_under_both_names(place: Place) -> None:
    place.runner["cache"] = CacheSettings(
        shared=True, max_uploaded_archive_bytes=99, storage=CoordinatorCacheSettings()
    )
    cache = (Cache(key="k", paths=("x",)),)
    out = place.run("restore_cache", cache=cache)
    base = "https://gitlab.example.com/podlane/v1/jobs/10/cache/project/123"
    flags = re.findall(r"<(--[a-z-]*url)><([^?>]*)\?x-podlane-signature=[0-9a-f]{64}>", out)
    digest = "8254c329a92850f6d539dd376f4816ee2764517da5e0235514af433164480d7a"
    hashed = f"{base}/{digest[:2]}/{digest}"
    assert flags == [
        ("--url", f"{base}/k"), ("--head-url", f"{base}/k"),
        ("--alternate-url", hashed), ("--alternate-head-url", hashed),
    ]  # fmt: skip
    out = place.run("archive_cache", cache=cache)
    assert re.findall(r"<(--[a-z-]*url)>", out) == ["--url", "--check-url"]
    assert "<--max-uploaded-archive-size><99>" in out


def test_what_was_extracted_in_part_is_removed_where_asked(place: Place) -> None:
    (place.builds / "group/project/x").mkdir(parents=True)
    flag = [Variable(key="FF_CLEAN_UP_FAILED_CACHE_EXTRACT", value="true")]
    cache = (Cache(key="k", paths=("x",)),)
    place.run("restore_cache", cache=cache, missing=file("k"))
    assert (place.builds / "group/project/x").exists()
    place.run("restore_cache", cache=cache, missing=file("k"), more_variables=flag)
    assert not (place.builds / "group/project/x").exists()


def test_provenance_names_the_variables_and_no_value(place: Place) -> None:
    more = [
        Variable(key="RUNNER_GENERATE_ARTIFACTS_METADATA", value="true"),
        Variable(key="PASSWORD", value="hunter2"),
        Variable(key="CI_JOB_STARTED_AT", value="2026-01-02T03:04:05Z"),
    ]
    out = place.run(
        "upload_artifacts_on_success", artifacts=(Artifact(paths=("x",)),), more_variables=more
    )
    assert "<--generate-artifacts-metadata>" in out
    assert "<--repo-url><https://gitlab.example.com/group/project>" in out
    assert "<--metadata-parameter><PASSWORD>" in out
    assert "hunter2" not in out
    assert "<--started-at><2026-01-02T03:04:05Z>" in out
    assert re.search(r"<--ended-at><20\d\d-\d\d-\d\dT\d\d:\d\d:\d\dZ>", out)
