"""Commands of an ordinary user that need the node's rights: run again inside a user namespace."""

from __future__ import annotations

import os
import sys

from podlane.node import rootless


def acquire() -> None:
    """Make this process root of a user namespace, unless it has the rights already.

    The command starts again from its beginning in there, so this comes first in it.

    Raises:
        UsageError: this machine does not allow it, and what to change.
    """
    sys.stdout.flush()
    sys.stderr.flush()
    rootless.enter([sys.executable, "-m", "podlane.cli.main", *sys.argv[1:]], os.environ)
