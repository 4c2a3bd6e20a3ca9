"""Plain scalars as Ruby's Psych reads them (YAML 1.1 with its own corners).

Source: psych's ``scalar_scanner.rb``; the table of 65 probes in the tests was made with Psych 4.0.4.
"""

from __future__ import annotations

import re

from podlane.compiler.source import Scalar, Symbol


class DisallowedClassError(ValueError):
    """A scalar of a class that GitLab does not load: dates and times."""


_WORDS: dict[str, bool | None] = {
    spelling: value
    for value, words in ((True, "true yes on"), (False, "false no off"))
    for word in words.split()
    for spelling in (word, word.capitalize(), word.upper())
} | dict.fromkeys(("", "~", "null", "Null", "NULL"))
_NUMBER_STARTS = frozenset("0123456789+-.:")
_INTEGER = re.compile(r"[-+]?(?:0|[1-9](?:[0-9]|,[0-9]|_[0-9])*)\Z")
_OCTAL = re.compile(r"[-+]?0[0-7_,]+\Z")
_HEX = re.compile(r"[-+]?0[xX][0-9a-fA-F_,]+\Z")
_BINARY = re.compile(r"[-+]?0[bB][01_,]+\Z")
_BASE60 = re.compile(r"[-+]?[0-9][0-9_]*(:[0-5]?[0-9]){1,2}\Z")
_BASE60_FLOAT = re.compile(r"[-+]?[0-9][0-9_]*(:[0-5]?[0-9]){1,2}\.[0-9_]*\Z")
_FLOAT = re.compile(r"[-+]?([0-9][0-9_,]*)?\.[0-9]*([eE][+-][0-9]+)?\Z")
_SPECIAL = re.compile(r"([-+]?)\.(inf|Inf|INF)\Z")
_NOT_A_NUMBER = (".nan", ".NaN", ".NAN")
_DATE = re.compile(r"\d{4}-(?:1[012]|0\d|\d)-(?:[12]\d|3[01]|0\d|\d)\Z")
_TIME = re.compile(
    r"-?\d{4}-\d{1,2}-\d{1,2}(?:[Tt]|\s+)\d{1,2}:\d\d:\d\d"
    r"(?:\.\d*)?(?:\s*(?:Z|[-+]\d{1,2}:?(\d\d)?))?\Z"
)


def resolve(text: str) -> Scalar:
    """Return the value of a plain scalar.

    Raises:
        DisallowedClassError: it is a date or a time.
    """
    if text in _WORDS:
        return _WORDS[text]
    if text[0] not in _NUMBER_STARTS:
        return text
    try:
        return _number(text)
    except DisallowedClassError:
        raise
    except ValueError:
        return text


def _number(text: str) -> Scalar:
    if _INTEGER.match(text):
        return int(text.replace(",", "").replace("_", ""))
    for pattern, base in ((_OCTAL, 8), (_HEX, 16), (_BINARY, 2)):
        if pattern.match(text):
            return int(text.replace("_", "").replace(",", ""), base)
    if _FLOAT.match(text) and text not in (".", "+.", "-."):
        return float(text.replace(",", "").replace("_", ""))
    return _uncommon(text)


def _uncommon(text: str) -> Scalar:
    # Psych's own arithmetic: the first part always counts as hours, so 12:30 is 45000.
    if _BASE60.match(text):
        parts = text.replace("_", "").split(":")
        return sum(int(part) * _sixty(index) for index, part in enumerate(parts))
    if _BASE60_FLOAT.match(text):
        digits = text.replace("_", "").split(":")
        return sum(float(part) * _sixty(index) for index, part in enumerate(digits))
    infinity = _SPECIAL.match(text)
    if infinity:
        return float(infinity[1] + "inf")
    if text in _NOT_A_NUMBER:
        return float("nan")
    if text[0] == ":" and len(text) > 1:
        return Symbol(text[1:])
    if _DATE.match(text):
        raise DisallowedClassError("Tried to load unspecified class: Date")
    if _TIME.match(text):
        raise DisallowedClassError("Tried to load unspecified class: Time")
    return text


def _sixty(index: int) -> int:
    return (3600, 60, 1)[index]
