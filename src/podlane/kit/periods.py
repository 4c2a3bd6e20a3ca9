"""Cron expressions of ``config.toml``: moments that a configuration is meant for.

GitLab Runner has two grammars. Periods of monitoring (:func:`parse`) have five fields (minute, hour, day
of the month, month, day of the week), a sixth for the year, or seven with the second before them. As
there, a moment is in the period when the next whole second is: write ``* * 9-17 * * mon-fri *`` for
working hours. Periods of autoscaling (:func:`parse_minutes`) have five fields and mean whole minutes:
``* 9-17 * * mon-fri``.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, tzinfo

ZONE_HINT = "write it like Europe/Berlin; without it this machine's is used"
_YEARS = (1970, 2099)
_MONTHS = ["jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec"]
_DAYS = ["sun", "mon", "tue", "wed", "thu", "fri", "sat"]
_NICKNAMES = {
    "@yearly": "0 0 0 1 1 * *",
    "@annually": "0 0 0 1 1 * *",
    "@monthly": "0 0 0 1 * * *",
    "@weekly": "0 0 0 * * 0 *",
    "@daily": "0 0 0 * * * *",
    "@hourly": "0 0 * * * * *",
}
_FEWEST, _WITH_YEAR, _ALL = 5, 6, 7


@dataclass(frozen=True, slots=True)
class _Field:
    name: str
    first: int
    last: int
    words: tuple[str, ...] = ()
    words_from: int = 0


_FIELDS = (
    _Field("second", 0, 59),
    _Field("minute", 0, 59),
    _Field("hour", 0, 23),
    _Field("day of the month", 1, 31),
    _Field("month", 1, 12, tuple(_MONTHS), 1),
    _Field("day of the week", 0, 7, tuple(_DAYS)),
    _Field("year", *_YEARS),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Schedule:
    """One expression. ``days`` and ``weekdays`` None: not restricted; both restricted: either will do.

    ``weekdays`` count from Sunday, 0.
    """

    seconds: frozenset[int]
    minutes: frozenset[int]
    hours: frozenset[int]
    days: frozenset[int] | None
    months: frozenset[int]
    weekdays: frozenset[int] | None
    years: frozenset[int]

    def has(self, moment: datetime) -> bool:
        """Whether the expression names this second."""
        return (
            moment.second in self.seconds
            and moment.minute in self.minutes
            and moment.hour in self.hours
            and moment.month in self.months
            and moment.year in self.years
            and self._has_day(moment)
        )

    def _has_day(self, moment: datetime) -> bool:
        if self.days is None and self.weekdays is None:
            return True
        in_month = self.days is not None and moment.day in self.days
        in_week = self.weekdays is not None and moment.isoweekday() % 7 in self.weekdays
        return in_month or in_week


def parse(text: str) -> Schedule:
    """Return the schedule of an expression.

    Raises:
        ValueError: it is none; the sentence says what is wrong.
    """
    fields = _NICKNAMES.get(text.strip().lower(), text).lower().split()
    if not _FEWEST <= len(fields) <= _ALL:
        raise ValueError(f"{text!r} has {len(fields)} fields; a cron expression has 5 to 7")
    if len(fields) < _ALL:
        fields = ["0", *fields] if len(fields) == _WITH_YEAR else ["0", *fields, "*"]
    second, minute, hour, day, month, weekday, year = (
        _values(written, field) for written, field in zip(fields, _FIELDS, strict=True)
    )
    return Schedule(
        seconds=frozenset(second), minutes=frozenset(minute), hours=frozenset(hour),
        days=None if _is_free(fields[3]) else frozenset(day), months=frozenset(month),
        weekdays=None if _is_free(fields[5]) else frozenset(value % 7 for value in weekday),
        years=frozenset(year),
    )  # fmt: skip


def parse_minutes(text: str) -> Schedule:
    """Return the schedule of an expression of five fields, which names whole minutes.

    Raises:
        ValueError: it is none; the sentence says what is wrong.
    """
    fields = text.split()
    if len(fields) != _FEWEST:
        raise ValueError(f"{text!r} has {len(fields)} fields; this cron expression has 5")
    return parse(f"* {text} *")


def find_zone(name: str) -> tzinfo | None:
    """Return a time zone, None for this machine's (no name, or Go's ``Local``). May read a file.

    Raises:
        ValueError: no such zone is known here.
    """
    if name in {"", "Local"}:
        return None
    from zoneinfo import ZoneInfo, ZoneInfoNotFoundError  # few configurations have one

    try:
        return ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError) as error:
        raise ValueError(f"{name!r} is no time zone known here") from error


def _is_free(written: str) -> bool:
    return written in {"*", "?"}


def _values(written: str, field: _Field) -> set[int]:
    found: set[int] = set()
    for part in written.split(","):
        found.update(_part(part, field))
    return found


def _part(part: str, field: _Field) -> Iterable[int]:
    """Return the numbers of ``*``, ``7``, ``mon-fri``, ``*/5``, ``10/5`` or ``8-18/2``."""
    span, slash, step = part.partition("/")
    if slash and not (step.isascii() and step.isdigit() and int(step) > 0):
        raise ValueError(f"{part!r}: {step!r} is no step for the {field.name}")
    if _is_free(span):
        first, last = field.first, field.last
    else:
        low, dash, high = span.partition("-")
        first = _number(low, field)
        last = _number(high, field) if dash else field.last if slash else first
    if last < first:
        raise ValueError(f"{part!r}: a range of the {field.name} goes upwards")
    return range(first, last + 1, int(step) if slash else 1)


def _number(written: str, field: _Field) -> int:
    for position, word in enumerate(field.words):
        if written.startswith(word) and len(written) >= len(word) and written.isalpha():
            return position + field.words_from
    if written.isascii() and written.isdigit() and field.first <= int(written) <= field.last:
        return int(written)
    raise ValueError(
        f"{written!r} is no {field.name} ({field.first} to {field.last}; L, W and # are not supported)"
    )
