"""The generated scripts, run by every shell that may meet them."""

from __future__ import annotations

from pathlib import Path

import pytest
from tests.fakes.git import git
from tests.fakes.jobs import a_runner
from tests.fakes.shellplace import SHELLS, Place, sources

from podlane.model.job import Artifact, ArtifactsFile, Dependency, Hook, Variable

GREEN, RESET = "\x1b[32;1m", "\x1b[0;m"


@pytest.fixture(params=SHELLS, autouse=True)
def shell(request: pytest.FixtureRequest) -> list[str]:
    return SHELLS[request.param]


@pytest.fixture
def place(shell: list[str], tmp_path: Path) -> Place:
    return Place(shell, tmp_path)


@pytest.mark.parametrize("piped", [False, True])
def test_commands_are_announced_and_run_in_the_project_directory(place: Place, piped: bool) -> None:
    code, out = place.script("pwd", "echo it\\'s", piped=piped)
    assert code == 0
    assert out == (
        f"{GREEN}$ pwd{RESET}\n{place.builds}/group/project\n{GREEN}$ echo it\\'s{RESET}\nit's\n"
    )


def test_a_command_of_several_lines_shows_its_first(place: Place) -> None:
    code, out = place.script("for x in a b\ndo echo $x\ndone", "")
    assert (code, out) == (
        0,
        f"{GREEN}$ for x in a b # collapsed multi-line command{RESET}\na\nb\n\n",
    )


@pytest.mark.parametrize("piped", [False, True])
@pytest.mark.parametrize(
    ("command", "code"), [("exit 42", 42), ("false", 1), ("sh -c 'exit 7'", 7), ("(exit 9)", 9)]
)
def test_the_exit_code_of_the_first_failure_is_kept(
    place: Place, command: str, code: int, piped: bool
) -> None:
    got, out = place.script(command, "echo not reached", piped=piped)
    assert got == code
    assert "\nnot reached" not in out


def test_a_failure_inside_a_pipe_counts_where_the_shell_can_tell(place: Place) -> None:
    code, _ = place.script("false | true")
    assert code == (0 if place.shell == ["dash"] else 1)


def test_stdin_is_empty_so_that_no_command_eats_the_script(place: Place) -> None:
    code, out = place.script("cat", "echo still here", piped=True)
    assert code == 0
    assert out.endswith("\nstill here\n")


def test_an_exit_trap_of_the_user_runs(place: Place) -> None:
    code, out = place.script("trap 'echo bye' EXIT", "exit 3")
    assert code == 3
    assert out.endswith("\nbye\n")


def test_every_byte_of_a_value_reaches_the_job(place: Place) -> None:
    value = "a 'b' \"c\" $HOME `id` \\ {x,y} ~ * ; & | \t\n end é 世界"
    nasty = Variable(key="NASTY", value=value, raw=True)
    code, out = place.script("printf '%s' \"$NASTY\" >got", more_variables=[nasty])
    assert code == 0, out
    assert (place.builds / "group/project/got").read_text() == value


def test_names_that_a_shell_cannot_set_are_left_out(place: Place) -> None:
    odd = [Variable(key="not-a-name", value="x"), Variable(key="UID", value="5")]
    assert place.script("true", more_variables=odd)[0] == 0


def test_file_variables_are_written_once_and_seen_as_paths(place: Place) -> None:
    content = "line 'one'\nno newline at the end"
    plan = place.plan(
        'cat "$CERT"', more_variables=[Variable(key="CERT", value=content, file=True, raw=True)]
    )
    Path(plan.execution.project_dir).mkdir(parents=True)
    prepared = place.run(plan, "prepare_script")
    assert prepared.returncode == 0, prepared.stdout
    assert prepared.stdout.startswith("Running on ")
    assert prepared.stdout.endswith(" via runner-host...\n")
    out = place.run(plan, "step_script").stdout
    assert out.endswith(content)
    assert place.run(plan, "cleanup_file_variables").returncode == 0
    assert not list((place.builds / "group/project.tmp").iterdir())


def test_gitlab_env_carries_values_to_the_next_sub_stage_literally(place: Place) -> None:
    plan = place.plan(
        'echo "hello=world" >> $GITLAB_ENV', "echo 'executed=$(echo yes)' >> $GITLAB_ENV",
        after=('echo "<$hello> <$executed> $CI_JOB_STATUS"',),
    )  # fmt: skip
    Path(plan.execution.project_dir).mkdir(parents=True)
    place.run(plan, "prepare_script")
    assert place.run(plan, "step_script").returncode == 0
    done = place.run(plan, "after_script", status="failed")
    assert done.returncode == 0, done.stdout
    assert f"{GREEN}Running after script...{RESET}\n" in done.stdout
    assert done.stdout.endswith("<world> <$(echo yes)> failed\n")


