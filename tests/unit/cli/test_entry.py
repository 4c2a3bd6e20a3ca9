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
