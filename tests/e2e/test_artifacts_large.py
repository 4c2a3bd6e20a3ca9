"""Artifacts of 1 GiB travel whole, in bounded memory on every side.

The helper's bound is the kernel's: a container that holds more than its limit is killed. Page cache
does not count there, for it can be taken back.
"""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

import pytest

from tests.e2e import separate
from tests.e2e.conftest import Cluster, Project, Ran, ended

pytestmark = pytest.mark.e2e
MIB = 1024 * 1024
MEMORY_MIB = 150
LIMITS = f"""
  [runners.kubernetes]
    helper_memory_limit = "{MEMORY_MIB}Mi"
"""


def _peak_mib(pid: int) -> float:
    """The most memory that a running process ever had, in MiB."""
    found = re.search(r"^VmHWM:\s+(\d+) kB$", Path(f"/proc/{pid}/status").read_text(), re.MULTILINE)
    assert found is not None
    return int(found[1]) / 1024


def _is_in_memory(path: Path) -> bool:
    """Whether ``path`` is on a file system whose files are memory."""
    told = subprocess.run(
        ["stat", "--file-system", "--format=%T", path], capture_output=True, text=True, check=True
    )
    return told.stdout.strip() in {"tmpfs", "ramfs"}


def test_one_gib_reaches_the_next_job_in_bounded_memory(
    project: Project, cluster: Cluster, tmp_path: Path
) -> None:
    if not cluster.own:
        pytest.skip("the pods of another cluster cannot reach a coordinator on loopback")
    if _is_in_memory(tmp_path):
        pytest.skip("the pods' volumes are on a tmpfs here, which counts as the helper's memory")
    folder = project("""
    default:
      image: alpine
    variables:
      GIT_STRATEGY: none
      ARTIFACT_COMPRESSION_LEVEL: fastest
    make:
      stage: build
      script:
        - head -c 402653184 /dev/urandom > random
        - truncate -s 671088640 sparse
        - md5sum random > sum
      artifacts: {paths: [random, sparse, sum]}
    use:
      stage: test
      script:
        - md5sum -c sum
        - echo "sparse has $(stat -c %s sparse) bytes"
    """)
    with (
        separate.coordinator(tmp_path / "coordinator") as found,
        separate.runner(found, cluster, tmp_path, more=LIMITS) as runner,
        found.run(folder) as process,
    ):
        out, err = ended(process, 120)
        peaks = {"coordinator": _peak_mib(found.pid), "runner": _peak_mib(runner)}
    ran = Ran(process.returncode, out, err)
    assert ran.code == 0, ran
    assert "201 Created" in ran.trace("make")
    assert "random: OK" in ran.trace("use")
    assert "sparse has 671088640 bytes" in ran.trace("use")
    assert {name: peak for name, peak in peaks.items() if peak > MEMORY_MIB} == {}
    files = [path for path in (tmp_path / "coordinator").rglob("*") if path.is_file()]
    assert max(path.stat().st_size for path in files) > 384 * MIB
