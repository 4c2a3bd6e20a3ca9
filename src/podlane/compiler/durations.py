"""Durations as GitLab's ``timeout`` and ``expire_in`` read them (Ruby's ChronicDuration and Numerizer).

``1h 30m``, ``90 minutes``, ``3 weeks and 2 days``, ``one hour``, ``1:30:00``; a bare number is seconds.
A month has 30 days, a week 7 and a year 365.25. A number that no unit follows counts only at the end.
"""

from __future__ import annotations

import re
from functools import partial

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

_SMALL = {
    "zero": 0, "one": 1, "two": 2, "three": 3, "four": 4, "five": 5, "six": 6, "seven": 7, "eight": 8,
    "nine": 9, "ten": 10, "eleven": 11, "twelve": 12, "thirteen": 13, "fourteen": 14, "fifteen": 15,
    "sixteen": 16, "seventeen": 17, "eighteen": 18, "nineteen": 19, "ninteen": 19,
}  # fmt: skip
_TENS = {
    "twenty": 20, "thirty": 30, "forty": 40, "fourty": 40, "fifty": 50, "sixty": 60, "seventy": 70,
    "eighty": 80, "ninety": 90,
}  # fmt: skip
_WORDS = (
    _SMALL
    | _TENS
    | {f"{ten}{one}": _TENS[ten] + _SMALL[one] for ten in _TENS for one in list(_SMALL)[1:10]}
)
_LARGE = (("hundred", 100), ("thousand", 1000), ("million", 10**6), ("billion", 10**9))
_FRACTIONS = (("half", 2), ("thirds?", 3), ("quarters?", 4), ("fifths?", 5))
_JOINERS = frozenset({"and", "with", "plus"})
_NUMBER = re.compile(r"[0-9]*\.?[0-9]+")
_CLOCK = re.compile(rf"{_NUMBER.pattern}(?::{_NUMBER.pattern})+")
_CLOCK_UNITS = ("seconds", "minutes", "hours", "days", "months", "years")
_LETTERS = re.compile(r"[a-z]+")
_HYPHENS = re.compile(r" +|([^\d])-([^\d])")
# A number that was a word is marked, as two of them side by side are one: twenty two.
_MARK = "\0"
_WORD = re.compile(rf"(^|\W)({'|'.join(sorted(_WORDS, key=len, reverse=True))})(?=$|\W)", re.ASCII)
_FRACTION = re.compile(rf"(\d+)(?: | and |-)+[{_MARK}\s]*(\d+)\s*/\s*(\d+)")
_PAIR = re.compile(rf"{_MARK}(\d+)( | and ){_MARK}(\d+)(?=\W|$)", re.ASCII)
MAX_TEXT = 255


def seconds(text: str) -> float | None:
    """Return the length of a duration, or None if the text is not one or is zero."""
    text = text.lower()
    if len(text) > MAX_TEXT:
        return None
    if "-" in text or any(word not in _UNITS for word in _LETTERS.findall(text)):
        text = _numerized(text)
    if ":" in text and _CLOCK.search(text.replace(" ", "")):
        parts = text.replace(" ", "").rstrip(":").split(":")
        if len(parts) > len(_CLOCK_UNITS):
            return None
        units = _CLOCK_UNITS[: len(parts)][::-1]
        text = " ".join(f"{part} {unit}" for part, unit in zip(parts, units, strict=True))
    words = _words(text)
    return None if words is None else _sum(words) or None


def _words(text: str) -> list[str] | None:
    """Return numbers and units in order; None when there is another word."""
    found: list[str] = []
    for word in _NUMBER.sub(lambda match: f" {match[0]} ", text).split():
        bare = word.removeprefix(",").removesuffix(",")
        if _NUMBER.search(word):
            found.append(word)
        elif bare in _UNITS:
            found.append(bare)
        elif bare not in _JOINERS:
            return None
    if found and found[0] in _UNITS:
        found.insert(0, "1")
    return found


def _sum(words: list[str]) -> float:
    total = 0.0
    for index, word in enumerate(words):
        if word not in _UNITS:
            last = index + 1 == len(words)
            total += float(word) * (1.0 if last else _UNITS.get(words[index + 1], 0.0))
    return total


def _numerized(text: str) -> str:
    """Return the text with number words as digits."""
    text = _HYPHENS.sub(lambda match: f"{match[1] or ''} {match[2] or ''}", text)
    text = _WORD.sub(lambda match: f"{match[1]}{_MARK}{_WORDS[match[2]]}", text)
    for name, parts in _FRACTIONS:
        text = re.sub(rf"a {name}(?=$|\W)", f"{_MARK}1/{parts}", text)
        text = re.sub(rf"\s{name}(?=$|\W)", f"/{parts}", text)
    text = _FRACTION.sub(lambda match: str(int(match[1]) + int(match[2]) / int(match[3])), text)
    for name, factor in _LARGE:
        text = _added(re.sub(rf"{_MARK}?(\d*) *{name}", partial(_multiplied, factor), text))
    return _added(text).replace(_MARK, "")


def _multiplied(factor: int, match: re.Match[str]) -> str:
    return f"{_MARK}{factor * int(match[1])}" if match[1] else str(factor)


def _added(text: str) -> str:
    start = 0
    while True:
        match = _PAIR.search(text, start)
        if match is None:
            return text
        if "and" in match[2] or len(match[1]) > len(match[3]):
            text = f"{text[: match.start()]}{_MARK}{int(match[1]) + int(match[3])}{text[match.end() :]}"
            start = 0
        else:
            start = match.end()
