"""Our log: constant event names with fields, text or JSON, the job's fields from the context.

Never a variable's value, a token, or a URL with a query.
"""

from __future__ import annotations

import json
import logging
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from datetime import UTC, datetime
from typing import Protocol

_context: ContextVar[tuple[tuple[str, str | int], ...]] = ContextVar(
    "podlane_log_fields", default=()
)


@contextmanager
def fields(**values: str | int) -> Iterator[None]:
    """Add fields to every record logged inside the block, in this task and its children."""
    token = _context.set((*_context.get(), *values.items()))
    try:
        yield
    finally:
        _context.reset(token)


class _Formatter(logging.Formatter):
    """Makes a line of a record: stamp, level, event name, and the fields as ``key=value``."""

    def format(self, record: logging.LogRecord) -> str:
        """Return the record as one line, and an exception below it."""
        head, pairs = self.head(record), " ".join(self.pairs(_data(record)))
        trace = f"\n{self.formatException(record.exc_info)}" if record.exc_info else ""
        return f"{head} {pairs}".rstrip() + trace

    def head(self, record: logging.LogRecord) -> str:
        """Return what comes before the fields."""
        return f"{_stamp(record)} {record.levelname:<7} {record.getMessage():<32}"

    def pairs(self, data: dict[str, object]) -> list[str]:
        """Return the fields."""
        return [f"{key}={_quoted(str(value))}" for key, value in data.items()]


class _RunnerFormatter(_Formatter):
    """GitLab Runner's own: the message padded to 50 columns, then the fields by name."""

    def __init__(self, *, colored: bool) -> None:
        super().__init__()
        self._colored = colored

    def head(self, record: logging.LogRecord) -> str:
        """Return level and message; the level only where it is more than information."""
        prefix = f"{record.levelname}: " if record.levelno >= logging.WARNING else ""
        text = f"{prefix}{record.getMessage():<50}"
        color = _COLORS.get(record.levelname) if self._colored else None
        return f"\x1b[{color}m{text}\x1b[0;m" if color else text

    def pairs(self, data: dict[str, object]) -> list[str]:
        """Return the fields in the order of their names."""
        return sorted(super().pairs(data))


class _JsonFormatter(_Formatter):
    """One JSON object for a record."""

    def format(self, record: logging.LogRecord) -> str:
        """Return the record as one line."""
        data = _data(record)
        if record.exc_info:
            data["exception"] = self.formatException(record.exc_info)
        level, message = record.levelname.lower(), record.getMessage()
        return json.dumps(
            {"time": _stamp(record), "level": level, "msg": message, **data}, default=str
        )


_COLORS = {"WARNING": "33;1", "ERROR": "31;1", "CRITICAL": "31;1", "DEBUG": "37"}


def _data(record: logging.LogRecord) -> dict[str, object]:
    extra = record.__dict__.get("fields")
    return {**dict(_context.get()), **(extra if isinstance(extra, dict) else {})}


def _stamp(record: logging.LogRecord) -> str:
    return datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds")


def _quoted(text: str) -> str:
    plain = text and not any(char.isspace() or char in '"=' for char in text)
    return text if plain else json.dumps(text, ensure_ascii=False)


class Sink(Protocol):
    """Where the log's lines go."""

    def write(self, text: str, /) -> object:
        """Take a piece of text."""
        ...

    def flush(self) -> object:
        """Nothing is held back after this."""
        ...


def configure(*, level: str = "info", log_format: str = "text", sink: Sink | None = None) -> None:
    """Send the log to stderr, or to ``sink``; called by each command, and again for other settings.

    ``log_format``: ``text``, ``json``, or ``runner``, which is GitLab Runner's for people.
    """
    target = sink or sys.stderr
    handler = logging.StreamHandler(target)
    handler.setFormatter(_formatter(log_format, colored=sink is None and sys.stderr.isatty()))
    root = logging.getLogger("podlane")
    others = [known for known in root.handlers if not isinstance(known, logging.StreamHandler)]
    root.handlers[:] = [*others, handler]
    root.propagate = False
    root.setLevel(level.upper())


def _formatter(log_format: str, *, colored: bool) -> logging.Formatter:
    match log_format:
        case "json":
            return _JsonFormatter()
        case "runner":
            return _RunnerFormatter(colored=colored)
        case _:
            return _Formatter()


def event(logger: logging.Logger, level: int, name: str, **values: object) -> None:
    """Log the constant event ``name`` with fields."""
    logger.log(level, name, extra={"fields": values})
