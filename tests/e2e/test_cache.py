"""Caches: saved by one job, found by the next pipeline, in the pods of a real cluster."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.e2e.conftest import Cluster, Project, Run
from tests.fakes.s3_server import BUCKET, running_s3

pytestmark = pytest.mark.e2e


@pytest.fixture(autouse=True)
def data_dir(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Caches of our own: those of this machine stay as they are."""
    made = tmp_path_factory.mktemp("data")
    monkeypatch.setenv("PODLANE_DATA_DIR", str(made))
    return made


CONFIG = """
[[runners]]
url = "http://unused"
token = "unused"
executor = "kubernetes"
[runners.cache]
Type = "s3"
Path = "some/path"
Shared = true
[runners.cache.s3]
ServerAddress = "{server}"
Insecure = true
BucketName = "caches"
AccessKey = "AKID"
SecretKey = "SECRET-KEY"
[runners.kubernetes.pod_annotations]
"podlane.dev/host-ports" = "{port}"
"""
VOLUME = """
[[runners]]
url = "http://unused"
token = "unused"
executor = "kubernetes"
cache_dir = "/kept"
[[runners.kubernetes.volumes.host_path]]
name = "caches"
mount_path = "/kept"
host_path = "{path}"
"""
PUSH_AND_PULL = """
install:
  stage: build
  image: alpine
  cache: {key: deps, paths: [vendor/]}
  script:
    - cat vendor/lib 2>/dev/null || echo nothing yet
    - mkdir -p vendor/bin && cat /proc/sys/kernel/random/uuid > vendor/lib
    - cat vendor/lib
    - printf '#!/bin/sh\\necho runs\\n' > vendor/bin/tool && chmod +x vendor/bin/tool
use:
  stage: test
  image: steveazz/noroot-alpine
  cache: {key: deps, paths: [vendor/], policy: pull}
  script:
    - vendor/bin/tool
    - echo changed > vendor/lib || echo not mine
"""


def test_a_cache_reaches_the_next_job_and_the_next_pipeline(project: Project, run: Run) -> None:
    folder = project(PUSH_AND_PULL)
    first = run(folder)
    assert first.code == 0, first
    assert "WARNING: Cache file does not exist" in first.trace("install")
    assert "Failed to extract cache" in first.trace("install")
    assert "Created cache" in first.trace("install")
    assert "Successfully extracted cache" in first.trace("use")
    assert "\nruns\n" in first.trace("use")
    assert "Not uploading cache deps-protected due to policy" in first.trace("use")
    before = first
    for _ in range(2):  # at once: clocks that know seconds only must not hide a change
        stamp = before.trace("install").partition("$ cat vendor/lib\x1b[0;m\n")[2].split("\n")[0]
        after = run(folder)
        assert after.code == 0, after
        assert len(stamp) == 36
        assert f"\n{stamp}\n" in after.trace("install")
        assert "x-podlane-signature" not in after.out
        before = after


def test_fallback_keys_are_tried_in_order(project: Project, run: Run) -> None:
    ran = run(
        project("""
        save:
          stage: build
          image: alpine
          cache: {key: other, paths: [c.txt], unprotect: true}
          script: [echo from the fallback > c.txt]
        load:
          stage: test
          image: alpine
          variables: {CACHE_FALLBACK_KEY: other-non_protected}  # the runner's: it gets no suffix
          cache:
            key: "$CI_JOB_NAME"
            paths: [c.txt]
            policy: pull
            fallback_keys: [missing]
          script: [cat c.txt]
    """)
    )
    assert ran.code == 0, ran
    trace = ran.trace("load")
    keys = ("load-protected", "missing-protected", "other-non_protected")
    order = [trace.index(f"Checking cache for {key}...") for key in keys]
    assert order == sorted(order)
    assert "\nfrom the fallback\n" in trace


def test_a_failed_job_saves_what_is_for_failures(project: Project, run: Run) -> None:
    ran = run(
        project("""
        fails:
          stage: build
          image: alpine
          allow_failure: true
          cache:
            - {key: good, paths: [good.txt]}
            - {key: bad, paths: [bad.txt], when: on_failure}
          script: [echo x > good.txt, echo y > bad.txt, exit 3]
        looks:
          stage: test
          image: alpine
          cache:
            - {key: good, paths: [good.txt], policy: pull}
            - {key: bad, paths: [bad.txt], policy: pull}
          script: [test ! -e good.txt, cat bad.txt]
    """)
    )
    assert ran.code == 0, ran
    assert "Saving cache for failed job" in ran.trace("fails")
    assert "Creating cache good" not in ran.trace("fails")


