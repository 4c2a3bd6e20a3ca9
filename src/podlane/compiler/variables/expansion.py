"""Where GitLab itself expands variables: ``$NAME``, ``${NAME}`` and ``%NAME%``.

Includes at configuration time; environments, resource groups, names, tags and globs at creation. Values
are expanded through one another first (sorted), except raw ones; a cycle is an error of the pipeline.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence

from podlane.compiler import tsort
from podlane.model.job import Variable

_REFERENCE = re.compile(r"\$([A-Za-z_]\w*)|\$\{([A-Za-z_]\w*)\}|%([A-Za-z_]\w*)%", re.ASCII)
_IN_VALUE = re.compile(r"\$\$|%%|\$([A-Za-z_]\w*)|\$\{([A-Za-z_]\w*)\}|%([A-Za-z_]\w*)%", re.ASCII)


def expand(text: str, variables: Mapping[str, str], *, keep_undefined: bool = False) -> str:
    """Return ``text`` with every reference replaced, once; undefined ones become empty or stay."""
    if "$" not in text and "%" not in text:
        return text

    def replaced(match: re.Match[str]) -> str:
        name = match[1] or match[2] or match[3]
        return variables.get(name, match[0] if keep_undefined else "")

    return _REFERENCE.sub(replaced, text)


def names_in(text: str) -> Iterator[str]:
    """Yield the names that ``expand`` would replace."""
    for match in _REFERENCE.finditer(text):
        yield match[1] or match[2] or match[3]


def circles_message(found: Iterable[Iterable[str]]) -> str:
    """Return GitLab's sentence about variables that refer to one another in circles."""
    shown = ", ".join("[" + ", ".join(f'"{name}"' for name in names) + "]" for names in found)
    return f"circular variable reference detected: {shown}"


class ExpandedVariables(Mapping[str, str]):
    """Variables whose values are expanded through one another when they are asked for.

    ``layers`` are definitions, the last of a name wins; but one that names itself means the others and
    wins over them. Undefined references become empty. ``for_runner``: they stay, as do those to files
    and raw variables, because the runner expands once more. Where values contain themselves, all stay
    as they are written.
    """

    def __init__(self, *layers: Mapping[str, Variable], for_runner: bool = False) -> None:
        self._layers = layers
        self._for_runner = for_runner
        self._known: dict[Variable, str] = {}
        self._open: list[Variable] = []
        self._is_circular: bool | None = None  # not known yet

    def __getitem__(self, name: str) -> str:
        variable = self.winner(name)
        if variable is None:
            raise KeyError(name)
        if variable.raw or ("$" not in variable.value and "%" not in variable.value):
            return variable.value
        if self._has_circles():
            return next(layer[name] for layer in reversed(self._layers) if name in layer).value
        return self.value_of(variable)

    def __iter__(self) -> Iterator[str]:
        return iter({name: None for layer in self._layers for name in layer})

    def __len__(self) -> int:
        return sum(1 for _ in self)

    def winner(self, name: str, besides: Variable | None = None) -> Variable | None:
        """Return the definition that counts, of those other than ``besides``."""
        found = None
        for layer in reversed(self._layers):
            variable = layer.get(name)
            if variable is None or variable is besides:
                continue
            if names_itself(variable):
                return variable
            found = found or variable
        return found

    def value_of(self, variable: Variable) -> str:
        """Return the expanded value of a definition."""
        if variable.raw or ("$" not in variable.value and "%" not in variable.value):
            return variable.value
        if variable in self._known:
            return self._known[variable]
        if self._has_circles():
            return variable.value
        self._open.append(variable)
        try:
            value = _IN_VALUE.sub(self._replaced, variable.value)
        finally:
            self._open.pop()
        self._known[variable] = value
        return value

    def _has_circles(self) -> bool:
        if self._is_circular is None:
            self._is_circular = bool(circles(self._layers))
        return self._is_circular

    def _replaced(self, match: re.Match[str]) -> str:
        name = match[1] or match[2] or match[3]
        if name is None:
            return match[0]
        own = self._open[-1]
        found = self.winner(name, own if name == own.key else None)
        if found is None:
            return match[0] if self._for_runner else ""
        if self._for_runner and (found.file or found.raw):
            return match[0]
        return self.value_of(found)


def names_itself(variable: Variable) -> bool:
    """Whether a value refers to its own name, as in ``PATH: $PATH:/opt``."""
    if variable.raw or variable.key not in variable.value:
        return False
    return variable.key in references(variable)


def references(variable: Variable) -> Iterator[str]:
    """Yield the names that a value refers to."""
    if variable.raw:
        return
    for match in _IN_VALUE.finditer(variable.value):
        name = match[1] or match[2] or match[3]
        if name is not None:
            yield name


def circles(layers: Sequence[Mapping[str, Variable]]) -> list[list[str]]:
    """Return the names of the definitions that refer to one another in a circle, circle by circle.

    A name refers to all its definitions: two that both contain themselves are a circle too.
    """
    links: dict[tuple[int, str], list[str]] = {}
    defined: dict[str, list[tuple[int, str]]] = {}
    for index, layer in enumerate(layers):
        for name, variable in layer.items():
            if variable.raw or ("$" not in variable.value and "%" not in variable.value):
                continue
            names = list(references(variable))
            if names:
                links[index, name] = names
                defined.setdefault(name, []).append((index, name))
    if len(links) < 2:  # noqa: PLR2004  # a circle takes two
        return []

    def needed(place: tuple[int, str]) -> Iterator[tuple[int, str]]:
        return (other for name in links[place] for other in defined.get(name, ()))

    return [[name for _, name in found] for found in tsort.circles(links, needed)]
