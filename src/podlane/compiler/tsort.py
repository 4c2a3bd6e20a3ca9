"""Circles among things that wait for one another, in the order in which Ruby's TSort finds them."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Generic, TypeVar

Thing = TypeVar("Thing")


@dataclass(slots=True)
class _Visit(Generic[Thing]):
    number: int
    lowest: int
    height: int
    children: Iterator[Thing]


def circles(
    things: Iterable[Thing], children: Callable[[Thing], Iterable[Thing]]
) -> Iterator[list[Thing]]:
    """Yield every strongly connected component of more than one thing (Tarjan, no recursion).

    The order, of the components and in each, is TSort's: GitLab writes it into its sentences.
    """
    search = _Search(children)
    for start in things:
        for component in search.components(start):
            if len(component) > 1:
                yield component


class _Search(Generic[Thing]):
    def __init__(self, children: Callable[[Thing], Iterable[Thing]]) -> None:
        self._children = children
        self._numbers: dict[Thing, int | None] = {}  # None: its component is known
        self._found: list[Thing] = []
        self._visits: list[_Visit[Thing]] = []

    def components(self, start: Thing) -> Iterator[list[Thing]]:
        """Yield the components that are reached from ``start`` and not known yet."""
        if start not in self._numbers:
            self._enter(start)
        while self._visits:
            visit = self._visits[-1]
            deeper = self._next(visit)
            if deeper is not None:
                self._enter(deeper[0])
                continue
            self._visits.pop()
            if self._visits:
                self._visits[-1].lowest = min(self._visits[-1].lowest, visit.lowest)
            if visit.lowest == visit.number:
                component = self._found[visit.height :]
                del self._found[visit.height :]
                self._numbers.update(dict.fromkeys(component))
                yield component

    def _next(self, visit: _Visit[Thing]) -> tuple[Thing] | None:
        """Return the next child that was not visited; links to visited ones are noted."""
        for child in visit.children:
            if child not in self._numbers:
                return (child,)
            number = self._numbers[child]
            if number is not None:
                visit.lowest = min(visit.lowest, number)
        return None

    def _enter(self, thing: Thing) -> None:
        number = self._numbers[thing] = len(self._numbers)
        children = iter(self._children(thing))
        self._visits.append(_Visit(number, number, len(self._found), children))
        self._found.append(thing)
