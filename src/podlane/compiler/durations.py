"""Durations as GitLab's ``timeout`` and ``expire_in`` read them (Ruby's ChronicDuration).

``1h 30m``, ``90 minutes``, ``3 weeks and 2 days``, ``one hour``, ``1:30:00``; a bare number is seconds.
A month has 30 days and a year 365.25, as in GitLab's fork.
"""

from __future__ import annotations

import re

_UNITS: dict[str, float] = {}
for _seconds, _names in (
    (1, "s sec secs second seconds"),
    (60, "m min mins minute minutes"),
    (3600, "h hr hrs hour hours"),
    (86_400, "d day days dy"),
    (604_800, "w wk wks week weeks"),
    (2_592_000, "mo mos month months"),
    (31_557_600, "y yr yrs year years"),
):
    _UNITS.update(dict.fromkeys(_names.split(), float(_seconds)))
_UNITS["mth"] = _UNITS["mths"] = _UNITS["mo"]

_WORDS = {
    "zero": 0, "one": 1, "two": 2, "three": 3, "four": 4, "five": 5, "six": 6, "seven": 7, "eight": 8,
    "nine": 9, "ten": 10, "eleven": 11, "twelve": 12, "thirteen": 13, "fourteen": 14, "fifteen": 15,
    "sixteen": 16, "seventeen": 17, "eighteen": 18, "nineteen": 19, "twenty": 20, "thirty": 30,
    "forty": 40, "fifty": 50, "sixty": 60, "seventy": 70, "eighty": 80, "ninety": 90,
}  # fmt: skip
_JOINERS = frozenset({"and", "with", "plus"})
_TOKEN = re.compile(r"\s*(?:(\d+(?:\.\d+)?|\.\d+)|([a-z]+)|[,\s]+)")
_CLOCK = re.compile(r"(?:(\d+):)?(?:(\d+):)?(?:(\d+):)?(\d+):(\d+)(?:\.\d+)?\Z")
_CLOCK_SECONDS = (1, 60, 3600, 86_400, 2_592_000)
MAX_TEXT = 255


def seconds(text: str) -> float | None:
    """Return the length of a duration, or None if the text is not one or is zero."""
    text = text.strip().lower()
    if not text or len(text) > MAX_TEXT:
        return None
    if ":" in text:
        return _clock(text)
    total = _words(text)
    return total or None


def _clock(text: str) -> float | None:
    if not _CLOCK.match(text):
        return None
    parts = text.split(":")
    total = sum(
        float(part) * unit for part, unit in zip(reversed(parts), _CLOCK_SECONDS, strict=False)
    )
    return total or None


def _words(text: str) -> float | None:
    total, number, position = 0.0, None, 0
    while position < len(text):
        match = _TOKEN.match(text, position)
        if match is None:
            return None
        position = match.end()
        digits, word = match[1], match[2]
        if digits is not None:
            if number is not None:
                return None
            number = float(digits)
        elif word is not None and word not in _JOINERS:
            if word in _WORDS:
                number = (number or 0.0) + _WORDS[word]
            elif word in _UNITS:
                total += (1.0 if number is None else number) * _UNITS[word]
                number = None
            else:
                return None
    return total + number if number is not None else total
