"""A real ``git`` fetches a dirty working tree; the user's repository stays as it is."""

from __future__ import annotations

import base64
import hashlib
import logging
import shutil
import socket
import struct
import time
from pathlib import Path
from urllib.parse import urlsplit

import anyio
import anyio.abc
import pytest

from podlane.coordinator.app import CoordinatorSettings, running_coordinator
from podlane.coordinator.events import PipelineFinished
from podlane.coordinator.submission import Submission
from podlane.gitlab.client import open_client
from podlane.gitlab.wire import JobUpdate
from podlane.kit.errors import PermanentError, UsageError
from podlane.kit.tasks import plain_errors
from podlane.model.job import Job
from podlane.model.pipeline import AllowFailure, When
from tests.contract.runner_api.bench import (
    Bench,
    client_settings,
    git,
    job,
    pipeline,
    raw_session,
    running_bench,
    working_tree,
)

pytestmark = pytest.mark.anyio


def dirty_tree(directory: Path) -> Path:
    """Make a repository with staged, unstaged, untracked, ignored, deleted, stashed content."""
    working_tree(directory)
    (directory / "stashed.txt").write_text("stashed\n")
    git(directory, "add", "stashed.txt")
    git(directory, "stash", "--quiet")
    (directory / "gone.txt").write_text("x\n")
    (directory / ".gitignore").write_text("ignored.txt\n")
    git(directory, "add", "--all")
    git(directory, "commit", "--quiet", "-m", "Second")
    (directory / "committed.txt").write_text("changed\n")
    (directory / "staged.txt").write_text("staged\n")
    git(directory, "add", "staged.txt")
    (directory / "staged.txt").write_text("staged, then changed\n")
    (directory / "untracked.txt").write_text("untracked\n")
    (directory / "ignored.txt").write_text("ignored\n")
    (directory / "run.sh").write_text("#!/bin/sh\n")
    (directory / "run.sh").chmod(0o755)
    (directory / "gone.txt").unlink()
    return directory


