"""A job that runs longer than the credentials behind its URLs still saves its caches."""

from __future__ import annotations

import http.server
import re
import subprocess
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from tests.fakes.jobs import MANAGER, a_job, a_runner

from podlane.kit.errors import PodlaneError
from podlane.model.job import Cache, RunnerLimits, Variable
from podlane.runner.cache.roles import RENEW_SECONDS
from podlane.runner.cache.settings import CacheSettings, S3Settings
from podlane.runner.job import cache_stages
from podlane.runner.job.plan import JobPlan, make_plan

ROLE = "arn:aws:iam::123456789012:role/caches"


class Sts(http.server.BaseHTTPRequestHandler):
    """Hands out ``KEY1``, ``KEY2``, … for every role that is assumed."""

    given = 0
    refuses = False

    def log_message(self, *args: object) -> None:
        """Say nothing."""

    def do_POST(self) -> None:
        type(self).given += 1
        body = (
            f"<AccessKeyId>KEY{self.given}</AccessKeyId><SecretAccessKey>s</SecretAccessKey>"
            f"<SessionToken>token{self.given}</SessionToken>"
        ).encode()
        self.send_response(403 if self.refuses else 200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)


@pytest.fixture
def sts() -> Iterator[tuple[type[Sts], str]]:
    handler = type("Bound", (Sts,), {})
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        try:
            yield handler, f"127.0.0.1:{server.server_port}"
        finally:
            server.shutdown()
            thread.join()


def _plan(tmp_path: Path, address: str, *, seconds: int = 7200, **fields: Any) -> JobPlan:
    storage = S3Settings(
        bucket="b", server_address=address, insecure=True, access_key="a", secret_key="s",
        role=ROLE,
    )  # fmt: skip
    cache = CacheSettings(directory=f"{tmp_path}/cache", storage=storage)
    caches = (Cache(key="one", paths=("x",)), Cache(key="two", paths=("y",), policy="pull"))
    job = a_job(cache=caches, runner_info=RunnerLimits(timeout=seconds), **fields)
    return make_plan(job, a_runner(builds_dir=str(tmp_path), cache=cache), MANAGER)


def _archive(plan: JobPlan, tmp_path: Path) -> str:
    helper = tmp_path / "bin/gitlab-runner-helper"
    helper.parent.mkdir(exist_ok=True)
    helper.write_text('#!/bin/sh\nprintf "<%s>" "$@"\n')
    helper.chmod(0o755)
    Path(plan.execution.project_dir).mkdir(parents=True, exist_ok=True)
    script = next(s for s in plan.execution.stages if s.substage.name == "archive_cache").script
    env = {"PATH": f"{helper.parent}:/usr/bin:/bin", "HOME": "/nonexistent"}
    done = subprocess.run(
        ["dash", "-c", script], env=env, check=True, text=True, timeout=20,
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
    )  # fmt: skip
    return done.stdout


def _keys(text: str) -> set[str]:
    return set(re.findall(r"X-Amz-Credential=(KEY\d+)", text))


def test_the_newest_urls_are_used_where_there_are_some(
    sts: tuple[type[Sts], str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(cache_stages, "RENEWED", str(tmp_path / "renewed"))
    plan = _plan(tmp_path, sts[1])
    renewal = plan.execution.renewal
    assert renewal is not None
    assert (renewal.path, renewal.every_seconds) == (str(tmp_path / "renewed"), RENEW_SECONDS)
    before = _keys(_archive(plan, tmp_path))
    assert len(before) == 2  # one to ask, one to save
    text = renewal.make()
    Path(renewal.path).write_text(f"{text}\n")
    out = _archive(plan, tmp_path)
    assert len(_keys(out)) == 2
    assert not _keys(out) & before
    assert "/one?" in out
    assert "/two?" not in text


def test_no_trace_of_commands_shows_signatures_that_nobody_hides(
    sts: tuple[type[Sts], str], tmp_path: Path
) -> None:
    debug = [Variable(key="CI_DEBUG_TRACE", value="true")]
    plan = _plan(tmp_path, sts[1], more_variables=debug)
    scripts = {stage.substage.name: stage.script for stage in plan.execution.stages}
    assert "xtrace" in scripts["restore_cache"]
    assert "xtrace" not in scripts["archive_cache"]


def test_a_role_that_is_refused_meanwhile_is_told(
    sts: tuple[type[Sts], str], tmp_path: Path
) -> None:
    renewal = _plan(tmp_path, sts[1]).execution.renewal
    assert renewal is not None
    sts[0].refuses = True
    with pytest.raises(PodlaneError, match="cannot be assumed"):
        renewal.make()


def test_a_job_that_cannot_last_that_long_needs_no_renewal(
    sts: tuple[type[Sts], str], tmp_path: Path
) -> None:
    assert _plan(tmp_path, sts[1], seconds=2700).execution.renewal is None
    assert _plan(tmp_path, sts[1], seconds=2701).execution.renewal is not None
