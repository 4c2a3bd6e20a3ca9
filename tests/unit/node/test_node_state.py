"""Who owns a state directory, what a sweep does to it, certificates, findings."""

from __future__ import annotations

import os
import shutil
import ssl
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from podlane.kit.errors import PermanentError, UsageError
from podlane.node import pki, preflight, state
from podlane.node.machine import write_kubeconfig
from podlane.node.runtime import oci
from podlane.node.settings import NodeSettings
from podlane.node.sweep import sweep


def test_a_directory_has_one_owner(tmp_path: Path) -> None:
    claim = state.claim(tmp_path / "node", tmp_path, cgroup=True)
    with pytest.raises(UsageError, match="another node is running"):
        state.claim(tmp_path / "node", tmp_path, cgroup=True)
    claim.release()
    again = state.claim(tmp_path / "node", tmp_path, cgroup=False)
    assert again.file.cgroup == ""
    again.release()


def test_a_directory_that_cannot_be_made_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(PermanentError, match="file/node"):
        state.claim(tmp_path / "file" / "node", tmp_path, cgroup=False)


def test_only_the_dead_are_swept(tmp_path: Path) -> None:
    living = state.claim(tmp_path / "run" / "living", tmp_path, cgroup=False)
    dead = state.claim(tmp_path / "run" / "dead", tmp_path, cgroup=False)
    (dead.directory / "pods" / "uid").mkdir(parents=True)
    dead.release()
    orphans = sweep(tmp_path)
    assert [orphan.pods for orphan in orphans] == [1]
    assert str(dead.directory) in str(orphans[0])
    assert not dead.directory.exists()
    assert living.directory.exists()
    living.release()


def test_a_node_waits_for_the_sweep_of_its_directory_by_another(tmp_path: Path) -> None:
    directory = tmp_path / "node"
    state.claim(directory, tmp_path, cgroup=False).release()
    inode = directory.stat().st_ino
    with ThreadPoolExecutor() as threads:
        with state.settled(directory):  # as a sweep does that has found the node dead
            lock = state.try_lock(directory)
            assert lock is not None
            claim = threads.submit(state.claim, directory, tmp_path, cgroup=False)
            while not claim.done() and not _waited_for(inode):
                pass
            shutil.rmtree(directory)
            os.close(lock)
        claimed = claim.result()
    assert state.read_node_file(directory) == claimed.file
    claimed.release()


def _waited_for(inode: int) -> bool:
    lines = Path("/proc/locks").read_text().splitlines()
    return any("->" in line and f":{inode} " in line for line in lines)


def test_what_another_boot_left_is_only_files(tmp_path: Path) -> None:
    dead = tmp_path / "node"
    (dead / "pods" / "uid").mkdir(parents=True)
    # A group of this name must not be looked for: it would be somebody else's.
    (dead / "node.json").write_text('{"boot_id": "another", "cgroup": "/podlane"}')
    assert [orphan.processes for orphan in sweep(tmp_path)] == [0]
    assert not dead.exists()


def test_certificates_are_made_once_and_serve_loopback(tmp_path: Path) -> None:
    made = pki.ensure_pki(tmp_path / "pki")
    before = made.certificate.read_bytes()
    assert pki.ensure_pki(tmp_path / "pki").certificate.read_bytes() == before
    assert made.key.stat().st_mode & 0o777 == 0o600
    assert not list((tmp_path / "pki").glob("**/ca.key"))
    made.server_context()
    ssl.create_default_context(cafile=str(made.ca))


def test_a_kubeconfig_is_for_its_owner_alone(tmp_path: Path) -> None:
    (tmp_path / "ca").write_text("x")
    write_kubeconfig(tmp_path / "kubeconfig", "https://127.0.0.1:1", tmp_path / "ca", "token")
    assert (tmp_path / "kubeconfig").stat().st_mode & 0o777 == 0o600


def test_a_missing_runtime_is_said_with_the_remedy(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "/nosuch")
    with pytest.raises(PermanentError) as caught:
        oci.find_program("auto")
    assert "crun or runc" in caught.value.message
    assert "apt-get install" in (caught.value.hint or "")


def test_checks_never_raise(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "/nosuch")
    settings = NodeSettings(data_dir=tmp_path, state_dir=tmp_path / "node", listen_port=0)
    found = {check.name: check for check in preflight.checks(settings)}
    assert found["runtime"].level is preflight.Level.FAIL
    assert "apt-get install" in found["runtime"].fix
    assert found["certificates"].level is preflight.Level.FAIL
    assert found["system"].level is preflight.Level.OK
    assert not list(tmp_path.iterdir())
