"""What feature flags change in the generated scripts, run by every shell that may meet them."""

from __future__ import annotations

import os
import stat
import subprocess
from pathlib import Path
from typing import Any

import pytest
from tests.fakes.git import git
from tests.fakes.shellplace import SHELLS, Place, sources

from podlane.model.job import Variable

GREEN, RESET = "\x1b[32;1m", "\x1b[0;m"
ORIGIN = "origin"


@pytest.fixture(params=SHELLS)
def place(request: pytest.FixtureRequest, tmp_path: Path) -> Place:
    return Place(SHELLS[request.param], tmp_path)


@pytest.fixture
def repository(tmp_path: Path) -> tuple[Path, str]:
    path = tmp_path / ORIGIN
    path.mkdir()
    git("init", "-q", "-b", "main", cwd=path)
    (path / "hello.txt").write_text("hello\n")
    (path / "dir").mkdir()
    (path / "dir/file").write_text("x\n")
    git("add", ".", cwd=path)
    git("commit", "-qm", "one", cwd=path)
    return path, git("rev-parse", "HEAD", cwd=path)


def on(*names: str, **values: str) -> list[Variable]:
    flags = dict.fromkeys(names, "true") | values
    return [Variable(key=name, value=value) for name, value in flags.items()]


def flagged(place: Place, repository: tuple[Path, str], *names: str, **values: str) -> Any:
    return place.plan(**sources(repository), more_variables=on(*names, **values))


# A git that says it is new, and has of what is new just what we use: --revision of clone.
NEW_GIT = """#!/bin/sh
[ "$1" = version ] && { echo "git version 2.49.0"; exit; }
if [ "$1" = clone ]; then
  printf '%s\\n' "$*" > "${0%/*}/cloned"
  revision=; was=; kept=
  for word; do
    case $was$word in
      --revision*) [ "$was" ] && revision=$word ;;
      *) kept="$kept '$word'" ;;
    esac
    [ "$word" = --revision ] && was=--revision || was=
  done
  eval "set -- $kept"
fi
exec /usr/bin/git "$@"
"""


@pytest.fixture
def new_git(place: Place) -> Path:
    program = place.builds / "bin/git"
    program.parent.mkdir()
    program.write_text(NEW_GIT)
    program.chmod(0o755)
    return program.parent / "cloned"


CLONE = "FF_USE_GIT_NATIVE_CLONE"


def test_a_new_git_clones_by_itself(
    place: Place, repository: tuple[Path, str], new_git: Path
) -> None:
    wanted = on(CLONE, GIT_STRATEGY="clone", GIT_CLONE_EXTRA_FLAGS="--no-tags --origin origin")
    plan = place.plan(**sources(repository, depth=1), more_variables=wanted)
    project = place.builds / "group/project"
    project.mkdir(parents=True)
    (project / "old").write_text("x")
    done = place.run(plan, "get_sources")
    assert done.returncode == 0, done.stdout
    assert new_git.read_text() == (
        f"clone --no-checkout --template= file://{repository[0]} {project} --depth 1 "
        "--branch main --no-tags --origin origin\n"
    )
    assert f"{GREEN}Cloning repository for main with git depth set to 1...{RESET}\n" in done.stdout
    assert "Fetching changes" not in done.stdout
    assert sorted(p.name for p in project.iterdir()) == [".git", "dir", "hello.txt"]
    assert git("rev-parse", "HEAD", cwd=project) == repository[1]


def test_a_full_ref_is_cloned_as_a_revision(
    place: Place, repository: tuple[Path, str], new_git: Path
) -> None:
    ref = "refs/merge-requests/1/head"
    plan = place.plan(
        **sources(repository, ref=ref, depth=0), more_variables=on(CLONE, GIT_STRATEGY="clone")
    )
    done = place.run(plan, "get_sources")
    assert done.returncode == 0, done.stdout
    assert new_git.read_text().endswith(f"/group/project --revision {ref}\n")


