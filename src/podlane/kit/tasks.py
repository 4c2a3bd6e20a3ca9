"""Three habits of structured concurrency in one place each.

A resource is closed in a shielded scope with a deadline (:func:`closing`); never cancel natively,
only through scopes: the shield would not hold. Who calls us sees the error, not the task groups that
it came through (:func:`plain_errors`).
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import anyio


@contextmanager
def closing(deadline_seconds: float) -> Iterator[anyio.CancelScope]:
    """Run clean-up that outer cancellation cannot interrupt, for at most ``deadline_seconds``.

    The scope's ``cancelled_caught`` tells afterwards whether the deadline struck.
    """
    with anyio.move_on_after(deadline_seconds, shield=True) as scope:
        yield scope


@contextmanager
def plain_errors() -> Iterator[None]:
    """Raise a single error as it is, without the groups that task groups wrapped around it."""
    try:
        yield
    except BaseExceptionGroup as group:
        error: BaseException = group
        while isinstance(error, BaseExceptionGroup) and len(error.exceptions) == 1:
            error = error.exceptions[0]
        if error is group:
            raise
        raise error from error.__cause__
