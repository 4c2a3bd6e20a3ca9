"""The event loop of every command: asyncio, on uvloop where it is installed."""

from __future__ import annotations

import importlib.util
from collections.abc import Awaitable, Callable
from typing import TypeVar, TypeVarTuple, Unpack

import anyio

T = TypeVar("T")
Ts = TypeVarTuple("Ts")


def run(main: Callable[[Unpack[Ts]], Awaitable[T]], *arguments: *Ts) -> T:
    """Run ``main`` to its end and return its result."""
    fast = importlib.util.find_spec("uvloop") is not None
    return anyio.run(main, *arguments, backend_options={"use_uvloop": fast})
