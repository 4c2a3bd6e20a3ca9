"""LFS objects of the working tree reach the job by the git-lfs of the helper image."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest

from tests.e2e.conftest import Project, Run

pytestmark = [
    pytest.mark.e2e,
    pytest.mark.skipif(
        shutil.which("git-lfs") is None,
        reason="git-lfs is not installed (scripts/bootstrap --tests)",
    ),
]


def _git(folder: Path, *words: str) -> None:
    identity = ("-c", "user.name=t", "-c", "user.email=t@example.com")
    subprocess.run(["git", *identity, *words], cwd=folder, check=True, capture_output=True)


def test_a_job_sees_the_content_and_not_the_pointer(project: Project, run: Run) -> None:
    folder = project("""
    default:
      image: alpine
    content:
      script: [cat committed.bin changed.bin]
    pointer:
      variables: {GIT_LFS_SKIP_SMUDGE: "1"}
      script: [cat committed.bin]
    """)
    _git(folder, "init", "-q")
    _git(folder, "lfs", "install", "--local")
    (folder / ".gitattributes").write_text("*.bin filter=lfs diff=lfs merge=lfs -text\n")
    (folder / "committed.bin").write_text("committed content\n")
    _git(folder, "add", "--all")
    _git(folder, "commit", "-qm", "LFS")
    (folder / "changed.bin").write_text("uncommitted content\n")
    ran = run(folder)
    assert ran.code == 0, ran
    trace = ran.trace("content")
    assert "Pulling LFS files..." in trace
    assert "\ncommitted content\n" in trace
    assert "\nuncommitted content\n" in trace
    assert "version https://git-lfs" not in trace
    assert "version https://git-lfs.github.com/spec/v1" in ran.trace("pointer")
