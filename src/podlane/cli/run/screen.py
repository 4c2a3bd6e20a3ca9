"""A status region at the bottom of the terminal, below text that scrolls. Pure: returns escapes.

Only changed rows are painted again. The whole update is one synchronised write (mode 2026), which
terminals that know it show at once and others ignore.
"""

from __future__ import annotations

from collections.abc import Sequence

BEGIN = "\x1b[?2026h"
END = "\x1b[?2026l"


def repaint(old: Sequence[str], new: Sequence[str], above: str = "") -> str:
    """Return what turns the region ``old`` into ``new``, with ``above`` scrolled in over it.

    The cursor stands in the first column below the region before and after. ``above`` ends with a
    line feed or is empty.
    """
    if above or len(old) != len(new):
        body = _up(len(old)) + "\x1b[J" + above + "".join(f"{row}\n" for row in new)
    else:
        body = "".join(
            f"{_up(len(new) - index)}\x1b[2K{row}\r{_down(len(new) - index)}"
            for index, (before, row) in enumerate(zip(old, new, strict=True))
            if before != row
        )
    return f"{BEGIN}{body}{END}" if body else ""


def _up(rows: int) -> str:
    return f"\r\x1b[{rows}A" if rows else "\r"


def _down(rows: int) -> str:
    return f"\x1b[{rows}B"
