"""Regular expressions that an administrator wrote for Go: RE2's syntax, and no text can hang them."""

from __future__ import annotations


def problem(pattern: str) -> str | None:
    """Return why ``pattern`` is no regular expression, or None if it is one."""
    import re2  # costs 15 ms, and few configurations have a pattern

    options = re2.Options()
    options.log_errors = False
    try:
        re2.compile(pattern, options)
    except re2.error as error:
        said: object = error.args[0] if error.args else ""
        return said.decode(errors="replace") if isinstance(said, bytes) else str(said)
    return None


def found(pattern: str, text: str) -> bool:
    """Whether a valid ``pattern`` matches anywhere in ``text``, as Go's ``MatchString``: no anchors."""
    import re2  # costs 15 ms, and few configurations have a pattern

    return re2.search(pattern, text) is not None
