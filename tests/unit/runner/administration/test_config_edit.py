"""Rewriting config.toml: what the user wrote stays."""

from __future__ import annotations

import errno
import os
import stat
import tomllib
from pathlib import Path

import pytest

from podlane.kit.errors import UsageError
from podlane.kit.jsonvalue import JsonObject
from podlane.runner.administration.config_edit import (
    ConfigEdit,
    RunnerToken,
    is_writable,
    write_private,
)

WRITTEN = """\
# this machine
concurrent = 4   # four

[[runners]] # the first
  name = "one"
  token = "glrt-1" # from the vault
  [runners.kubernetes]
    namespace = "ci" # not default

# the second
[[runners]]
  name = "two"
  token = "$TOKEN"
"""


def edit(text: str = WRITTEN) -> ConfigEdit:
    return ConfigEdit(Path("config.toml"), text)


def test_an_edit_without_a_change_changes_nothing() -> None:
    assert edit().text() == WRITTEN


def test_a_new_token_changes_only_its_lines() -> None:
    changed = edit()
    changed.renew(0, "glrt-1", RunnerToken(token="glrt-9", id=3, obtained_at=1e9, expires_at=2e9))
    lines = changed.text().splitlines()
    assert '  token = "glrt-9" # from the vault' in lines
    assert [line for line in WRITTEN.splitlines() if line not in lines] == [
        '  token = "glrt-1" # from the vault'
    ]
    first = tomllib.loads(changed.text())["runners"][0]
    assert (first["id"], first["token_expires_at"].year) == (3, 2033)


def test_a_token_that_never_expires_is_written_as_gitlab_runner_does() -> None:
    changed = edit()
    changed.renew(0, "glrt-1", RunnerToken(token="x", obtained_at=1e9))
    assert "token_expires_at = 0001-01-01T00:00:00Z" in changed.text()


def test_a_runner_is_found_by_its_token_when_the_file_has_changed() -> None:
    changed = edit()
    changed.remove(0)
    changed.add({"name": "three", "token": "glrt-1"})
    changed.renew(0, "t", RunnerToken(token="by-variable"))
    changed.renew(5, "glrt-1", RunnerToken(token="by-token"))
    assert [r["token"] for r in tomllib.loads(changed.text())["runners"]] == [
        "by-variable", "by-token",
    ]  # fmt: skip
    with pytest.raises(UsageError, match="no more"):
        changed.renew(1, "gone", RunnerToken(token="y"))


def test_an_added_runner_has_its_tables_after_its_values() -> None:
    changed = edit("")
    changed.add(
        {"name": "n", "kubernetes": {"pod_labels": {"a.b/c": "d"}, "image": "i"}, "limit": 2},
        RunnerToken(token="t", id=7),
    )
    (entry,) = tomllib.loads(changed.text())["runners"]
    assert entry["kubernetes"] == {"image": "i", "pod_labels": {"a.b/c": "d"}}
    assert (entry["limit"], entry["token"], entry["id"]) == (2, "t", 7)


def test_the_last_runner_leaves_no_empty_list() -> None:
    changed = edit()
    changed.remove(1)
    changed.remove(0)
    assert "runners" not in tomllib.loads(changed.text())
    changed.add({"name": "again"})
    assert tomllib.loads(changed.text())["runners"] == [{"name": "again"}]


def test_what_is_no_toml_is_not_touched(tmp_path: Path) -> None:
    file = tmp_path / "config.toml"
    file.write_text("concurrent = [")
    with pytest.raises(UsageError, match="cannot change"):
        ConfigEdit.open(file)


def test_a_file_is_private_and_replaced_in_one_step(tmp_path: Path) -> None:
    file = tmp_path / "new" / "config.toml"
    write_private(file, "a")
    before = file.stat().st_ino
    file.chmod(0o644)
    write_private(file, "b")
    assert file.stat().st_ino != before
    assert (file.read_text(), stat.S_IMODE(file.stat().st_mode)) == ("b", 0o600)
    assert stat.S_IMODE(file.parent.stat().st_mode) == 0o700
    assert list(file.parent.iterdir()) == [file]


def test_a_file_that_cannot_be_replaced_is_overwritten(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "config.toml"
    file.write_text("old")

    def mounted(self: Path, target: Path) -> Path:
        raise OSError(errno.EBUSY, os.strerror(errno.EBUSY))

    monkeypatch.setattr(Path, "replace", mounted)
    write_private(file, "new")
    assert file.read_text() == "new"
    assert list(tmp_path.iterdir()) == [file]


def test_a_link_stays_a_link(tmp_path: Path) -> None:
    real = tmp_path / "real.toml"
    real.write_text(WRITTEN)
    link = tmp_path / "config.toml"
    link.symlink_to(real)
    changed = ConfigEdit.open(link)
    changed.remove(0)
    changed.save()
    assert link.is_symlink()
    assert '"one"' not in real.read_text()
    assert is_writable(link)


def test_an_added_runner_begins_as_gitlab_runner_writes_it() -> None:
    changed = edit("")
    entry: JsonObject = {"executor": "kubernetes", "limit": 3, "name": "n", "url": "u"}
    changed.add(entry, RunnerToken(token="glrt-x", id=7, obtained_at=1e9))
    keys = [line.partition(" ")[0] for line in changed.text().splitlines() if " = " in line]
    assert keys == [
        "name", "url", "id", "token", "token_obtained_at", "token_expires_at", "executor", "limit",
    ]  # fmt: skip
