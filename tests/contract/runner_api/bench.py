"""What the contract tests of the Runner API share: a coordinator over loopback and its clients."""

from __future__ import annotations

import subprocess
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import aiohttp

from podlane.coordinator.app import (
    CoordinatorSettings,
    RunningCoordinator,
    running_coordinator,
)
from podlane.coordinator.submission import Submission
from podlane.gitlab.answers import JobOffered
from podlane.gitlab.client import ClientSettings, RunnerApiClient, open_client
from podlane.gitlab.info import runner_info
from podlane.model.job import Job
from podlane.model.pipeline import Pipeline, PipelineJob


def pipeline(*jobs: PipelineJob, stages: tuple[str, ...] = ("build", "test")) -> Pipeline:
    return Pipeline(stages=stages, jobs=jobs or (job("compile"),))


def job(name: str, stage: str = "build", **fields: object) -> PipelineJob:
    return PipelineJob(name=name, stage=stage, script=("true",), **fields)  # type: ignore[arg-type] # a test's shorthand


def git(directory: Path, *arguments: str) -> str:
    identity = ("-c", "user.name=A", "-c", "user.email=a@b.c", "-c", "init.defaultBranch=main")
    done = subprocess.run(
        ["git", *identity, *arguments], cwd=directory, check=True, capture_output=True, text=True
    )
    return done.stdout.strip()


def working_tree(directory: Path) -> Path:
    """Make a small git repository with one commit."""
    directory.mkdir(parents=True)
    git(directory, "init", "--quiet")
    (directory / "committed.txt").write_text("committed\n")
    git(directory, "add", "--all")
    git(directory, "commit", "--quiet", "-m", "First\n\nMore about it")
    return directory


@dataclass(frozen=True)
class Bench:
    """A running coordinator, a runner's client for it, and a working tree."""

    coordinator: RunningCoordinator
    client: RunnerApiClient
    tree: Path

    async def start(self, content: Pipeline | None = None) -> int:
        submission = Submission(pipeline=content or pipeline(), source=str(self.tree))
        return await self.coordinator.create_pipeline(submission)

    async def next_job(self) -> Job:
        result = await self.client.request_job()
        assert isinstance(result, JobOffered), result
        return result.job


def client_settings(url: str, token: str) -> ClientSettings:
    return ClientSettings(
        url=url, token=token, system_id="s_0123456789ab", info=runner_info(podlane_version="1")
    )


@asynccontextmanager
async def running_bench(tmp_path: Path, **settings: object) -> AsyncIterator[Bench]:
    tree = tmp_path / "project"
    if not tree.exists():
        working_tree(tree)
    full = CoordinatorSettings(data_dir=tmp_path / "data", **settings)  # type: ignore[arg-type] # a test's shorthand
    async with (
        running_coordinator(full) as coordinator,
        open_client(client_settings(coordinator.url, coordinator.runner_token)) as client,
    ):
        yield Bench(coordinator, client, tree)


@asynccontextmanager
async def raw_session() -> AsyncIterator[aiohttp.ClientSession]:
    async with aiohttp.ClientSession() as session:
        yield session
