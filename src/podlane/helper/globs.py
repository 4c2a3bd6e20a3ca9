r"""Patterns of ``artifacts:paths`` and ``exclude``: doublestar, as the official helper reads them.

``*`` and ``?`` stay inside one path segment, ``**`` spans any number of directories (none too),
``[a-c]``, ``[^a]``, ``{one,two}`` and ``\x``. Names that begin with a dot are matched like any other.
Directories that are links are not entered by ``**``.
"""

from __future__ import annotations

import itertools
import os
import re
from collections.abc import Iterator
from functools import lru_cache

_MAGIC = re.compile(r"[*?\[{\\]")


def glob(pattern: str) -> list[str]:
    """Return the existing paths that match ``pattern``, sorted, each once. No match is no error."""
    found: dict[str, None] = {}
    for plain in expand_braces(pattern):
        root = "/" if plain.startswith("/") else ""
        segments = [part for part in plain.split("/") if part not in {"", "."}]
        if not segments and plain:
            found[root or "."] = None
        elif segments:
            found.update(dict.fromkeys(_walk(root, segments)))
    return sorted(found)


def has_magic(text: str) -> bool:
    """Whether ``text`` has a wildcard, or a backslash that hides one."""
    return _MAGIC.search(text) is not None


def matches(pattern: str, path: str) -> bool:
    """Whether the relative ``path`` matches ``pattern`` as a whole."""
    return any(_whole(plain).fullmatch(path) for plain in expand_braces(pattern))


def expand_braces(pattern: str) -> list[str]:
    """Return the patterns without braces that ``pattern`` stands for."""
    depth, start, commas = 0, -1, list[int]()
    position = 0
    while position < len(pattern):
        char = pattern[position]
        if char == "\\":
            position += 1
        elif char == "{":
            depth += 1
            start = position if depth == 1 else start
        elif char == "," and depth == 1:
            commas.append(position)
        elif char == "}" and depth:
            depth -= 1
            if depth == 0:
                bounds = [start, *commas, position]
                head, tail = pattern[:start], pattern[position + 1 :]
                pieces = [pattern[a + 1 : b] for a, b in itertools.pairwise(bounds)]
                return [one for piece in pieces for one in expand_braces(head + piece + tail)]
        position += 1
    return [pattern]


def _walk(base: str, segments: list[str]) -> Iterator[str]:
    segment, rest = segments[0], segments[1:]
    if segment == "**":
        while rest and rest[0] == "**":
            rest = rest[1:]
        yield from _descend(base, rest)
        return
    if _MAGIC.search(segment):
        regex = _segment(segment)
        names = [name for name in _names(base) if regex.fullmatch(name)]
    else:
        names = [segment]
    for name in names:
        path = base + name
        if not rest:
            if os.path.lexists(path):
                yield path
        elif os.path.isdir(path):
            yield from _walk(f"{path}/", rest)


def _descend(base: str, rest: list[str]) -> Iterator[str]:
    """Yield for ``**``: here, and in every directory below."""
    if rest:
        yield from _walk(base, rest)
    elif base.strip("/"):
        yield base.rstrip("/")
    for name in _names(base):
        path = base + name
        if os.path.isdir(path) and not os.path.islink(path):
            yield from _descend(f"{path}/", rest)
        elif not rest:
            yield path


def _names(directory: str) -> list[str]:
    try:
        return sorted(os.listdir(directory or "."))
    except OSError:
        return []


@lru_cache(maxsize=256)
def _segment(pattern: str) -> re.Pattern[str]:
    return re.compile(_translate(pattern), re.DOTALL)


@lru_cache(maxsize=256)
def _whole(pattern: str) -> re.Pattern[str]:
    """Return the regular expression of a whole pattern without braces."""
    absolute = "/" if pattern.startswith("/") else ""
    parts = [part for part in pattern.split("/") if part not in {"", "."}]
    regex = ""
    for index, part in enumerate(parts):
        last = index == len(parts) - 1
        if part == "**":
            regex = f"{regex.removesuffix('/')}(?:/.*)?" if last and regex else regex
            regex += ".*" if last and index == 0 else ("" if last else "(?:[^/]+/)*")
        else:
            regex += _translate(part) + ("" if last else "/")
    return re.compile(absolute + regex, re.DOTALL)


def _translate(segment: str) -> str:
    regex, position = "", 0
    while position < len(segment):
        char = segment[position]
        position += 1
        if char == "*":
            regex += "[^/]*"
        elif char == "?":
            regex += "[^/]"
        elif char == "\\" and position < len(segment):
            regex += re.escape(segment[position])
            position += 1
        elif char == "[" and "]" in segment[position + 1 :]:
            end = segment.index("]", position + 1)
            inner = segment[position:end].replace("\\", "\\\\").replace("[", "\\[")
            negate = inner[0] in "!^"
            regex += f"[^/{inner[1:]}]" if negate else f"[{inner}]"
            position = end + 1
        else:
            regex += re.escape(char)
    return regex
