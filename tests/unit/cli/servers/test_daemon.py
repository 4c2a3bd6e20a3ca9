from __future__ import annotations

import os
from pathlib import Path

import pytest

from podlane.cli.servers import daemon
from podlane.kit.errors import UsageError

ME = daemon.Daemon(pid=os.getpid(), url="https://127.0.0.1:1", kubeconfig="/k")


def _record(state_dir: Path) -> Path:
    return state_dir.with_name(f"{state_dir.name}.daemon") / "daemon.json"


def test_a_state_directory_without_a_daemon_has_none(tmp_path: Path) -> None:
    assert daemon.running(tmp_path) is None
    assert daemon.running(tmp_path / "nothing") is None
    assert not daemon.stop(tmp_path)


def test_whoever_holds_the_lock_is_the_daemon(tmp_path: Path) -> None:
    with daemon.being_the_daemon(tmp_path):
        daemon.announce(tmp_path, ME)
        assert daemon.running(tmp_path) == ME
        assert (_record(tmp_path)).stat().st_mode & 0o777 == 0o600
    assert daemon.running(tmp_path) is None


def test_a_record_without_its_process_is_no_daemon(tmp_path: Path) -> None:
    with daemon.being_the_daemon(tmp_path):
        daemon.announce(tmp_path, ME)
        record = (_record(tmp_path)).read_bytes()
    (_record(tmp_path)).write_bytes(record)
    assert daemon.running(tmp_path) is None


def test_there_is_one_daemon_for_a_state_directory(tmp_path: Path) -> None:
    with (
        daemon.being_the_daemon(tmp_path),
        pytest.raises(UsageError, match="another daemon"),
        daemon.being_the_daemon(tmp_path),
    ):
        pass


def test_a_daemon_that_does_not_start_passes_on_what_it_said(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="No such command 'no-such-command'") as caught:
        daemon.start(tmp_path, ["no-such-command"])
    assert caught.value.hint == "podlane --help"
