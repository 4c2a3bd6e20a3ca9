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
from typing import Protocol

_context: ContextVar[tuple[tuple[str, str], ...]] = ContextVar("podlane_log_fields", default=())


@contextmanager
def fields(**values: str | int) -> Iterator[None]:
    """Add fields to every record logged inside the block, in this task and its children."""
    token = _context.set((*_context.get(), *((key, str(value)) for key, value in values.items())))
    try:
        yield
    finally:
        _context.reset(token)


class _Formatter(logging.Formatter):
    def __init__(self, *, as_json: bool) -> None:
        super().__init__()
        self._as_json = as_json

    def format(self, record: logging.LogRecord) -> str:
        """Return the record as one line."""
        extra = record.__dict__.get("fields")
        data = dict(_context.get()) | (extra if isinstance(extra, dict) else {})
        if record.exc_info:
            data["exception"] = self.formatException(record.exc_info)
        stamp = self.formatTime(record, "%Y-%m-%dT%H:%M:%S")
        if self._as_json:
            head = {"time": stamp, "level": record.levelname.lower(), "event": record.getMessage()}
            return json.dumps(head | data, default=str)
        pairs = " ".join(f"{key}={value}" for key, value in data.items())
        return f"{stamp} {record.levelname:<7} {record.getMessage():<32} {pairs}".rstrip()


class Sink(Protocol):
    """Where the log's lines go."""

    def write(self, text: str, /) -> object:
        """Take a piece of text."""
        ...

    def flush(self) -> object:
        """Nothing is held back after this."""
        ...


def configure(*, level: str = "info", log_format: str = "text", sink: Sink | None = None) -> None:
    """Send the log to stderr, or to ``sink``; called once by each command."""
    handler = logging.StreamHandler(sink or sys.stderr)
    handler.setFormatter(_Formatter(as_json=log_format == "json"))
    root = logging.getLogger("podlane")
    root.handlers[:] = [handler]
    root.propagate = False
    root.setLevel(level.upper())


def event(logger: logging.Logger, level: int, name: str, **values: object) -> None:
    """Log the constant event ``name`` with fields."""
    logger.log(level, name, extra={"fields": values})
