"""``verify-version``: whether this helper is of the expected version."""

from __future__ import annotations

from podlane.helper import console
from podlane.helper.flags import Flag, Values
from podlane.helper.version import version

FLAGS = (Flag("expected", help="the version that this program must have"),)


def run(values: Values) -> int:
    """Compare."""
    expected = values.text("expected")
    if not expected:
        console.fatal("missing --expected")
    if version() != expected:
        console.fatal(f'helper version "{version()}" does not match runner version "{expected}"')
    print(f"helper version {version()} matches the runner")
    return 0
