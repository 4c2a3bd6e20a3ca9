"""Runs the scripts of sub-stages on this machine, as the shell of a container would."""

from __future__ import annotations

import subprocess
from pathlib import Path
from typing import Any

from podlane.model.job import GitInfo
from podlane.runner.job.plan import JobPlan, make_plan
from tests.fakes.jobs import MANAGER, a_job, a_runner

SHELLS = {"bash": ["bash"], "dash": ["dash"], "ash": ["busybox", "ash"]}


class Place:
    """Runs sub-stages of a plan as a supervisor does, on this machine."""

    def __init__(self, shell: list[str], builds: Path) -> None:
        self.shell = shell
        self.builds = builds

    def plan(self, *script: str, runner: dict[str, Any] | None = None, **fields: Any) -> JobPlan:
        settings = a_runner(builds_dir=str(self.builds), **(runner or {}))
        return make_plan(a_job(*script, **fields), settings, MANAGER)

    def run(
        self,
        plan: JobPlan,
        stage: str,
        *,
        status: str = "running",
        piped: bool = False,
        **environment: str,
    ) -> subprocess.CompletedProcess[str]:
        found = next(s for s in plan.execution.stages if s.substage.name == stage)
        file = self.builds / "stage"
        file.write_text(found.script)
        env = {"PATH": f"{self.builds}/bin:/usr/bin:/bin", "HOME": "/nonexistent", "LANG": "C.UTF-8",
               "CI_JOB_STATUS": status, **environment}  # fmt: skip
        command = self.shell if piped else [*self.shell, str(file)]
        return subprocess.run(
            command, env=env, check=False, text=True, timeout=20,
            input=found.script if piped else None,
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
        )  # fmt: skip

    def script(self, *commands: str, piped: bool = False, **fields: Any) -> tuple[int, str]:
        plan = self.plan(*commands, **fields)
        Path(plan.execution.project_dir).mkdir(parents=True, exist_ok=True)
        done = self.run(plan, "step_script", piped=piped)
        return done.returncode, done.stdout


def sources(repository: tuple[Path, str], **more: Any) -> dict[str, Any]:
    path, sha = repository
    info: dict[str, Any] = {
        "repo_url": f"file://{path}", "ref": "main", "sha": sha, "depth": 20,
        "refspecs": ("+refs/heads/main:refs/remotes/origin/main",),
    }  # fmt: skip
    return {"git_info": GitInfo(**(info | more))}