def test_what_the_clone_does_not_have_is_fetched(
    place: Place, repository: tuple[Path, str], new_git: Path
) -> None:
    """The branch has moved on by more than the depth; the pipeline has a ref of its own."""
    path, sha = repository
    git("update-ref", "refs/pipelines/1", sha, cwd=path)
    git("commit", "-q", "--allow-empty", "-m", "two", cwd=path)
    refs = ("+refs/pipelines/1:refs/pipelines/1",)
    plan = place.plan(
        **sources(repository, depth=1, refspecs=refs),
        more_variables=on(CLONE, GIT_STRATEGY="clone"),
    )
    done = place.run(plan, "get_sources")
    assert done.returncode == 0, done.stdout
    assert new_git.exists()
    assert git("rev-parse", "HEAD", cwd=place.builds / "group/project") == sha


@pytest.mark.parametrize("version", ["2.48.9", "2.39.5.windows.1", "1.99.0"])
def test_an_old_git_fetches_as_always(
    place: Place, repository: tuple[Path, str], new_git: Path, version: str
) -> None:
    program = new_git.parent / "git"
    program.write_text(NEW_GIT.replace("2.49.0", version))
    plan = flagged(place, repository, CLONE, GIT_STRATEGY="clone")
    done = place.run(plan, "get_sources")
    assert done.returncode == 0, done.stdout
    assert not new_git.exists()
    assert "Created fresh repository." in done.stdout


@pytest.mark.parametrize("version", ["2.49.0", "2.100.1", "3.0.0", "2.50.1 (Apple Git-155)"])
def test_any_newer_git_clones(
    place: Place, repository: tuple[Path, str], new_git: Path, version: str
) -> None:
    (new_git.parent / "git").write_text(NEW_GIT.replace("2.49.0", version))
    done = place.run(flagged(place, repository, CLONE, GIT_STRATEGY="clone"), "get_sources")
    assert done.returncode == 0, done.stdout
    assert new_git.exists()


def test_only_the_strategy_clone_clones(
    place: Place, repository: tuple[Path, str], new_git: Path
) -> None:
    done = place.run(flagged(place, repository, CLONE, GIT_STRATEGY="fetch"), "get_sources")
    assert done.returncode == 0, done.stdout
    assert not new_git.exists()


CLEANUP = "FF_ENABLE_JOB_CLEANUP"


def left_behind(place: Place, plan: Any) -> Path:
    project = Path(plan.execution.project_dir)
    assert place.run(plan, "get_sources").returncode == 0
    (project / "left-over").write_text("x")
    if (project / "hello.txt").exists():
        (project / "hello.txt").write_text("changed")
    return project


def test_after_a_fetch_the_project_is_cleaned_and_stays(
    place: Place, repository: tuple[Path, str]
) -> None:
    plan = flagged(place, repository, CLEANUP, GIT_STRATEGY="fetch")
    project = left_behind(place, plan)
    done = place.run(plan, "cleanup_file_variables")
    assert done.returncode == 0, done.stdout
    assert not (project / "left-over").exists()
    assert (project / "hello.txt").read_text() == "hello\n"


def test_what_git_clean_shall_not_touch_stays(place: Place, repository: tuple[Path, str]) -> None:
    plan = flagged(place, repository, CLEANUP, GIT_STRATEGY="fetch", GIT_CLEAN_FLAGS="none")
    project = left_behind(place, plan)
    assert place.run(plan, "cleanup_file_variables").returncode == 0
    assert (project / "left-over").exists()
    assert (project / "hello.txt").read_text() == "hello\n"


@pytest.mark.parametrize("strategy", ["clone", "empty"])
def test_what_a_job_makes_anew_is_removed(
    place: Place, repository: tuple[Path, str], strategy: str
) -> None:
    plan = flagged(place, repository, CLEANUP, GIT_STRATEGY=strategy)
    project = left_behind(place, plan)
    assert place.run(plan, "cleanup_file_variables").returncode == 0
    assert not project.exists()


def test_a_directory_that_is_not_ours_is_left_alone(
    place: Place, repository: tuple[Path, str]
) -> None:
    plan = flagged(place, repository, CLEANUP, GIT_STRATEGY="none")
    project = left_behind(place, plan)
    done = place.run(plan, "cleanup_file_variables")
    assert "Skipping build directory cleanup step" in done.stdout
    assert (project / "left-over").exists()


def test_a_project_that_the_job_removed_is_no_trouble(
    place: Place, repository: tuple[Path, str]
) -> None:
    plan = flagged(place, repository, CLEANUP, GIT_STRATEGY="fetch")
    assert place.run(plan, "cleanup_file_variables").returncode == 0


