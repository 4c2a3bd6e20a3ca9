"""Where the installed command begins: imports nothing before it can answer Ctrl-C."""

from __future__ import annotations

import sys


def main() -> int:
    """Run the command line; an interruption while it is being imported is no fault.

    Under the name ``gitlab-runner``, by a symbolic link, it is ``podlane runner``.
    """
    if sys.argv[0].rpartition("/")[2] == "gitlab-runner":
        sys.argv = ["podlane", "runner", *sys.argv[1:]]
    try:
        from podlane.cli.main import main as run

        return run()
    except KeyboardInterrupt:
        sys.stderr.write("error: interrupted\n")
        return 130
