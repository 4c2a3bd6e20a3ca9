"""Ruby's ``File.fnmatch`` with PATHNAME, DOTMATCH and EXTGLOB, for ``rules:changes`` and ``exists``.

``*``, ``?`` and ``[]`` stay inside one directory; ``**/`` as a whole segment crosses them; a trailing
``**`` is only ``*``; leading dots match; ``{a,b}`` alternates.
"""

from __future__ import annotations

import itertools
import re
from collections.abc import Callable, Iterable
from functools import lru_cache

MAX_ALTERNATIVES = 1000
_MAX_WILDCARDS = 6  # above this, the engine that cannot backtrack
GLOB_CHARACTERS = frozenset("*?[{")
_NOTHING = r"[^\s\S]"


@lru_cache(maxsize=4096)
def matcher(pattern: str) -> Callable[[str], bool]:
    """Return the test of a path against a pattern."""
    sources = [_translate(alternative) for alternative in _alternatives(pattern)]
    source = "|".join(f"(?:{source})" for source in sources if source is not None)
    if not source:
        return _never
    if pattern.count("*") > _MAX_WILDCARDS:
        import re2

        slow = re2.compile(f"(?s)(?:{source})")
        return lambda path: slow.fullmatch(path) is not None
    fast = re.compile(source, re.DOTALL)
    return lambda path: fast.fullmatch(path) is not None


def any_match(patterns: Iterable[str], paths: Iterable[str]) -> bool:
    """Whether any path matches any pattern."""
    tests = [matcher(pattern) for pattern in patterns]
    return any(test(path) for path in paths for test in tests)


def _never(_path: str) -> bool:
    return False


def _alternatives(pattern: str) -> list[str]:
    """Return the pattern with its braces written out."""
    done: list[str] = []
    waiting = [pattern]
    while waiting and len(done) + len(waiting) <= MAX_ALTERNATIVES:
        text = waiting.pop(0)
        braces = _braces(text)
        if braces is None:
            done.append(text)
            continue
        start, end, parts = braces
        waiting[:0] = [text[:start] + part + text[end:] for part in parts]
    return done + waiting


def _braces(text: str) -> tuple[int, int, list[str]] | None:
    """Return where the first pair of braces is and its parts: none when it is never closed."""
    depth, start, cuts = 0, -1, [0]
    index = 0
    while index < len(text):
        character = text[index]
        if character == "\\":
            index += 1
        elif character == "{":
            if depth == 0:
                start, cuts = index, [index]
            depth += 1
        elif character == "," and depth == 1:
            cuts.append(index)
        elif character == "}" and depth > 0:
            depth -= 1
            if depth == 0:
                cuts.append(index)
                parts = [text[a + 1 : b] for a, b in itertools.pairwise(cuts)]
                return start, index + 1, parts
        index += 1
    return (start, len(text), []) if depth else None


def _translate(pattern: str) -> str | None:
    """Return a pattern without braces as a regular expression; None when nothing can match."""
    out: list[str] = []
    index, segment_start = 0, True
    while index < len(pattern):
        if segment_start and pattern.startswith("**/", index):
            out.append("(?:[^/]+/)*")
            index += 3
            continue
        piece, index = _piece(pattern, index)
        if piece is None:
            return None
        segment_start = piece == "/"
        out.append(piece)
    return "".join(out)


def _piece(pattern: str, index: int) -> tuple[str | None, int]:
    """Return the expression for what stands at ``index``, and where it ends."""
    character = pattern[index]
    if character == "*":
        while pattern[index : index + 1] == "*":
            index += 1
        return "[^/]*", index
    if character == "?":
        return "[^/]", index + 1
    if character == "[":
        return _bracket(pattern, index + 1)
    if character == "\\":  # at the very end it stands for nothing
        index += 1
    return re.escape(pattern[index : index + 1]), index + 1


def _bracket(pattern: str, index: int) -> tuple[str | None, int]:
    """Return the expression for a set, and where it ends; None when it is never closed.

    A ``]`` closes even as the first character, and a range downwards is its two ends.
    """
    negated = pattern[index : index + 1] in ("!", "^")
    index += negated
    found: list[str] = []
    while index < len(pattern) and pattern[index] != "]":
        low, index = _member(pattern, index)
        high = low
        if pattern[index : index + 1] == "-" and pattern[index + 1 : index + 2] != "]":
            high, index = _member(pattern, index + 1)
        found += _ranges(low, high) if low <= high else _ranges(low, low) + _ranges(high, high)
    if index >= len(pattern):
        return None, index
    if negated:
        return f"[^/{''.join(found)}]", index + 1
    return f"[{''.join(found)}]" if found else _NOTHING, index + 1


def _ranges(low: str, high: str) -> list[str]:
    """Return the ranges of a set from one character to another, without the slash."""
    if low <= "/" <= high:
        halves = [(low, "."), ("0", high)]
        return [part for one, other in halves if one <= other for part in _ranges(one, other)]
    return [f"{re.escape(low)}-{re.escape(high)}"]


def _member(pattern: str, index: int) -> tuple[str, int]:
    if pattern[index : index + 1] == "\\":  # nothing follows the dash of an unclosed set
        index += 1
    return pattern[index : index + 1], index + 1
