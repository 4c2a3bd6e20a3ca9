"""A log of 200 MiB: every line arrives, and no process holds it in memory."""

from __future__ import annotations

import subprocess
import sys

import pytest

from tests.e2e.conftest import DEADLINE_SECONDS, PODLANE, Cluster, Project

pytestmark = pytest.mark.e2e
MIB = 1024 * 1024
CONFIG = """\
[[runners]]
  url = "http://set.by.podlane.run"
  token = "set by podlane run"
  executor = "kubernetes"
  output_limit = 1000000
"""
# A process of its own: what a child used is at least what its parent used when it was forked.
MEASURE = """
import resource, subprocess, sys
ran = subprocess.run(sys.argv[1:], stderr=subprocess.DEVNULL)
print(resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss, file=sys.stderr)
sys.exit(ran.returncode)
"""


def test_a_log_of_200_mib_arrives_whole_in_little_memory(
    project: Project, cluster: Cluster
) -> None:
    folder = project("""
    printer:
      image: alpine
      variables: {GIT_STRATEGY: none}
      script:
        - yes "sixty-three characters in each line, and a line feed behind it" 2>/dev/null | head -c 1048576 >/tmp/part || true
        - i=0; while [ $i -lt 200 ]; do cat /tmp/part; echo "part $i ends"; i=$((i+1)); done
    """)  # noqa: E501 - one line of a script
    (folder / "config.toml").write_text(CONFIG)
    options = ["--config", "config.toml", "--kubeconfig", str(cluster.kubeconfig)]
    log = folder.parent / "log"
    with log.open("wb") as file:
        ran = subprocess.run(
            [sys.executable, "-c", MEASURE, *PODLANE, "run", *options], cwd=folder, stdout=file,
            stderr=subprocess.PIPE, text=True, check=True, timeout=DEADLINE_SECONDS,
        )  # fmt: skip
    with log.open("rb") as file:
        ends = [line.split()[-2] for line in file if line.rstrip().endswith(b" ends")]
    assert ends == [b"%d" % number for number in range(200)]
    assert log.stat().st_size > 200 * MIB
    assert int(ran.stderr) < 250 * 1024, f"{ran.stderr} KiB"