def test_hashed_keys_still_find_caches_under_the_plain_name(project: Project, run: Run) -> None:
    configuration = """
        one:
          image: alpine
          variables: {FF_HASH_CACHE_KEYS: "%s"}
          cache: {key: k, paths: [c.txt]}
          script: [cat c.txt || echo missing > c.txt]
    """
    first = run(project(configuration % "false"))
    assert first.code == 0, first
    second = run(project(configuration % "true"))
    assert second.code == 0, second
    assert "Checking cache for k-protected..." in second.trace("one")
    assert "Successfully extracted cache" in second.trace("one")


def test_a_cache_in_s3_is_found_under_the_official_name(
    project: Project, run: Run, cluster: Cluster, tmp_path: Path
) -> None:
    if not cluster.own:
        pytest.skip("the S3 server of this test is reached from pods of the embedded node only")
    folder = project("""
        one:
          image: steveazz/noroot-alpine
          cache: {key: "$CI_COMMIT_REF_SLUG", paths: [c.txt]}
          script: ["cat c.txt || echo kept > c.txt"]
    """)
    with running_s3() as server:
        config = tmp_path / "config.toml"
        config.write_text(CONFIG.format(server=server, port=server.rpartition(":")[2]))
        assert run(folder, "--config", config).code == 0
        second = run(folder, "--config", config)
        assert second.code == 0, second
        assert "\nkept\n" in second.trace("one")
        address = f"http://{server}/{BUCKET}/some/path/project/1/main-protected"
        assert f"Downloading cache.zip from {address}\n" in second.trace("one")
        assert "Signature" not in second.out
        assert "SECRET-KEY" not in second.out


def test_a_volume_at_the_cache_directory_keeps_the_caches(
    project: Project, run: Run, cluster: Cluster, tmp_path: Path
) -> None:
    if not cluster.own:
        pytest.skip("the volume of this test is a directory of this machine")
    folder = project("""
        one:
          image: steveazz/noroot-alpine
          cache: {key: "$CI_COMMIT_REF_SLUG", paths: [c.txt]}
          script: ["cat c.txt || echo kept > c.txt"]
    """)
    config = tmp_path / "config.toml"
    config.write_text(VOLUME.format(path=tmp_path / "caches"))
    assert run(folder, "--config", config).code == 0
    assert (tmp_path / "caches" / "local" / "project" / "main-protected" / "cache.zip").exists()
    second = run(folder, "--config", config)
    assert second.code == 0, second
    assert "\nkept\n" in second.trace("one")


def test_branches_that_are_not_protected_have_caches_of_their_own(
    project: Project, run: Run
) -> None:
    folder = project("""
        one:
          image: alpine
          cache:
            - {key: k, paths: [c.txt]}
            - {key: open, paths: [o.txt], unprotect: true}
          script: [cat c.txt || echo kept > c.txt, cat o.txt || echo for all > o.txt]
    """)
    first = run(folder, "--ref", "main")
    assert first.code == 0, first
    other = run(folder, "--ref", "topic")
    assert other.code == 0, other
    assert "\nkept\n" not in other.trace("one")
    assert "\nfor all\n" in other.trace("one")
    assert "Checking cache for k-non_protected..." in other.trace("one")


def test_the_projects_settings_for_caches_are_options(project: Project, run: Run) -> None:
    folder = project("""
        one:
          image: alpine
          cache: {key: k, paths: [c.txt]}
          script: [cat c.txt || echo kept > c.txt]
    """)
    together = ("--no-ci-separated-caches", "--jobs-cache-index", "7")
    assert run(folder, "--ref", "main", *together).code == 0
    second = run(folder, "--ref", "topic", *together)
    assert second.code == 0, second
    assert "Checking cache for k-7..." in second.trace("one")
    assert "\nkept\n" in second.trace("one")
    cleared = run(folder, "--ref", "topic", "--no-ci-separated-caches", "--jobs-cache-index", "8")
    assert "\nkept\n" not in cleared.trace("one")


def test_keys_of_files_name_what_is_in_the_working_tree(project: Project, run: Run) -> None:
    folder = project("""
        one:
          image: alpine
          cache:
            - {key: {files: [web/app.lock]}, paths: [c.txt]}
            - {key: {files_commits: [web/app.lock], prefix: last}, paths: [l.txt]}
          script: [cat c.txt l.txt || echo kept | tee c.txt l.txt]
    """)
    (folder / "web").mkdir()
    (folder / "web" / "app.lock").write_text("hello\n")
    first = run(folder)
    assert first.code == 0, first
    key = "0_web/app-126780f1d4ae55fc826963e2e5d7ba7916e8903f-protected"
    assert f"Checking cache for {key}..." in first.trace("one")
    second = run(folder)
    assert "Successfully extracted cache" in second.trace("one")
    assert "\nkept\nkept\n" in second.trace("one")
    (folder / "web" / "app.lock").write_text("changed\n")
    third = run(folder)
    assert "\nkept\nkept\n" not in third.trace("one")
