"""Ids of contents and of last commits, against git's own answers."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from podlane.cli.project.checkout import Checkout
from podlane.cli.project.directory import ProjectFiles


def git(root: Path, *arguments: str) -> str:
    identity = ("-c", "user.name=A", "-c", "user.email=a@b", "-c", "init.defaultBranch=main")
    done = subprocess.run(
        ["git", *identity, *arguments], cwd=root, check=True, capture_output=True, text=True
    )
    return done.stdout.strip()


def commit(root: Path, message: str = "x", **files: str) -> str:
    """Commit files; a double underscore in a name is a slash, a single one a dot."""
    for key, content in files.items():
        path = root / key.replace("__", "/").replace("_", ".")
        path.parent.mkdir(exist_ok=True, parents=True)
        path.write_text(content)
    git(root, "add", "--all")
    git(root, "commit", "--quiet", "--allow-empty", "-m", message)
    return git(root, "rev-parse", "HEAD")


@pytest.fixture
def root(tmp_path: Path) -> Path:
    made = tmp_path / "project"
    made.mkdir()
    git(made, "init", "--quiet")
    return made


def files(root: Path) -> ProjectFiles:
    return ProjectFiles(root, Path(".gitlab-ci.yml"))


def test_the_last_commit_is_that_of_the_path(root: Path) -> None:
    first = commit(root, a_lock="1", d__b_lock="1")
    second = commit(root, a_lock="2")
    commit(root, other="x")
    found = files(root)
    assert found.last_commit("a.lock") == second
    assert found.last_commit("d/b.lock") == first
    assert found.last_commit("d") == first
    assert found.last_commit("*.lock") == second
    assert found.last_commit("never") is None


def test_a_merge_counts_for_no_path_that_one_side_alone_changed(root: Path) -> None:
    commit(root, a="1", b="1")
    git(root, "checkout", "--quiet", "-b", "side")
    side = commit(root, b="side")
    commit(root, a="taken back")
    git(root, "checkout", "--quiet", "main")
    ours = commit(root, a="ours")
    git(root, "merge", "--quiet", "--no-ff", "-s", "ours", "-m", "merge", "side")
    git(root, "checkout", "side", "--", "b")
    git(root, "commit", "--quiet", "--amend", "--no-edit")
    found = files(root)
    assert found.last_commit("a") == ours
    assert found.last_commit("b") == side


def test_what_is_not_committed_has_an_id_of_its_content(root: Path) -> None:
    first = commit(root, a_lock="1", b_lock="1")
    (root / "a.lock").write_text("2")
    (root / "c.lock").write_text("new")
    changed, same, new = map(files(root).last_commit, ("a.lock", "b.lock", "c.lock"))
    assert same == first
    assert len({changed, new, first}) == 3
    assert files(root).last_commit("a.lock") == changed
    (root / "a.lock").write_text("3")
    assert files(root).last_commit("a.lock") not in {changed, first}
    (root / "a.lock").unlink()
    assert files(root).last_commit("a.lock") not in {changed, first}
    assert commit(root) == files(root).last_commit("a.lock")


@pytest.mark.parametrize("is_repository", [True, False])
def test_without_a_commit_contents_stand_in(tmp_path: Path, is_repository: bool) -> None:
    if is_repository:
        git(tmp_path, "init", "--quiet")
    (tmp_path / "a").write_text("1")
    before = files(tmp_path).last_commit("a")
    assert before is not None
    assert files(tmp_path).last_commit("missing") is None
    (tmp_path / "a").write_text("2")
    assert files(tmp_path).last_commit("a") not in {before, None}


def test_a_directory_below_the_top_is_a_project_of_its_own(root: Path) -> None:
    first = commit(root, web__a_lock="1", a_lock="1")
    commit(root, a_lock="2")
    found = files(root / "web")
    assert found.last_commit("a.lock") == first
    (root / "a.lock").write_text("3")
    assert files(root / "web").last_commit("a.lock") == first
    (root / "web" / "a.lock").write_text("3")
    assert files(root / "web").last_commit("a.lock") != first


def test_an_object_has_gits_id(root: Path) -> None:
    (root / "link").symlink_to("a.lock")
    commit(root, a_lock="1\r\n", d__b="1", d__c="2")
    found = files(root)
    for path in ("a.lock", "link", "d/b", "d"):
        assert found.object_id(path) == git(root, "rev-parse", f"HEAD:{path}"), path
    assert found.object_id("missing") is None
    assert found.object_id("missing/below") is None
    assert found.object_id("a.lock/below") is None


def test_an_object_is_what_lies_there_now(root: Path) -> None:
    commit(root, d__b="1", a="1")
    tree = files(root).object_id("d")
    (root / "d" / "b").write_text("2")
    (root / "a").write_text("2")
    assert files(root).object_id("d") not in {tree, None}
    blob = git(root, "hash-object", "a")
    assert files(root).object_id("a") == blob


def test_nothing_outside_of_the_project_has_an_id(root: Path) -> None:
    (root.parent / "outside").write_text("secret")
    (root / "way").symlink_to("..")
    commit(root, a="1")
    assert files(root).object_id("../outside") is None
    assert files(root).object_id("way/outside") is None


def test_git_is_asked_once_for_what_is_not_committed(
    root: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    commit(root, a="1", b="2")
    log = tmp_path / "calls"
    folder = tmp_path / "bin"
    folder.mkdir()
    real = subprocess.run(["which", "git"], check=True, capture_output=True, text=True).stdout
    script = f'#!/bin/sh\necho "$3" >> {log}\nexec {real.strip()} "$@"\n'
    (folder / "git").write_text(script)
    (folder / "git").chmod(0o755)
    monkeypatch.setenv("PATH", f"{folder}:/usr/bin:/bin")
    found = files(root)
    for path in ("a", "b", "c"):
        found.last_commit(path)
    calls = log.read_text().split()
    assert calls == ["diff", "ls-files", "rev-list", "rev-list", "rev-list"]


def test_changes_of_a_project_below_the_top_are_its_own(root: Path) -> None:
    first = commit(root, web__a="1", b="1")
    commit(root, web__a="2", b="2")
    (root / "web" / "new").write_text("x")
    assert Checkout(root).changed_since(first) == ["b", "web/a", "web/new"]
    assert Checkout(root / "web").changed_since(first) == ["a", "new"]


def test_a_tag_has_the_message_of_its_annotation(root: Path) -> None:
    commit(root, "of the commit", a="1")
    git(root, "tag", "plain")
    signature = "-----BEGIN SSH SIGNATURE-----\nx\n-----END SSH SIGNATURE-----"
    git(root, "tag", "-a", "v1", "-m", f"Release\n\nNotes\n{signature}")
    assert Checkout(root).tag_message("v1") == "Release\n\nNotes\n\n"
    assert Checkout(root).tag_message("plain") == ""
    assert Checkout(root).tag_message("none") == ""
