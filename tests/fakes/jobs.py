"""Jobs as a coordinator would hand them out, for the tests of the runner."""

from __future__ import annotations

from typing import Any

from podlane.model.job import Features, GitInfo, Job, JobInfo, RunnerLimits, Step, Variable
from podlane.runner.configuration.settings import RunnerSettings
from podlane.runner.identity import Manager

MANAGER = Manager(
    system_id="s_0123456789ab",
    host="runner-host",
    version="0.1.0",
    compatible_version="19.4.0",
    platform="linux/riscv64",
)
SHA = "1a2b3c4d" * 5


def a_job(*script: str, after: tuple[str, ...] = (), **fields: Any) -> Job:
    """Return a job that runs ``script``; ``fields`` replace the defaults."""
    steps = [Step(name="script", script=script or ("true",))]
    if after:
        steps.append(Step(name="after_script", script=after, when="always"))
    token = "job-token-0123456789"
    defaults: dict[str, Any] = {
        "id": 10,
        "token": token,
        "steps": tuple(steps),
        "job_info": JobInfo(name="test-job", stage="test", project_id=123, project_name="p"),
        "git_info": GitInfo(
            repo_url=f"https://gitlab-ci-token:{token}@gitlab.example.com/group/project.git",
            ref="main",
            sha=SHA,
            refspecs=("+refs/heads/main:refs/remotes/origin/main",),
            depth=20,
        ),
        "runner_info": RunnerLimits(timeout=3600),
        "features": Features(trace_sections=True),
        "variables": (
            Variable(key="CI", value="true", public=True),
            Variable(key="CI_PROJECT_PATH", value="group/project", public=True),
            Variable(key="CI_JOB_TOKEN", value=token, masked=True),
        ),
    }
    extra = tuple(fields.pop("more_variables", ()))
    defaults.update(fields)
    defaults["variables"] = (*defaults["variables"], *extra)
    return Job(**defaults)


def a_runner(**fields: Any) -> RunnerSettings:
    """Return settings of a runner; ``fields`` replace the defaults."""
    defaults: dict[str, Any] = {
        "url": "https://gitlab.example.com",
        "token": "glrt-t1_abcdefghijklmnop",
        "name": "test runner",
        "timestamps_by_default": False,
    }
    return RunnerSettings(**(defaults | fields))
