"""What the configuration of a child may read: the snapshot, archives of jobs, files from elsewhere."""

from __future__ import annotations

import dataclasses
import zipfile
from pathlib import Path

import pytest

from podlane.compiler.context import FetchError, RemoteFile
from podlane.coordinator.children import snapshotfiles
from podlane.coordinator.children.snapshotfiles import SnapshotFiles
from podlane.coordinator.submission import ChildFacts
from podlane.kit.errors import PermanentError
from tests.contract.runner_api.bench import git, working_tree


def files_of(tmp_path: Path, facts: ChildFacts | None = None, **archives: Path) -> SnapshotFiles:
    tree = tmp_path / "project"
    if not tree.exists():
        working_tree(tree)
        (tree / "deep").mkdir()
        (tree / "deep" / "child.yml").write_text("child\n")
        git(tree, "add", "--all")
        git(tree, "commit", "--quiet", "-m", "Second")
    return SnapshotFiles(
        main_name="main", main="{}", repository=tree / ".git", sha=git(tree, "rev-parse", "HEAD"),
        source=tree, facts=facts or ChildFacts(), archives=archives,
    )  # fmt: skip


def archive(tmp_path: Path, **files: bytes) -> Path:
    path = tmp_path / "archive.zip"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as opened:
        for name, content in files.items():
            opened.writestr(name.replace("__", "/"), content)
    return path


def asked(path: str, job: str = "make") -> RemoteFile:
    return RemoteFile(kind="artifact", location=path, file=job)


def test_files_are_those_of_the_commit(tmp_path: Path) -> None:
    files = files_of(tmp_path)
    (tmp_path / "project" / "deep" / "child.yml").write_text("changed\n")
    (tmp_path / "project" / "new.yml").write_text("new\n")
    assert files.read_local("main") == "{}"
    assert files.read_local("deep/child.yml") == b"child\n"
    assert files.read_local("/deep/child.yml") == b"child\n"
    for missing in ("new.yml", "deep", "../project/committed.txt", "--help"):
        assert files.read_local(missing) is None
    assert list(files.list_files()) == ["committed.txt", "deep/child.yml"]


def test_changes_are_the_parents_or_since_a_ref_of_the_user(tmp_path: Path) -> None:
    files = files_of(tmp_path, ChildFacts(changes=("a", "b")))
    assert files.changed_files(None) == ("a", "b")
    git(tmp_path / "project", "branch", "old", "HEAD~1")
    assert files.changed_files("old") == ["deep/child.yml"]
    with pytest.raises(FetchError, match="compare_to is not a valid ref"):
        files.changed_files("nope")


def test_keys_of_caches_are_those_of_the_working_tree_where_it_is_committed(
    tmp_path: Path,
) -> None:
    files = files_of(tmp_path)
    tree = tmp_path / "project"
    assert files.object_id("deep/child.yml") == git(tree, "rev-parse", "HEAD:deep/child.yml")
    assert files.object_id("deep") == git(tree, "rev-parse", "HEAD:deep")
    assert files.object_id("nope") is None
    assert files.last_commit("committed.txt") == git(tree, "rev-parse", "HEAD~1")
    assert files.last_commit("deep") == git(tree, "rev-parse", "HEAD")
    assert files.last_commit("nope") is None
    git(tree, "reset", "--quiet", "--soft", "HEAD~1")
    stand_in = files.last_commit("deep")
    assert stand_in not in {None, files.sha, git(tree, "rev-parse", "HEAD")}
    assert files.last_commit("deep") == stand_in


def test_a_file_of_an_archive_is_read(tmp_path: Path) -> None:
    files = files_of(tmp_path, make=archive(tmp_path, out__child=b"x"))
    assert files.read_remote(asked("out/child")) == b"x"


@pytest.mark.parametrize(
    ("wanted", "why"),
    [
        (asked("out/child", "other"), "Job `other` not found in parent pipeline or does not have"),
        (asked("nope"), "Path `nope` does not exist inside the `make` artifacts archive!"),
        (asked("out"), "Path `out` was expected to be a file but it was a directory!"),
        (asked("out/"), "Path `out/` was expected to be a file but it was a directory!"),
        (asked("big"), "The file `big` in job `make` is too large"),
    ],
)
def test_what_is_wrong_with_an_artifact_is_told_in_gitlabs_words(
    tmp_path: Path, wanted: RemoteFile, why: str
) -> None:
    big = bytes(snapshotfiles.MAX_ARTIFACT_BYTES + 1)  # packs to a few kilobytes
    files = files_of(tmp_path, make=archive(tmp_path, out__child=b"x", big=big))
    with pytest.raises(FetchError, match=why):
        files.read_remote(wanted)


def test_a_large_or_broken_archive_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "archive.zip"
    path.write_bytes(b"no zip")
    files = files_of(tmp_path, make=path)
    with pytest.raises(FetchError, match="Artifacts archive for job `make` cannot be read"):
        files.read_remote(asked("x"))
    path.write_bytes(bytes(snapshotfiles.MAX_ARTIFACT_BYTES + 1))
    with pytest.raises(FetchError, match="Artifacts archive for job `make` is too large"):
        files.read_remote(asked("x"))


def test_a_working_tree_that_is_gone_has_no_refs_and_the_snapshot_stays(tmp_path: Path) -> None:
    files = files_of(tmp_path)
    gone = dataclasses.replace(files, source=tmp_path / "gone")
    assert gone.read_local("committed.txt") == b"committed\n"
    with pytest.raises(FetchError, match="compare_to is not a valid ref"):
        gone.changed_files("main")
    nowhere = dataclasses.replace(files, repository=tmp_path / "gone")
    with pytest.raises(PermanentError, match="git cat-file cannot read the snapshot"):
        nowhere.read_local("committed.txt")


def test_a_ref_that_looks_like_an_option_is_none(tmp_path: Path) -> None:
    with pytest.raises(FetchError, match="compare_to is not a valid ref"):
        files_of(tmp_path).changed_files("--all")
