"""Lines of the helper in the job's trace, worded and coloured as the official helper does."""

from __future__ import annotations

import sys
from typing import NoReturn, Protocol

_WARNING = "\x1b[0;33m"
_ERROR = "\x1b[31;1m"
_RESET = "\x1b[0;m"


class Line(Protocol):
    """A function that prints one line."""

    def __call__(self, message: str, **values: object) -> None:
        """Print ``message``, then the fields."""
        ...


class FatalError(Exception):
    """The command cannot go on: its sentence is printed, and the exit code is 1."""


def info(message: str, **values: object) -> None:
    """Print an ordinary line; fields follow the text."""
    _line("", message, values)


def warning(message: str, **values: object) -> None:
    """Print a warning."""
    _line(_WARNING, f"WARNING: {message}", values)


def error(message: str, **values: object) -> None:
    """Print an error that does not end the command."""
    _line(_ERROR, f"ERROR: {message}", values)


def fatal(message: str) -> NoReturn:
    """End the command with ``message``."""
    raise FatalError(message)


def print_fatal(message: str) -> None:
    """Print the last line of a command that failed."""
    _line(_ERROR, f"FATAL: {message}", {})


def _line(colour: str, text: str, values: dict[str, object]) -> None:
    reset = _RESET if colour else ""
    fields = "".join(f" {key}={value}" for key, value in sorted(values.items()) if value != "")
    body = f"{text:<50} {fields}" if fields else text
    sys.stderr.write(f"{colour}{body}{reset}\n")
    sys.stderr.flush()
