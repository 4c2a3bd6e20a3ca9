"""The first moments of the installed command."""

from __future__ import annotations

import subprocess
import sys

PROGRAM = """
import sys

class Interrupts:
    def find_spec(self, name, path=None, target=None):
        if name == "click":
            raise KeyboardInterrupt

sys.meta_path.insert(0, Interrupts())
from podlane.cli.entry import main
sys.exit(main())
"""


def test_ctrl_c_while_the_command_is_being_imported_is_told_in_a_line() -> None:
    ran = subprocess.run([sys.executable, "-c", PROGRAM], capture_output=True, text=True)
    assert (ran.returncode, ran.stderr, ran.stdout) == (130, "error: interrupted\n", "")


AS_GITLAB_RUNNER = """
import sys

sys.argv = ["/usr/bin/gitlab-runner", *sys.argv[1:]]
from podlane.cli.entry import main
sys.exit(main())
"""


def as_gitlab_runner(*words: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-c", AS_GITLAB_RUNNER, *words]
    return subprocess.run(command, capture_output=True, text=True)


def test_under_the_name_of_gitlab_runner_its_commands_are_there() -> None:
    ran = as_gitlab_runner("--debug", "lint", "--help")
    assert (ran.returncode, ran.stderr) == (0, "")
    assert ran.stdout.startswith("Usage: podlane runner lint")
    ran = as_gitlab_runner("--version")
    assert (ran.returncode, ran.stdout.startswith("podlane ")) == (0, True)