def test_debug_trace_shows_commands_but_not_the_values_of_variables(place: Place) -> None:
    debug = [Variable(key="CI_DEBUG_TRACE", value="true"), Variable(key="X", value="secretvalue")]
    code, out = place.script("echo hi", more_variables=debug)
    assert code == 0
    assert "+ echo hi" in out
    assert "eval" not in out
    assert "secretvalue" not in out


def test_the_administrators_scripts_surround_the_users(place: Place) -> None:
    scripts = a_runner().scripts.__class__(pre_build="echo pre", post_build="echo post")
    _, out = place.script("echo own", runner={"scripts": scripts})
    assert [line for line in out.splitlines() if "$" not in line] == ["pre", "own", "post"]


@pytest.fixture(scope="module")
def repository(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str]:
    path = tmp_path_factory.mktemp("origin")
    git("init", "-q", "-b", "main", cwd=path)
    (path / "hello.txt").write_text("hello\n")
    git("add", ".", cwd=path)
    git("commit", "-qm", "one", cwd=path)
    (path / "hello.txt").write_text("hello again\n")
    git("commit", "-qam", "two", cwd=path)
    return path, git("rev-parse", "HEAD", cwd=path)


def test_sources_come_in_a_fresh_repository(place: Place, repository: tuple[Path, str]) -> None:
    plan = place.plan(**sources(repository, depth=1))
    done = place.run(plan, "get_sources")
    assert done.returncode == 0, done.stdout
    sha = repository[1]
    project = place.builds / "group/project"
    assert done.stdout == (
        f"{GREEN}Fetching changes with git depth set to 1...{RESET}\n"
        f"Initialized empty Git repository in {project}/.git/\n"
        f"{GREEN}Created fresh repository.{RESET}\n"
        f"{GREEN}Checking out {sha[:8]} as detached HEAD (ref is main)...{RESET}\n"
        f"{GREEN}Skipping Git submodules setup{RESET}\n"
    )
    assert (project / "hello.txt").read_text() == "hello again\n"
    assert git("rev-parse", "HEAD", cwd=project) == sha
    assert git("rev-list", "--count", "HEAD", cwd=project) == "1"
    assert git("remote", "get-url", "origin", cwd=project) == f"file://{repository[0]}"
    assert project.stat().st_mode & 0o777 == 0o777
    assert (project / "hello.txt").stat().st_mode & 0o666 == 0o666


def test_a_second_fetch_cleans_what_an_earlier_job_left(
    place: Place, repository: tuple[Path, str]
) -> None:
    plan = place.plan(**sources(repository, depth=1))
    assert place.run(plan, "get_sources").returncode == 0
    project = place.builds / "group/project"
    (project / "left-over").write_text("x")
    (project / ".git/index.lock").write_text("")
    (project / ".git/config").write_text("broken [")
    (project / "hello.txt").write_text("changed")
    whole = place.plan(**sources(repository, depth=0))
    done = place.run(whole, "get_sources")
    assert done.returncode == 0, done.stdout
    assert "Created fresh repository" not in done.stdout
    assert not (project / "left-over").exists()
    assert (project / "hello.txt").read_text() == "hello again\n"
    assert git("rev-list", "--count", "HEAD", cwd=project) == "2"


def test_strategy_clone_starts_from_nothing(place: Place, repository: tuple[Path, str]) -> None:
    plan = place.plan(**sources(repository), allow_git_fetch=False)
    project = place.builds / "group/project"
    project.mkdir(parents=True)
    (project / "old").write_text("x")
    assert place.run(plan, "get_sources").returncode == 0
    assert sorted(p.name for p in project.iterdir()) == [".git", "hello.txt"]


@pytest.mark.parametrize("strategy", ["none", "empty"])
def test_without_git_there_is_a_directory_and_a_line(place: Place, strategy: str) -> None:
    plan = place.plan(more_variables=[Variable(key="GIT_STRATEGY", value=strategy)])
    done = place.run(plan, "get_sources")
    assert done.returncode == 0
    assert "Skipping Git repository setup" in done.stdout
    assert Path(plan.execution.project_dir).is_dir()
    assert plan.execution.project_dir.endswith("-empty") == (strategy == "empty")


