"""Whether the maker of a pod lives."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

from podlane.executors.kubernetes.restart.process import household, is_alive, own_label


def test_this_process_lives_and_another_one_with_its_number_does_not() -> None:
    label = own_label("home")
    assert is_alive(label)
    assert household(label) == "home"
    boot, pid, started = label.partition(".")[0].split("-")
    assert not is_alive(f"{boot}-{pid}-{int(started) + 1}")
    assert not is_alive(f"another-{pid}-{started}")


def test_a_killed_process_is_dead_before_its_parent_has_noticed() -> None:
    script = (
        "from podlane.executors.kubernetes.restart.process import own_label\n"
        "print(own_label(), flush=True)\n"
        "input()\n"
    )
    with subprocess.Popen(
        [sys.executable, "-c", script], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as child:
        assert child.stdout is not None
        label = child.stdout.readline().strip()
        assert is_alive(label)
        child.kill()
        # Waits for the end, and leaves the zombie.
        os.waitid(os.P_PID, child.pid, os.WEXITED | os.WNOWAIT)
        assert Path(f"/proc/{child.pid}/stat").exists()
        assert not is_alive(label)