def test_submodules_are_cleaned_too(
    place: Place, repository: tuple[Path, str], tmp_path: Path
) -> None:
    outer = tmp_path / "outer"
    outer.mkdir()
    git("init", "-q", "-b", "main", cwd=outer)
    file_ok = ["-c", "protocol.file.allow=always"]
    git(*file_ok, "submodule", "--quiet", "add", f"file://{repository[0]}", "sub", cwd=outer)
    git("commit", "-qm", "sub", cwd=outer)
    allow = {
        "GIT_SUBMODULE_STRATEGY": "recursive", "GIT_CONFIG_COUNT": "1",
        "GIT_CONFIG_KEY_0": "protocol.file.allow", "GIT_CONFIG_VALUE_0": "always",
    }  # fmt: skip
    plan = flagged(place, (outer, git("rev-parse", "HEAD", cwd=outer)), CLEANUP, **allow)
    project = left_behind(place, plan)
    (project / "sub/hello.txt").write_text("changed")
    (project / "sub/more").write_text("x")
    done = place.run(plan, "cleanup_file_variables")
    assert done.returncode == 0, done.stdout
    assert (project / "sub/hello.txt").read_text() == "hello\n"
    assert not (project / "sub/more").exists()


OWNER = "FF_DISABLE_UMASK_FOR_KUBERNETES_EXECUTOR"
USER = (4711, 4712)


@pytest.mark.root
def test_the_sources_belong_to_the_jobs_user_alone(
    place: Place, repository: tuple[Path, str], tmp_path: Path
) -> None:
    variables = [*on(OWNER), Variable(key="CERT", value="c", file=True)]
    plan = place.plan(**sources(repository), more_variables=variables)
    told = tmp_path / "user.build"
    told.write_text("4711:4712\n")
    for stage in ("prepare_script", "get_sources"):
        done = place.run(plan, stage, PODLANE_BUILD_USER=str(told))
        assert done.returncode == 0, done.stdout
    project = place.builds / "group/project"
    own = [place.builds, project.parent, project, project / "dir/file", project / ".git/HEAD",
           place.builds / "group/project.tmp/CERT"]  # fmt: skip
    for path in own:
        found = path.stat()
        assert (found.st_uid, found.st_gid) == USER, path
        assert not stat.S_IMODE(found.st_mode) & stat.S_IWOTH, path
    assert (tmp_path / ORIGIN / "hello.txt").stat().st_uid == os.geteuid()


@pytest.mark.root
def test_a_second_fetch_of_what_the_jobs_user_owns_works(
    place: Place, repository: tuple[Path, str], tmp_path: Path
) -> None:
    """Git trusts no directory of another user by itself."""
    plan = flagged(place, repository, OWNER)
    told = tmp_path / "user.build"
    told.write_text("4711:4712\n")
    for _ in range(2):
        done = place.run(plan, "get_sources", PODLANE_BUILD_USER=str(told))
        assert done.returncode == 0, done.stdout


def test_the_files_wait_for_their_owner(
    place: Place, repository: tuple[Path, str], tmp_path: Path
) -> None:
    """The build container's image may still be on its way."""
    plan = flagged(place, repository, OWNER)
    told = tmp_path / "user.build"
    script = next(s for s in plan.execution.stages if s.substage.name == "get_sources").script
    env = {"PATH": "/usr/bin:/bin", "HOME": "/nonexistent", "PODLANE_BUILD_USER": str(told)}
    with subprocess.Popen([*place.shell, "-c", script], env=env, stdout=subprocess.DEVNULL) as run:
        while not (place.builds / "group/project/hello.txt").exists():
            assert run.poll() is None
        told.write_text(f"{os.geteuid()}:{os.getegid()}\n")
        assert run.wait(timeout=60) == 0


def test_a_helper_that_cannot_give_files_away_says_so(place: Place, tmp_path: Path) -> None:
    told = tmp_path / "user.build"
    told.write_text("nobody.here:4712\n")  # a name that chown refuses, whoever runs it
    plan = place.plan(more_variables=on(OWNER, GIT_STRATEGY="none"))
    done = place.run(plan, "get_sources", PODLANE_BUILD_USER=str(told))
    assert done.returncode == 1, done.stdout
    assert "cannot be given to user nobody.here:4712 of the build container" in done.stdout
    assert f"the helper runs as {os.geteuid()}:{os.getegid()}. Run it as root" in done.stdout
