"""How a node without root enters its namespace."""

from __future__ import annotations

from pathlib import Path

import pytest

from podlane.node import rootless
from podlane.node.settings import default_data_dir


def test_the_command_runs_in_namespaces_of_its_own() -> None:
    command = rootless.entry_command(["podlane", "run"], has_range=True)
    assert command[0] == "unshare"
    assert {"--map-auto", "--kill-child", "--pid", "--mount"} <= set(command)
    assert command[-3:] == ("--", "podlane", "run")
    assert "--map-auto" not in rootless.entry_command(["x"], has_range=False)


def test_inside_the_namespace_nothing_more_is_needed() -> None:
    assert not rootless.needed({rootless.MARK: "1"})


def test_a_range_is_read_for_the_right_user(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("os.getuid", lambda: 4_000_000)
    file = tmp_path / "subuid"
    file.write_text("other:100000:65536\n4000000:200000:1000\nbroken\n")
    assert rootless.range_size(file) == 1000
    assert rootless.range_size(tmp_path / "none") == 0


def test_the_data_directory_is_the_users_own() -> None:
    assert default_data_dir({}, uid=0) == Path("/var/lib/podlane")
    assert default_data_dir({"HOME": "/h"}, uid=1) == Path("/h/.local/share/podlane")
    inside = {"PODLANE_ROOTLESS": "1", "XDG_DATA_HOME": "/x"}
    assert default_data_dir(inside, uid=0) == Path("/x/podlane")


def test_a_machine_that_refuses_a_namespace_is_named_with_its_own_words(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    refusing = tmp_path / "unshare"
    refusing.write_text("#!/bin/sh\necho unshare failed: Operation not permitted >&2\nexit 1\n")
    refusing.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")
    why = rootless.refusal()
    assert why is not None
    assert why.message.endswith("refuses one: unshare failed: Operation not permitted")