def fingerprint(directory: Path) -> dict[str, str]:
    """Return path -> hash of every file below, ``.git`` included."""
    return {
        str(path.relative_to(directory)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(directory.rglob("*"))
        if path.is_file()
    }


async def fetch(job: Job, target: Path) -> float:
    """Get the sources as the runner's script does: init, shallow fetch of the refspecs, checkout."""
    target.mkdir()  # noqa: ASYNC240 - a test
    git(target, "init", "--quiet")
    git(target, "remote", "add", "origin", job.git_info.repo_url)
    started = time.perf_counter()
    refspecs = job.git_info.refspecs or ()
    arguments = ("fetch", "--quiet", "--depth", str(job.git_info.depth), "origin", *refspecs)
    await anyio.to_thread.run_sync(git, target, *arguments)
    seconds = time.perf_counter() - started
    git(target, "checkout", "--quiet", "--force", job.git_info.sha)
    return seconds


async def test_a_dirty_working_tree_is_fetched_as_it_is_and_left_as_it_was(tmp_path: Path) -> None:
    tree = dirty_tree(tmp_path / "project")
    before = fingerprint(tree)
    async with running_bench(tmp_path) as bench:
        await bench.start()
        taken = await bench.next_job()
        await fetch(taken, tmp_path / "clone")
    assert fingerprint(tree) == before
    clone = tmp_path / "clone"
    found = {path.name: path.read_text() for path in clone.iterdir() if path.is_file()}
    assert found == {
        ".gitignore": "ignored.txt\n",
        "committed.txt": "changed\n",
        "staged.txt": "staged, then changed\n",
        "untracked.txt": "untracked\n",
        "run.sh": "#!/bin/sh\n",
    }
    assert (clone / "run.sh").stat().st_mode & 0o111
    variables = {v.key: v.value for v in taken.variables}
    assert variables["CI_COMMIT_TITLE"] == "Second"
    assert variables["CI_COMMIT_BRANCH"] == "main"
    assert variables["CI_COMMIT_SHA"] == git(clone, "rev-parse", "HEAD")


@pytest.mark.parametrize("body", [b"", b"4\r\n0011\r\n"])
async def test_a_fetch_that_breaks_off_is_no_bug_of_ours(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, body: bytes
) -> None:
    async with running_bench(tmp_path) as bench:
        await bench.start()
        taken = await bench.next_job()
        place = urlsplit(taken.git_info.repo_url)
        credentials = f"{place.username}:{place.password}".encode()
        head = (
            f"POST {place.path}/git-upload-pack HTTP/1.1\r\nHost: h\r\n"
            f"Authorization: Basic {base64.b64encode(credentials).decode()}\r\n"
            "Transfer-Encoding: chunked\r\n\r\n"
        )
        assert place.hostname is not None
        assert place.port is not None
        async with await anyio.connect_tcp(place.hostname, place.port) as stream:
            await stream.send(head.encode() + body)
            assert (await stream.receive()).startswith(b"HTTP/1.1 200 ")
            # A pod that is removed says no good-bye: its connections are reset.
            raw = stream.extra(anyio.abc.SocketAttribute.raw_socket)
            raw.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        await fetch(taken, tmp_path / "clone")
    assert [record for record in caplog.records if record.levelno >= logging.WARNING] == []


async def test_a_clean_working_tree_is_the_users_own_commit(tmp_path: Path) -> None:
    async with running_bench(tmp_path) as bench:
        await bench.start()
        taken = await bench.next_job()
        assert taken.git_info.sha == git(bench.tree, "rev-parse", "HEAD")
        await fetch(taken, tmp_path / "clone")
        assert (tmp_path / "clone" / "committed.txt").read_text() == "committed\n"


async def test_a_file_changed_right_after_it_was_committed_is_seen(tmp_path: Path) -> None:
    """Same size, same second: git notices only because the index keeps its time stamp."""
    tree = working_tree(tmp_path / "project")
    (tree / "committed.txt").write_text("COMMITTED\n")
    async with running_bench(tmp_path) as bench:
        await bench.start()
        taken = await bench.next_job()
        await fetch(taken, tmp_path / "clone")
    assert (tmp_path / "clone" / "committed.txt").read_text() == "COMMITTED\n"


async def test_a_directory_that_is_no_repository_is_served_too(tmp_path: Path) -> None:
    tree = tmp_path / "project"
    (tree / "sub").mkdir(parents=True)
    (tree / "sub" / "file.txt").write_text("content\n")
    before = fingerprint(tree)
    async with running_bench(tmp_path) as bench:
        await bench.start()
        taken = await bench.next_job()
        await fetch(taken, tmp_path / "clone")
    assert (tmp_path / "clone" / "sub" / "file.txt").read_text() == "content\n"
    assert fingerprint(tree) == before
    assert not (tree / ".git").exists()
    assert taken.git_info.before_sha == "0" * 40


async def test_a_repository_without_a_commit_inside_another_is_named(tmp_path: Path) -> None:
    tree = working_tree(tmp_path / "project")
    (tree / "inner").mkdir()
    git(tree / "inner", "init", "--quiet")
    async with running_bench(tmp_path) as bench:
        with pytest.raises(PermanentError, match="inner") as caught, plain_errors():
            await bench.start()
    assert "without a commit" in (caught.value.hint or "")


async def test_a_repository_without_a_commit_is_served_too(tmp_path: Path) -> None:
    tree = tmp_path / "project"
    tree.mkdir()
    git(tree, "init", "--quiet")
    (tree / "first.txt").write_text("first\n")
    async with running_bench(tmp_path) as bench:
        await bench.start()
        await fetch(await bench.next_job(), tmp_path / "clone")
    assert (tmp_path / "clone" / "first.txt").read_text() == "first\n"


async def test_a_linked_worktree_serves_its_own_branch_and_files(tmp_path: Path) -> None:
    main = working_tree(tmp_path / "main")
    git(main, "worktree", "add", "--quiet", "-b", "side/branch", str(tmp_path / "project"))
    (tmp_path / "project" / "new.txt").write_text("new\n")
    async with running_bench(tmp_path) as bench:
        await bench.start()
        taken = await bench.next_job()
        await fetch(taken, tmp_path / "clone")
    assert taken.git_info.ref == "side/branch"
    assert (tmp_path / "clone" / "new.txt").exists()
    assert (tmp_path / "clone" / "committed.txt").exists()


async def test_a_directory_below_the_top_of_a_repository_is_a_project_of_its_own(
    tmp_path: Path,
) -> None:
    tree = working_tree(tmp_path / "project")
    (tree / "sub" / "deep").mkdir(parents=True)
    (tree / "sub" / "deep" / "new.txt").write_text("new\n")
    async with running_bench(tmp_path) as bench:
        await Bench(bench.coordinator, bench.client, tree / "sub").start()
        taken = await bench.next_job()
        await fetch(taken, tmp_path / "clone")
    assert (tmp_path / "clone" / "deep" / "new.txt").read_text() == "new\n"
    assert not (tmp_path / "clone" / "committed.txt").exists()
    assert set(taken.git_info.before_sha) == {"0"}


async def test_a_directory_whose_files_are_all_ignored_is_an_empty_project(tmp_path: Path) -> None:
    tree = working_tree(tmp_path / "project")
    (tree / "sub").mkdir()
    (tree / "sub" / ".gitignore").write_text("*\n")
    (tree / "sub" / "unseen.txt").write_text("unseen\n")
    async with running_bench(tmp_path) as bench:
        await Bench(bench.coordinator, bench.client, tree / "sub").start()
        await fetch(await bench.next_job(), tmp_path / "clone")
    assert [path.name for path in (tmp_path / "clone").iterdir()] == [".git"]


async def test_a_shallow_clone_of_the_user_is_served(tmp_path: Path) -> None:
    origin = working_tree(tmp_path / "origin")
    for number in range(3):
        git(origin, "commit", "--quiet", "--allow-empty", "-m", f"number {number}")
    git(tmp_path, "clone", "--quiet", "--depth", "1", f"file://{origin}", "project")
    (tmp_path / "project" / "new.txt").write_text("new\n")
    async with running_bench(tmp_path) as bench:
        await bench.start()
        await fetch(await bench.next_job(), tmp_path / "clone")
    assert (tmp_path / "clone" / "new.txt").exists()


async def test_odd_names_are_served_too(tmp_path: Path) -> None:
    tree = working_tree(tmp_path / 'odd: "näme" #1')
    (tree / 'new: file "ü".txt').write_text("new\n")
    (tree / "sub").mkdir()
    (tree / "sub" / "link").symlink_to("../committed.txt")
    async with running_bench(tmp_path) as bench:
        await Bench(bench.coordinator, bench.client, tree).start()
        await fetch(await bench.next_job(), tmp_path / "clone")
    assert (tmp_path / "clone" / 'new: file "ü".txt').exists()
    assert (tmp_path / "clone" / "sub" / "link").readlink() == Path("../committed.txt")


async def test_several_pipelines_of_one_tree_can_start_at_once(tmp_path: Path) -> None:
    async with running_bench(tmp_path) as bench:
        async with anyio.create_task_group() as tasks:
            for _ in range(5):
                tasks.start_soon(bench.start)
        for number in range(5):
            await fetch(await bench.next_job(), tmp_path / f"clone{number}")


async def test_our_own_data_directory_in_the_tree_is_left_out(tmp_path: Path) -> None:
    tree = working_tree(tmp_path / "project")
    settings = CoordinatorSettings(data_dir=tree / ".podlane")
    async with (
        running_coordinator(settings) as coordinator,
        open_client(client_settings(coordinator.url, coordinator.runner_token)) as client,
    ):
        bench = Bench(coordinator, client, tree)
        await bench.start()
        await fetch(await bench.next_job(), tmp_path / "clone")
    assert not (tmp_path / "clone" / ".podlane").exists()


async def test_a_tag_is_fetched_as_a_tag(tmp_path: Path) -> None:
    async with running_bench(tmp_path) as bench:
        submission = Submission(pipeline=pipeline(), source=str(bench.tree), ref="v1", is_tag=True)
        await bench.coordinator.create_pipeline(submission)
        taken = await bench.next_job()
        await fetch(taken, tmp_path / "clone")
    assert git(tmp_path / "clone", "tag", "--points-at", "HEAD") == "v1"
    values = {v.key: v.value for v in taken.variables}
    assert values["CI_COMMIT_TAG"] == "v1"
    assert "CI_COMMIT_BRANCH" not in values
    assert values["CI_DEFAULT_BRANCH"] == "main"


@pytest.mark.parametrize("ref", ["../../x", "a..b", "a b", "x.lock", ".x", "a//b", "a\n"])
async def test_a_ref_that_git_would_refuse_is_refused(tmp_path: Path, ref: str) -> None:
    async with running_bench(tmp_path) as bench:
        submission = Submission(pipeline=pipeline(), source=str(bench.tree), ref=ref)
        with pytest.raises(UsageError, match="not a name"):
            await bench.coordinator.create_pipeline(submission)


async def test_a_git_clone_without_depth_works(tmp_path: Path) -> None:
    async with running_bench(tmp_path) as bench:
        await bench.start()
        taken = await bench.next_job()
        url = taken.git_info.repo_url
        arguments = ("clone", "--quiet", "--branch", "main", url, "clone")
        await anyio.to_thread.run_sync(git, tmp_path, *arguments)
        old = ("-c", "protocol.version=0", "clone", "--quiet", "--branch", "main", url, "old")
        await anyio.to_thread.run_sync(git, tmp_path, *old)
    assert (tmp_path / "clone" / "committed.txt").exists()
    assert (tmp_path / "old" / "committed.txt").exists()


async def test_the_repository_is_closed_when_the_job_has_ended(tmp_path: Path) -> None:
    async with running_bench(tmp_path) as bench:
        await bench.start()
        taken = await bench.next_job()
        await bench.client.update_job(taken.id, taken.token, JobUpdate(state="success"))
        with pytest.raises(Exception, match="128"):
            await fetch(taken, tmp_path / "clone")


async def test_a_manual_job_finds_its_sources_after_everybody_has_gone(tmp_path: Path) -> None:
    content = pipeline(job("later", when=When.MANUAL, allow_failure=AllowFailure()))
    async with running_bench(tmp_path) as bench:
        pipeline_id = await bench.start(content)
        *_, last = [event async for event in bench.coordinator.events(pipeline_id)]
        assert isinstance(last, PipelineFinished)
    async with running_bench(tmp_path) as bench:  # and after a restart
        await bench.coordinator.play(pipeline_id, "later")
        await fetch(await bench.next_job(), tmp_path / "clone")
    assert (tmp_path / "clone" / "committed.txt").exists()


@pytest.mark.skipif(shutil.which("git-lfs") is None, reason="git-lfs is not installed")
async def test_lfs_objects_of_the_working_tree_reach_the_job(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GIT_LFS_SKIP_SMUDGE", "1")
    tree = working_tree(tmp_path / "project")
    git(tree, "lfs", "install", "--local", "--skip-smudge")
    (tree / ".gitattributes").write_text("*.bin filter=lfs diff=lfs merge=lfs -text\n")
    (tree / "committed.bin").write_text("committed\n" * 1000)
    git(tree, "add", "--all")
    git(tree, "commit", "--quiet", "-m", "LFS")
    (tree / "changed.bin").write_text("not committed\n" * 1000)
    async with running_bench(tmp_path) as bench:
        await bench.start()
        taken = await bench.next_job()
        clone = tmp_path / "clone"
        await fetch(taken, clone)
        assert (clone / "committed.bin").read_text().startswith("version https://git-lfs")
        await anyio.to_thread.run_sync(git, clone, "lfs", "pull")
        assert (clone / "committed.bin").read_text() == "committed\n" * 1000
        assert (clone / "changed.bin").read_text() == "not committed\n" * 1000
        batch = f"{taken.git_info.repo_url}/info/lfs/objects/batch"
        async with raw_session() as session:
            missing = {"operation": "download", "objects": [{"oid": "0" * 64, "size": 1}]}
            async with session.post(batch, json=missing) as answer:
                (told,) = (await answer.json(content_type=None))["objects"]
            assert told["error"]["code"] == 404
            assert "git lfs fetch" in told["error"]["message"]
            async with session.post(batch, json={"operation": "upload"}) as answer:
                assert answer.status == 403
            async with session.post(batch.replace(taken.token, "x"), json=missing) as answer:
                assert answer.status == 401


async def test_a_long_batch_of_lfs_objects_is_read_to_its_end(tmp_path: Path) -> None:
    async with running_bench(tmp_path) as bench:
        await bench.start()
        taken = await bench.next_job()
        asked = [{"oid": f"{number:064x}", "size": 1} for number in range(5000)]
        async with raw_session() as session:
            batch = f"{taken.git_info.repo_url}/info/lfs/objects/batch"
            body = {"operation": "download", "objects": asked}
            async with session.post(batch, json=body) as answer:
                assert answer.status == 200
                told = (await answer.json(content_type=None))["objects"]
    assert [entry["oid"] for entry in told] == [entry["oid"] for entry in asked]


async def test_nobody_pushes(tmp_path: Path) -> None:
    async with running_bench(tmp_path) as bench:
        await bench.start()
        taken = await bench.next_job()
        await fetch(taken, tmp_path / "clone")
        with pytest.raises(Exception, match="128"):
            await anyio.to_thread.run_sync(
                git, tmp_path / "clone", "push", taken.git_info.repo_url, "HEAD:refs/heads/x"
            )


async def test_a_missing_directory_is_told(tmp_path: Path) -> None:
    async with running_bench(tmp_path) as bench:
        lost = Bench(bench.coordinator, bench.client, tmp_path / "nowhere")
        with pytest.raises(UsageError, match="there is no directory"):
            await lost.start()


async def test_a_shallow_fetch_is_fast(tmp_path: Path) -> None:
    async with running_bench(tmp_path) as bench:
        await bench.start()
        taken = await bench.next_job()
        seconds = sorted([await fetch(taken, tmp_path / f"clone{n}") for n in range(5)])
    print("shallow fetch:", [round(s * 1000, 1) for s in seconds], "ms")
    assert seconds[0] < 1.0  # the bar is 60 ms on a quiet machine, see make bench


@pytest.mark.parametrize(
    ("url", "path"),
    [
        ("https://gitlab.example.com/group/sub/app.git", "group/sub/app"),
        ("git@gitlab.example.com:group/app.git", "group/app"),
        ("ssh://git@host:22/group/app", "group/app"),
        ("/srv/git/app.git", "local/project"),
    ],
)
async def test_the_project_has_the_path_that_origin_has(
    tmp_path: Path, url: str, path: str
) -> None:
    tree = working_tree(tmp_path / "project")
    git(tree, "remote", "add", "origin", url)
    async with running_bench(tmp_path) as bench:
        await bench.start()
        taken = await bench.next_job()
        await fetch(taken, tmp_path / "clone")
    assert {v.key: v.value for v in taken.variables}["CI_PROJECT_PATH"] == path
    assert (tmp_path / "clone" / "committed.txt").exists()
