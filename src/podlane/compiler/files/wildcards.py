"""The wildcards of ``include:local`` and ``cache:key:files``: only ``*`` and ``**`` are special.

GitLab's ``search_files_by_wildcard_path``: ``**/`` is any directories or none, ``**`` any characters,
``*`` any but a slash. ``rules:changes`` and ``exists`` have richer patterns: ``globs``.
"""

from __future__ import annotations

import re
from collections.abc import Callable

_MEANINGS = {r"\*\*/": "(?:.*/)?", r"\*\*": ".*", r"\*": "[^/]*"}  # in GitLab's order
_MAX_STARS = 6  # above this, the engine that cannot backtrack


def matcher(pattern: str) -> Callable[[str], bool]:
    """Return the test of a path against a pattern."""
    source = re.escape(pattern)
    for stars, meaning in _MEANINGS.items():
        source = source.replace(stars, meaning)
    if pattern.count("*") > _MAX_STARS:
        import re2

        slow = re2.compile(source)
        return lambda path: slow.fullmatch(path) is not None
    fast = re.compile(source)
    return lambda path: fast.fullmatch(path) is not None