def test_hooks_run_around_the_sources(place: Place, repository: tuple[Path, str]) -> None:
    hooks = (
        Hook(name="pre_get_sources_script", script=("echo before",)),
        Hook(name="post_get_sources_script", script=("cat hello.txt",)),
    )
    out = place.run(place.plan(**sources(repository), hooks=hooks), "get_sources").stdout
    assert "\nbefore\n" in out
    assert out.endswith("\nhello again\n")


def test_submodules_come_when_asked(
    place: Place, repository: tuple[Path, str], tmp_path: Path
) -> None:
    outer = tmp_path / "outer"
    outer.mkdir()
    git("init", "-q", "-b", "main", cwd=outer)
    file_ok = ["-c", "protocol.file.allow=always"]
    git(*file_ok, "submodule", "--quiet", "add", f"file://{repository[0]}", "sub", cwd=outer)
    git("commit", "-qm", "sub", cwd=outer)
    sha = git("rev-parse", "HEAD", cwd=outer)
    allow = [
        Variable(key="GIT_SUBMODULE_STRATEGY", value="recursive"),
        Variable(key="GIT_CONFIG_COUNT", value="1"),
        Variable(key="GIT_CONFIG_KEY_0", value="protocol.file.allow"),
        Variable(key="GIT_CONFIG_VALUE_0", value="always"),
    ]
    plan = place.plan(**sources((outer, sha)), more_variables=allow)
    done = place.run(plan, "get_sources")
    assert done.returncode == 0, done.stdout
    assert "Updating/initializing submodules recursively with git depth set to 20..." in done.stdout
    assert (place.builds / "group/project/sub/hello.txt").read_text() == "hello again\n"


def test_a_revision_that_is_not_there_fails_the_stage(
    place: Place, repository: tuple[Path, str]
) -> None:
    done = place.run(place.plan(**sources(repository, sha="f" * 40)), "get_sources")
    assert done.returncode not in {0, None}


HELPER = '#!/bin/sh\nprintf "<%s>" "$CI_JOB_TOKEN" "$@"; echo\n'


def with_helper(place: Place) -> None:
    helper = place.builds / "bin/gitlab-runner-helper"
    helper.parent.mkdir()
    helper.write_text(HELPER)
    helper.chmod(0o755)


def test_artifacts_go_through_the_helper_with_its_flags_and_no_token_in_argv(place: Place) -> None:
    with_helper(place)
    upload = Artifact(
        name="out-$CI", paths=("bin/*", "it's"), exclude=("bin/*.o",), untracked=True,
        expire_in="7d", artifact_format="zip", artifact_type="archive",
    )  # fmt: skip
    plan = place.plan(artifacts=(upload,))
    Path(plan.execution.project_dir).mkdir(parents=True)
    done = place.run(plan, "upload_artifacts_on_success")
    assert done.returncode == 0
    assert done.stdout == (
        f"{GREEN}Uploading artifacts...{RESET}\n"
        "<job-token-0123456789><artifacts-uploader><--url><https://gitlab.example.com><--id><10>"
        "<--timeout><1h0m0s><--response-header-timeout><10m0s><--path><bin/*><--path><it's>"
        "<--exclude><bin/*.o><--untracked><--name><out-true><--expire-in><7d>"
        "<--artifact-format><zip><--artifact-type><archive>\n"
    )


def test_each_dependency_is_downloaded_with_its_own_token(place: Place) -> None:
    with_helper(place)
    one = Dependency(
        id=9, name="other", token="other-token", artifacts_file=ArtifactsFile(filename="a.zip")
    )
    none = Dependency(id=8, name="nothing", token="x", artifacts_file=ArtifactsFile())
    plan = place.plan(dependencies=(one, none))
    Path(plan.execution.project_dir).mkdir(parents=True)
    done = place.run(plan, "download_artifacts")
    assert done.stdout == (
        f"{GREEN}Downloading artifacts for other (9)...{RESET}\n"
        "<other-token><artifacts-downloader><--url><https://gitlab.example.com><--id><9>\n"
    )


def test_a_missing_helper_program_is_a_warning(place: Place) -> None:
    plan = place.plan(artifacts=(Artifact(paths=("x",)),))
    Path(plan.execution.project_dir).mkdir(parents=True)
    done = place.run(plan, "upload_artifacts_on_success")
    assert done.returncode == 0
    assert "Missing gitlab-runner-helper. Uploading artifacts is disabled." in done.stdout
