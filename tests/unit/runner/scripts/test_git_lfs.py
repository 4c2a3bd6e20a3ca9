"""Sources with LFS, from a server that serves both as GitLab does; git and git-lfs are real."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from tests.fakes.git import git
from tests.fakes.git_server import TOKEN, GitServer, git_server
from tests.fakes.jobs import MANAGER, a_job, a_runner

from podlane.model.job import GitInfo, Variable
from podlane.runner.job.plan import make_plan

pytestmark = pytest.mark.skipif(
    shutil.which("git-lfs") is None, reason="git-lfs is not installed (scripts/bootstrap --tests)"
)
INNER, OUTER = b"inner content\n" * 100, b"outer content\n" * 100


@dataclass
class Place:
    """A project on the server, and where a job gets it."""

    server: GitServer
    builds: Path
    sha: str
    clone_url: str = ""

    @property
    def project(self) -> Path:
        return self.builds / "group/project"

    def run(self, stage: str, *script: str, **variables: str) -> str:
        """Run a sub-stage and return what it printed; it must succeed."""
        code, out = self.try_run(stage, *script, **variables)
        assert code == 0, out
        return out

    def try_run(self, stage: str, *script: str, **variables: str) -> tuple[int, str]:
        given = [Variable(key=key, value=value) for key, value in variables.items()]
        info = GitInfo(
            repo_url=self.server.with_credentials("group/project.git"), ref="main", sha=self.sha,
            refspecs=("+refs/heads/main:refs/remotes/origin/main",), depth=20,
        )  # fmt: skip
        job = a_job(*script, token=TOKEN, git_info=info, more_variables=given)
        runner = a_runner(
            builds_dir=str(self.builds), url=self.server.url, clone_url=self.clone_url
        )
        plan = make_plan(job, runner, MANAGER)
        found = next(s for s in plan.execution.stages if s.substage.name == stage)
        home = self.builds / "home"
        home.mkdir(parents=True, exist_ok=True)
        env = {"PATH": "/usr/bin:/bin", "HOME": str(home), "LANG": "C.UTF-8"}
        done = subprocess.run(
            ["dash", "-c", found.script], env=env, check=False, text=True, timeout=60,
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
        )  # fmt: skip
        return done.returncode, done.stdout


def _repository(path: Path, files: dict[str, str]) -> str:
    path.mkdir(parents=True)
    git("init", "-q", "-b", "main", cwd=path)
    for name, content in files.items():
        (path / name).write_text(content)
    git("add", ".", cwd=path)
    git("commit", "-qm", "one", cwd=path)
    return git("rev-parse", "HEAD", cwd=path)


@pytest.fixture
def place(tmp_path: Path) -> Iterator[Place]:
    """A project with an LFS object, and a submodule on the same server with another one."""
    root = tmp_path / "server"
    with git_server(root) as server:
        rules = "*.bin filter=lfs diff=lfs merge=lfs -text\n"
        inner = _repository(
            root / "group/inner.git", {".gitattributes": rules, "in.bin": server.pointer(INNER)}
        )
        outer = root / "group/project.git"
        modules = '[submodule "sub"]\n\tpath = sub\n\turl = ../inner.git\n'
        files = {".gitattributes": rules, "out.bin": server.pointer(OUTER), ".gitmodules": modules}
        _repository(outer, files)
        git("update-index", "--add", "--cacheinfo", f"160000,{inner},sub", cwd=outer)
        git("commit", "-qm", "two", cwd=outer)
        sha = git("rev-parse", "HEAD", cwd=outer)
        yield Place(server, tmp_path / "builds", sha)


def test_lfs_objects_come_after_the_checkout(place: Place) -> None:
    out = place.run("get_sources")
    assert (place.project / "out.bin").read_bytes() == OUTER
    assert "Pulling LFS files..." in out
    # The first without credentials, as git asks for them only then; never two at once, which is 400.
    assert [status for status, _ in place.server.lines("/objects/")] == [401, 200, 200]


def test_what_is_no_wish_for_pointers_is_none(place: Place) -> None:
    place.run("get_sources", GIT_LFS_SKIP_SMUDGE="0")
    assert (place.project / "out.bin").read_bytes() == OUTER


def test_a_second_job_in_the_same_directory_gets_them_too(place: Place) -> None:
    place.run("get_sources")
    (place.project / "out.bin").write_bytes(b"changed")
    place.run("get_sources")
    assert (place.project / "out.bin").read_bytes() == OUTER


def test_the_jobs_wish_to_have_pointers_is_respected(place: Place) -> None:
    out = place.run("get_sources", GIT_LFS_SKIP_SMUDGE="1")
    assert (place.project / "out.bin").read_text().startswith("version https://git-lfs")
    assert "LFS" not in out
    assert place.server.lines("/objects/") == []


def test_submodules_bring_their_objects(place: Place) -> None:
    place.run("get_sources", GIT_SUBMODULE_STRATEGY="recursive")
    assert (place.project / "out.bin").read_bytes() == OUTER
    assert (place.project / "sub/in.bin").read_bytes() == INNER


def test_submodules_are_left_with_pointers_where_the_job_wants_it(place: Place) -> None:
    place.run("get_sources", GIT_SUBMODULE_STRATEGY="normal", GIT_LFS_SKIP_SMUDGE="true")
    assert (place.project / "sub/in.bin").read_text().startswith("version https://git-lfs")


def test_rules_in_a_folder_count_and_a_project_without_rules_asks_nobody(place: Place) -> None:
    origin = place.server.root / "group/project.git"
    git("rm", "-q", ".gitattributes", cwd=origin)
    git("commit", "-qm", "no rules", cwd=origin)
    place.sha = git("rev-parse", "HEAD", cwd=origin)
    assert "LFS" not in place.run("get_sources")
    (origin / "deep/er").mkdir(parents=True)
    (origin / "deep/er/.gitattributes").write_text("*.bin filter=lfs\n")
    (origin / "deep/er/x.bin").write_text(place.server.pointer(b"deep"))
    git("add", ".", cwd=origin)
    git("commit", "-qm", "rules in a folder", cwd=origin)
    place.sha = git("rev-parse", "HEAD", cwd=origin)
    place.run("get_sources")
    assert (place.project / "deep/er/x.bin").read_bytes() == b"deep"


def test_an_object_that_is_not_there_fails_the_stage(place: Place) -> None:
    place.server.objects.clear()
    code, out = place.try_run("get_sources")
    assert code != 0
    assert "does not exist on the server" in out


def test_the_jobs_own_git_lfs_has_the_jobs_credentials(place: Place) -> None:
    place.run("get_sources", GIT_LFS_SKIP_SMUDGE="1")
    place.run("step_script", "git lfs pull", "git fetch -q origin")
    assert (place.project / "out.bin").read_bytes() == OUTER


def test_no_file_and_no_line_has_the_token(place: Place) -> None:
    out = place.run("get_sources", GIT_SUBMODULE_STRATEGY="recursive", CI_DEBUG_TRACE="true")
    assert "+ git lfs pull" in out
    assert TOKEN not in out
    files: Any = (path for path in place.builds.rglob("*") if path.is_file())
    assert [str(path) for path in files if TOKEN.encode() in path.read_bytes()] == []


def test_what_an_earlier_job_left_in_a_submodule_is_gone(place: Place) -> None:
    place.run("get_sources", GIT_SUBMODULE_STRATEGY="recursive")
    sub, modules = place.project / "sub", place.project / ".git/modules/sub"
    (sub / "in.bin").write_bytes(b"changed")
    (sub / "left-over").write_text("x")
    trap = modules / "hooks/post-checkout"
    trap.parent.mkdir(exist_ok=True)
    trap.write_text("#!/bin/sh\necho trapped\nexit 1\n")
    trap.chmod(0o755)
    (modules / "config").write_text('[core]\n\tfsmonitor = "echo trapped >&2; false"\n')
    out = place.run("get_sources", GIT_SUBMODULE_STRATEGY="recursive")
    assert "trapped" not in out
    assert "Updating submodules failed" not in out
    assert sorted(path.name for path in sub.iterdir()) == [".git", ".gitattributes", "in.bin"]
    assert (sub / "in.bin").read_bytes() == INNER


def test_a_submodule_may_follow_the_branch_of_its_configuration(place: Place) -> None:
    origin, inner = place.server.root / "group/project.git", place.server.root / "group/inner.git"
    git("checkout", "-q", "-b", "dev", cwd=inner)
    (inner / "newer").write_text("x")
    git("add", ".", cwd=inner)
    git("commit", "-qm", "newer", cwd=inner)
    git("checkout", "-q", "main", cwd=inner)
    (origin / ".gitmodules").write_text(
        '[submodule "sub"]\n\tpath = sub\n\turl = ../inner.git\n\tbranch = dev\n'
    )
    git("commit", "-qm", "follow", ".gitmodules", cwd=origin)
    place.sha = git("rev-parse", "HEAD", cwd=origin)
    place.run(
        "get_sources", GIT_SUBMODULE_STRATEGY="normal", GIT_SUBMODULE_UPDATE_FLAGS="--remote",
        GIT_SUBMODULE_DEPTH="1",
    )  # fmt: skip
    assert (place.project / "sub/newer").exists()


def test_submodules_can_be_chosen_and_left_out(place: Place) -> None:
    place.run("get_sources", GIT_SUBMODULE_STRATEGY="normal", GIT_SUBMODULE_PATHS=":(exclude)sub")
    assert not (place.project / "sub/in.bin").exists()
    place.run("get_sources", GIT_SUBMODULE_STRATEGY="normal", GIT_SUBMODULE_PATHS="sub")
    assert (place.project / "sub/in.bin").read_bytes() == INNER


def test_sources_of_a_clone_url_and_submodules_of_gitlab_itself_have_credentials(
    place: Place,
) -> None:
    origin = place.server.root / "group/project.git"
    absolute = f"{place.server.url}/group/inner.git"
    (origin / ".gitmodules").write_text(f'[submodule "sub"]\n\tpath = sub\n\turl = {absolute}\n')
    git("commit", "-qm", "absolute", ".gitmodules", cwd=origin)
    place.sha = git("rev-parse", "HEAD", cwd=origin)
    place.clone_url = place.server.url.replace("127.0.0.1", "localhost")
    place.run("get_sources", GIT_SUBMODULE_STRATEGY="normal")
    url = git("remote", "get-url", "origin", cwd=place.project)
    assert url == f"{place.clone_url}/group/project.git"
    assert (place.project / "sub/in.bin").read_bytes() == INNER
