"""``/pattern/flags`` on RE2, as GitLab's UntrustedRegexp: unanchored, linear time, flags ``ismU``."""

from __future__ import annotations

import re
from functools import lru_cache
from typing import Protocol

_SLASHED = re.compile(r"^/(?P<pattern>.*)/(?P<flags>[ismU]*)$", re.MULTILINE)


class Regex(Protocol):
    """A compiled pattern."""

    def search(self, text: str) -> object:
        """Return a match, or None."""
        ...


def is_slashed(text: str) -> bool:
    """Whether a text looks like ``/pattern/flags``."""
    return _SLASHED.search(text) is not None


@lru_cache(maxsize=1024)
def compiled(source: str) -> Regex | None:
    """Return the regex of ``/pattern/flags``, or None if it is not a valid one."""
    import re2  # costs 15 ms, and many configurations have no pattern

    match = _SLASHED.search(source)
    if match is None:
        return None
    flags = "".join(dict.fromkeys(match["flags"]))
    pattern = match["pattern"].replace("\\/", "/")
    options = re2.Options()
    options.log_errors = False
    try:
        regex: Regex = re2.compile((f"(?{flags})" if flags else "") + pattern, options)
    except re2.error:
        return None
    return regex
